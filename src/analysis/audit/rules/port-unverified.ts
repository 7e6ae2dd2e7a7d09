import type { AuditContext } from "../audit-context.ts";
import { isUnverified, skipsVerification, unverifiedText } from "../facts/client-tls.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

import { hostUnverified } from "./host-unverified.ts";

export const portUnverified: AuditRule = {
  ...hostUnverified,
  id: "BW0129",
  title: "A port of a DestinationRule that encrypts without knowing the server",
  same: { istio: "IST0129", snowcat: "TLS Validation in Destination Rule" },
  what: "As BW0128, for one port: `trafficPolicy.portLevelSettings[].tls`.",
  check: unverifiedPorts,
};

function* unverifiedPorts(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("networking.istio.io", "DestinationRule")) {
    const { host, trafficPolicy } = fieldsOf(resource.spec);
    for (const [index, { port, tls: written }] of itemsOf(fieldsOf(trafficPolicy).portLevelSettings)) {
      const tls = fieldsOf(written);
      if (!isUnverified(tls, resource)) continue;
      yield {
        resource,
        path: [
          ...["spec", "trafficPolicy", "portLevelSettings", index, "tls"],
          skipsVerification(tls) ? "insecureSkipVerify" : "mode",
        ],
        ...unverifiedText(tls, `port ${String(fieldsOf(port).number)} of \`${textOf(host)}\``),
      };
    }
  }
}
