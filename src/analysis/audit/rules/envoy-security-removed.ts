import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Fields } from "../facts/written.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { FindingSeverity, Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const envoySecurityRemoved: AuditRule = {
  id: "BW0840",
  title: "An EnvoyFilter that takes away a filter of the mesh's security",
  severity: "high",
  attacks: ["M1", "M5", "E2"],
  what: "A patch of an EnvoyFilter with REMOVE, REPLACE or MERGE whose match names a filter of security (RBAC, JWT, external authorization, Istio's authentication), of HTTP or of connections; and one (`medium`) that adds a filter with code of its own (Lua, Wasm, Golang, ext_proc) before such a filter. What a MERGE leaves of the filter is not worked out. Besides, patches that set another `transport_socket` than TLS (mutual TLS is one), and those that have the HTTP connection manager leave paths as they come, or hand on certificates' headers that callers write (`normalize_path: false`, `forward_client_cert_details` of FORWARD_ONLY or ALWAYS_FORWARD_ONLY).",
  why: "AuthorizationPolicies and RequestAuthentications still stand in the files, and nobody enforces them: every tool that reads them, and every person, is wrong. Code before them can write the headers that they decide by.",
  fix: "Remove the patch. For other decisions than Istio's use a CUSTOM policy, which is asked besides.",
  claims: ["policies-hold"],
  check: removals,
};

const SECURITY = /(^|\.)(rbac|jwt_authn|ext_authz|istio_authn|authn)$/;
const CODE = /(lua|wasm|golang|ext_proc|dynamic_modules)/;
const CHANGES = new Set(["REMOVE", "REPLACE", "MERGE"]);

function* removals(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.of("networking.istio.io", "EnvoyFilter"))
    for (const [index, { applyTo, match, patch }] of itemsOf(fieldsOf(resource.spec).configPatches)) {
      const { operation, value } = fieldsOf(patch);
      yield* overridden(resource, index, textOf(applyTo), fieldsOf(value));
      const filter = matchedFilter(fieldsOf(match), textOf(applyTo));
      if (!SECURITY.test(filter)) continue;
      const severity = severityOf(textOf(operation), textOf(fieldsOf(value).name));
      if (severity === undefined) continue;
      const verb =
        severity === "high"
          ? textOf(operation)
          : `${textOf(operation)} of \`${textOf(fieldsOf(value).name)}\` at`;
      yield {
        resource,
        path: ["spec", "configPatches", index, "patch", "operation"],
        severity,
        title: `${verb} \`${filter}\``,
      };
    }
}

const SOCKETS = new Set(["FILTER_CHAIN", "CLUSTER", "LISTENER"]);
const HANDED_ON = new Set(["ALWAYS_FORWARD_ONLY", "FORWARD_ONLY"]);

/** What Istio sets for the sake of security, and a MERGE or an ADD sets otherwise. */
function* overridden(resource: Resource, index: number, applyTo: string, value: Fields): Iterable<Hit> {
  const at = ["spec", "configPatches", index, "patch", "value"];
  const socket = ["transport_socket", "transport_socket_matches"].find((field) => value[field] !== undefined);
  const isTls = textOf(fieldsOf(value.transport_socket).name) === "envoy.transport_sockets.tls";
  if (SOCKETS.has(applyTo) && socket !== undefined && !isTls)
    yield {
      resource,
      path: [...at, socket],
      title: `${applyTo} gets another \`${socket}\` than that of mutual TLS`,
    };
  const typed = fieldsOf(value.typed_config);
  if (applyTo !== "NETWORK_FILTER" || !/HttpConnectionManager$/.test(textOf(typed["@type"]))) return;
  const path = [...at, "typed_config"];
  if (typed.normalize_path === false)
    yield {
      resource,
      path: [...path, "normalize_path"],
      title: "paths are no more normalised before policies see them",
    };
  const details = textOf(typed.forward_client_cert_details);
  if (HANDED_ON.has(details))
    yield {
      resource,
      path: [...path, "forward_client_cert_details"],
      title: `\`${details}\` hands on the X-Forwarded-Client-Cert that the caller writes`,
    };
}

function severityOf(operation: string, added: string): FindingSeverity | undefined {
  if (CHANGES.has(operation)) return "high";
  return operation === "INSERT_BEFORE" && CODE.test(added) ? "medium" : undefined;
}

/** The innermost filter that the match names, where the patch applies to such ones. */
function matchedFilter({ listener }: Fields, applyTo: string): string {
  const { filter } = fieldsOf(fieldsOf(listener).filterChain);
  const inner = textOf(fieldsOf(fieldsOf(filter).subFilter).name);
  if (applyTo === "HTTP_FILTER") return inner;
  return applyTo === "NETWORK_FILTER" ? textOf(fieldsOf(filter).name) : "";
}
