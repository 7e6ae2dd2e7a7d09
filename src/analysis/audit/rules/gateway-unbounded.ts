import type { AuditContext } from "../audit-context.ts";
import { gateways } from "../facts/istio-components.ts";
import { hasForeignNetworkPolicies, isIsolated } from "../facts/network-cover.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const gatewayUnbounded: AuditRule = {
  id: "BW0804",
  title: "A gateway that no NetworkPolicy bounds",
  severity: "low",
  attacks: ["E5", "C6"],
  what: "Gateways' pods that no NetworkPolicy selects for ingress, for egress, or for both. Nothing is told where policies of another network (Cilium, Calico …) are among the files.",
  why: "Whoever takes the gateway over connects from it to every pod and every host outside; and every pod connects to its metrics and health ports, and to ports that a Gateway opens later.",
  fix: "Add a NetworkPolicy that lets in the ports that are served, and out to DNS, istiod and the services, or hosts, that the gateway leads to.",
  claims: ["network-segmented"],
  check: unbounded,
};

function* unbounded(audit: AuditContext): Iterable<Hit> {
  if (audit.fact(hasForeignNetworkPolicies)) return;
  for (const workload of audit.fact(gateways)) {
    const open = (["ingress", "egress"] as const).filter(
      (direction) => !isIsolated(audit, workload, direction),
    );
    if (open.length > 0)
      yield {
        resource: workload.resource,
        title: `no NetworkPolicy bounds the ${open.join(" and ")} of \`${workload.key}\``,
      };
  }
}
