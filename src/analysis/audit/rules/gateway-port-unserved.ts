import { matchesLabels } from "../../../model/selector.ts";
import type { AuditContext } from "../audit-context.ts";
import { gatewaysWithPods } from "../facts/gateway-pods.ts";
import { fieldsOf, itemsOf, labelsOf, numberOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const gatewayPortUnserved: AuditRule = {
  id: "BW0162",
  title: "A gateway's port that no Service leads to",
  severity: "low",
  same: { istio: "IST0162" },
  attacks: [],
  what: "A server of a Gateway whose port is neither a port nor a `targetPort` of a Service (TCP) that takes one of the gateway's pods.",
  why: "Nobody can reach it, and its policies are tried by nobody, until somebody opens the port for another reason.",
  fix: "Add the port to the gateway's Service, or remove the server.",
  claims: ["configuration-in-force"],
  check: unserved,
};

function* unserved(audit: AuditContext): Iterable<Hit> {
  for (const { resource, pods, servers } of audit.fact(gatewaysWithPods)) {
    if (pods.length === 0) continue;
    const ports = new Set(pods.flatMap((pod) => portsOf(audit, pod)));
    for (const [index, { port }] of servers.entries()) {
      const number = numberOf(fieldsOf(port).number);
      if (number === undefined || ports.has(number)) continue;
      yield {
        resource,
        path: ["spec", "servers", index, "port"],
        title: `no Service leads to port ${number} of its pods`,
      };
    }
  }
}

function portsOf(
  audit: AuditContext,
  pod: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> },
): readonly number[] {
  return audit.every("", "Service").flatMap(({ namespace, spec }) => {
    const { selector, ports } = fieldsOf(spec);
    const labels = labelsOf(selector);
    if (namespace !== pod.namespace || Object.keys(labels).length === 0 || !matchesLabels(labels, pod.labels))
      return [];
    return [...itemsOf(ports)].flatMap(([, { port, targetPort, protocol }]) =>
      protocol === undefined || protocol === "TCP"
        ? [numberOf(port) ?? [], numberOf(targetPort) ?? []].flat()
        : [],
    );
  });
}
