import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { namesPassedInClear } from "../facts/identity-gaps.ts";
import { isWithin, operationFieldsOf } from "../facts/rule-fields.ts";
import { fieldsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const denyByListing: AuditRule = {
  id: "BW0402",
  title: "A DENY that lists what is kept out",
  severity: "low",
  same: { snowcat: "Deny with Positive Match" },
  attacks: ["M6"],
  what: 'DENY policies with rules that list what they refuse in sources or operations (`paths`, `methods`, `hosts`, `principals` …), `"*"` alone left out. `info` where an ALLOW policy stands in the same namespace or the root namespace, without which a request is let in by default: it says what may pass, and the DENY takes away from that. Conditions (`when`) are not looked at; names of callers that whoever drops his passes are told by BW0617 alone.',
  why: "What is not in the list passes: the same path spelled otherwise, another method, a caller of another name.",
  fix: "Say by an ALLOW policy who may do what, and keep the DENY for what must never pass; or write the DENY with `not…` fields, so that it refuses all but what is meant.",
  claims: ["default-deny"],
  check: listings,
};

function* listings(audit: AuditContext): Iterable<Hit> {
  const bounded = audit.fact(namespacesWithAllow);
  const gaps = Map.groupBy(audit.fact(namesPassedInClear), ({ rule }) => rule.policy);
  const { rootNamespace } = audit.mesh.config;
  for (const resource of audit.of("security.istio.io", "AuthorizationPolicy")) {
    if (actionOf(resource) !== "DENY") continue;
    const told = gaps.get(resource) ?? [];
    const listing = operationFieldsOf(resource.spec).find(
      ({ isNegative, path, values }) =>
        !isNegative &&
        !path.includes("when") &&
        !values.includes("*") &&
        !(path.includes("from") && told.some((gap) => isWithin(path, gap.path))),
    );
    if (listing === undefined) continue;
    const isBounded = bounded.has(resource.namespace) || bounded.has(rootNamespace);
    yield {
      resource,
      path: listing.path,
      title: `\`${listing.name}\` lists what is refused: what it does not list passes${isBounded ? ", if an ALLOW has it" : ""}`,
      ...(isBounded ? { severity: "info" as const } : {}),
    };
  }
}

function namespacesWithAllow(audit: AuditContext): ReadonlySet<string> {
  const allows = audit
    .of("security.istio.io", "AuthorizationPolicy")
    .filter((resource) => actionOf(resource) === "ALLOW");
  return new Set(allows.map(({ namespace }) => namespace));
}

function actionOf({ spec }: Resource): string {
  const { action } = fieldsOf(spec);
  return typeof action === "string" ? action : "ALLOW";
}
