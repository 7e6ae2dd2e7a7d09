import type { AuditContext } from "../audit-context.ts";
import { isControlPlane } from "../facts/pods.ts";
import { unnamedPorts } from "../facts/port-names.ts";
import { fieldsOf, itemsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const externalNamePort: AuditRule = {
  id: "BW0150",
  title: "A Service of type ExternalName that takes every address of its port",
  severity: "medium",
  same: { istio: "IST0150" },
  attacks: ["M11"],
  what: "A Service of type ExternalName with a port that is named `tcp`, or that does not say what it speaks.",
  why: "It has no address of its own, so that the proxies of its clients take all traffic to that port, wherever it was going, for this Service's: it goes elsewhere than it should, and policies for the right destination are not asked.",
  fix: "Name the port for its protocol: `https`, `tls-api`.",
  claims: ["egress-held", "hosts-owned"],
  check: catching,
};

function* catching(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("", "Service")) {
    const { type, ports } = fieldsOf(resource.spec);
    if (type !== "ExternalName" || isControlPlane(resource)) continue;
    const unnamed = new Set(unnamedPorts(resource).map(([index]) => index));
    for (const [index, { name, port }] of itemsOf(ports))
      if (unnamed.has(index) || name === "tcp")
        yield {
          resource,
          path: ["spec", "ports", index],
          title: `port ${String(port)} takes whatever goes to that port`,
        };
  }
}
