import { compileAmbient, decideAmbient } from "../../../policy/ambient/ambient-policy.ts";
import { connectionOf, type SampleRequest } from "../../space/request-space.ts";
import type { AuditContext } from "../audit-context.ts";
import { type ZtunnelPolicy, ztunnelPolicies } from "../facts/ambient-policies.ts";
import { compiledIn } from "../facts/enforced-rules.ts";
import { probesOf } from "../facts/probe-requests.ts";
import { accessRequestOf } from "../facts/sample-requests.ts";
import { rulesOf } from "../facts/token-demands.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const ztunnelTrustDomains: AuditRule = {
  id: "BW0952",
  title: "Trust domains that are forgotten in ambient mode",
  severity: "high",
  attacks: ["E4"],
  what:
    "`trustDomains` and `notTrustDomains` in ALLOW policies of workloads in ambient mode. istiod does not send them to ztunnel: beside other fields of the source they vanish, so that the rule lets in more than it says; alone, the source matches nobody. " +
    "High with a request that ztunnel lets in and that the policy, as it is written, refuses; else medium.",
  why: "Callers of the mesh's own trust domain get in by a rule that was written for another's.",
  fix: "Name whole identities in `principals`, trust domain and all; or enforce the policy at a waypoint (`targetRefs`).",
  claims: ["own-trust-domain", "policies-hold"],
  check: forgotten,
};

function* forgotten(audit: AuditContext): Iterable<Hit> {
  for (const own of audit.fact(ztunnelPolicies)) {
    if (own.action !== "ALLOW") continue;
    for (const [index, { from = [] }] of rulesOf(own.policy.spec).entries())
      for (const [at, { source = {} }] of from.entries()) {
        const field = (["trustDomains", "notTrustDomains"] as const).find(
          (name) => (source[name]?.length ?? 0) > 0,
        );
        if (field === undefined) continue;
        const witness = letIn(audit, own, index);
        yield {
          resource: own.policy,
          path: ["spec", "rules", index, "from", at, "source", field],
          title: `\`${field}\` is not looked at by the ztunnel of \`${own.server.workload.key}\``,
          ...(witness === undefined ? { severity: "medium" } : { witness }),
        };
      }
  }
}

function letIn(
  { mesh }: AuditContext,
  { policy, server, action }: ZtunnelPolicy,
  index: number,
): Hit["witness"] {
  const spec = rulesOf(policy.spec)[index];
  const rule = spec && compiledIn(server, { policy, action, index, spec, classes: [server] });
  if (rule === undefined) return undefined;
  const { trustDomain } = mesh.config;
  const written = compileAmbient(mesh, server.workload, { semantics: "strict" });
  const port = server.workload.ports[0]?.port ?? 8080;
  for (const probe of probesOf(rule, { trustDomain, port, policyNamespace: policy.namespace })) {
    const sample: SampleRequest = {
      ...probe,
      principal: probe.principal === null ? null : probe.principal.replace(/^[^/]+/, trustDomain),
    };
    const connection = connectionOf(sample);
    if (decideAmbient(server.ambient, connection).allowed && !decideAmbient(written, connection).allowed)
      return accessRequestOf(sample, server);
  }
  return undefined;
}
