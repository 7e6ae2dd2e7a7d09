import { resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { injectedDeployments, portsLeadingTo } from "../facts/selecting-services.ts";
import { numberOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const portProtocolsMixed: AuditRule = {
  id: "BW0116",
  title: "Services that name one port of a workload for different protocols",
  severity: "low",
  same: { istio: "IST0116" },
  attacks: ["M8"],
  what: "A Deployment with a sidecar to which Services lead by the same port number with different protocols (TCP, UDP, SCTP).",
  why: "The sidecar has one listener for a port, and which Service's protocol it takes is not said: policies on the protocol may not hold.",
  fix: "Give each protocol a port of its own.",
  claims: ["protocols-declared"],
  check: mixedPorts,
};

function* mixedPorts(audit: AuditContext): Iterable<Hit> {
  for (const pod of audit.fact(injectedDeployments)) {
    const byPort = Map.groupBy(portsLeadingTo(audit, pod), ({ port }) => numberOf(port.port));
    for (const [port, leading] of byPort) {
      const protocols = new Set(leading.map((one) => textOf(one.port.protocol) || "TCP"));
      if (port === undefined || protocols.size < 2) continue;
      const services = [...new Set(leading.map(({ service }) => resourceName(service)))].sort();
      yield {
        resource: pod.resource,
        title: `port ${port} is ${[...protocols].sort().join(" and ")} by ${services.join(" and ")}`,
      };
    }
  }
}
