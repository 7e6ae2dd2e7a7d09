import type { AuditContext } from "../audit-context.ts";
import { istiods } from "../facts/istio-components.ts";
import { hasForeignNetworkPolicies, isOpenToAnyPod } from "../facts/network-cover.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const controlPlaneReachable: AuditRule = {
  id: "BW0802",
  title: "istiod's unguarded ports, open to every pod",
  severity: "medium",
  attacks: ["M10"],
  what: "An istiod to which NetworkPolicies let any pod of any namespace connect at 15010 (configuration in plaintext), 8080 (debugging) or 15014 (monitoring and debugging). 15012 and 15017 have to be reachable, by proxies and the API server, and are not told. Nothing is told where policies of another network (Cilium, Calico …) are among the files.",
  why: "At 15010 nobody is asked who he is: any pod fetches the configuration of any proxy, with every service, route and policy of the mesh. The debugging pages tell as much.",
  fix: "Add a NetworkPolicy for istiod that lets in 15012 and 15017, and 15014 from the monitoring alone.",
  claims: ["control-plane-isolated"],
  check: reachable,
};

const UNGUARDED: readonly number[] = [15_010, 8080, 15_014];

function* reachable(audit: AuditContext): Iterable<Hit> {
  if (audit.fact(hasForeignNetworkPolicies)) return;
  for (const workload of audit.fact(istiods)) {
    const open = UNGUARDED.filter((port) => isOpenToAnyPod(audit, workload, port));
    if (open.length > 0)
      yield {
        resource: workload.resource,
        title: `any pod reaches port ${open.join(", ")} of \`${workload.key}\``,
      };
  }
}
