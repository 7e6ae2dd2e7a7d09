import { resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { injectedDeployments, portsLeadingTo } from "../facts/selecting-services.ts";
import { numberOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const targetPortShared: AuditRule = {
  id: "BW0137",
  title: "Services that lead to one port of a workload by different ports of theirs",
  severity: "low",
  same: { istio: "IST0137" },
  attacks: ["M8"],
  what: "A Deployment with a sidecar one of whose ports is the `targetPort` of Services under different port numbers.",
  why: "The sidecar has one listener for the port of the container, and takes its protocol from one of the Services: rules on HTTP may not be enforced for the other.",
  fix: "Give the Services the same port, or the container a port for each.",
  claims: ["protocols-declared"],
  check: sharedTargets,
};

function* sharedTargets(audit: AuditContext): Iterable<Hit> {
  for (const pod of audit.fact(injectedDeployments)) {
    const byTarget = Map.groupBy(portsLeadingTo(audit, pod), ({ port }) =>
      String(port.targetPort || port.port),
    );
    for (const [target, leading] of byTarget) {
      const ports = [...new Set(leading.map(({ port }) => numberOf(port.port)))].sort();
      if (ports.length < 2) continue;
      const services = [...new Set(leading.map(({ service }) => resourceName(service)))].sort();
      yield {
        resource: pod.resource,
        title: `\`${target}\` is port ${ports.join(" and ")} of ${services.join(" and ")}`,
      };
    }
  }
}
