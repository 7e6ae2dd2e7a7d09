import type { AuthorizationPolicySpec } from "../../../model/mesh.ts";
import { type AmbientPolicy, compileAmbient, decideAmbient } from "../../../policy/ambient/ambient-policy.ts";
import type { Resource } from "../../../resources/resource.ts";
import { connectionOf } from "../../space/request-space.ts";
import type { AuditContext } from "../audit-context.ts";
import { ztunnelPolicies } from "../facts/ambient-policies.ts";
import { accessRequestOf, plainSample } from "../facts/sample-requests.ts";
import type { ServerClass } from "../facts/server-classes.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const ztunnelEmptySelector: AuditRule = {
  id: "BW0953",
  title: "An empty selector, which selects nothing in ambient mode",
  severity: "high",
  attacks: ["M9"],
  what: "AuthorizationPolicies with `selector: {}`, or `matchLabels: {}`, in a namespace (or the root namespace) with workloads in ambient mode. It means every workload, and before sidecars does; istiod attaches such a policy to no ztunnel. High with a request that ztunnel lets in and that the policies, as they are written, refuse; else medium.",
  why: "A DENY for all is not there, and with an ALLOW for all nothing is left that would refuse: the workloads are open, although the policy is in force for every sidecar beside them.",
  fix: "Leave `selector` out.",
  claims: ["policies-hold"],
  check: empty,
};

function* empty(audit: AuditContext): Iterable<Hit> {
  for (const { policy, action, server } of audit.fact(ztunnelPolicies)) {
    const { selector } = policy.spec as AuthorizationPolicySpec;
    if (selector === undefined || Object.keys(selector.matchLabels ?? {}).length > 0) continue;
    if (action !== "ALLOW" && action !== "DENY") continue;
    const witness = letIn(audit, server);
    yield {
      resource: policy as Resource,
      path: ["spec", "selector"],
      title: `with an empty selector the policy is not enforced at \`${server.workload.key}\`, which is in ambient mode`,
      edits: [{ edit: "delete", resource: policy, path: ["spec", "selector"] }],
      ...(witness === undefined ? { severity: "medium" } : { witness }),
    };
  }
}

/** A request that ztunnel lets in and that the policies, as they are written, refuse. */
function letIn({ mesh }: AuditContext, server: ServerClass): Hit["witness"] {
  const written: AmbientPolicy = compileAmbient(mesh, server.workload, { semantics: "strict" });
  const { namespace, ports } = server.workload;
  const callers = [
    null,
    `${mesh.config.trustDomain}/ns/${namespace}/sa/default`,
    `${mesh.config.trustDomain}/ns/x/sa/x`,
  ];
  for (const caller of callers) {
    const sample = plainSample(ports[0]?.port ?? 8080, caller);
    const connection = connectionOf(sample);
    if (decideAmbient(server.ambient, connection).allowed && !decideAmbient(written, connection).allowed)
      return accessRequestOf(sample, server);
  }
  return undefined;
}
