import type { AuditContext } from "../audit-context.ts";
import { hasForeignNetworkPolicies, isIsolated } from "../facts/network-cover.ts";
import { SENSITIVE_LABEL, sensitiveNamespaces } from "../facts/sensitive-namespaces.ts";
import { type ServerClass, serverClasses } from "../facts/server-classes.ts";
import { actionOf } from "../facts/token-demands.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const sensitiveOpen: AuditRule = {
  id: "BW0806",
  title: "A sensitive namespace that is open by default",
  severity: "high",
  attacks: ["E1", "M9"],
  what: `Namespaces with the label \`${SENSITIVE_LABEL}: "true"\` with a workload that no ALLOW policy is for, so that whatever no DENY names is let in; or one that no NetworkPolicy isolates for ingress (\`medium\`; not told where policies of another network are among the files). One finding of each a namespace.`,
  why: "Everybody in the mesh reaches what was called sensitive; and without a NetworkPolicy, whoever goes past the proxy does.",
  fix: "Add an AuthorizationPolicy with an empty `spec`, which lets in nobody, and a NetworkPolicy with an empty `podSelector` and `policyTypes: [Ingress, Egress]`; then let in those who are meant.",
  claims: ["sensitive-isolated", "default-deny"],
  check: openByDefault,
};

function* openByDefault(audit: AuditContext): Iterable<Hit> {
  const isForeign = audit.fact(hasForeignNetworkPolicies);
  const open = audit
    .fact(serverClasses)
    .filter((server) => !hasAllow(server))
    .flatMap(({ workloads }) => workloads)
    .filter(({ role }) => role === "application");
  const openIn = Map.groupBy(open, ({ namespace }) => namespace);
  const allIn = Map.groupBy(audit.mesh.workloads, ({ namespace }) => namespace);
  for (const [name, resource] of audit.fact(sensitiveNamespaces)) {
    const path = ["metadata", "labels", SENSITIVE_LABEL];
    const first = openIn.get(name)?.[0];
    if (first !== undefined)
      yield {
        resource,
        path,
        title: `no ALLOW policy is for \`${first.key}\`: whoever is not denied gets in`,
      };
    if (isForeign) continue;
    const free = allIn.get(name)?.find((workload) => !isIsolated(audit, workload, "ingress"));
    if (free !== undefined)
      yield {
        resource,
        path,
        severity: "medium",
        title: `no NetworkPolicy isolates \`${free.key}\`: every pod connects to it`,
      };
  }
}

function hasAllow({ authorization }: ServerClass): boolean {
  return authorization.some(({ spec }) => actionOf(spec) === "ALLOW");
}
