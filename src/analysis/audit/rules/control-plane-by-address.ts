import type { AuditContext } from "../audit-context.ts";
import { externalWebhooks } from "../facts/external-webhooks.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const controlPlaneByAddress: AuditRule = {
  id: "BW0164",
  title: "An external control plane that is known by its address",
  severity: "info",
  same: { istio: "IST0164" },
  attacks: [],
  what: "A webhook as of BW0163 whose `url` has an IP address for a host.",
  why: "The certificate has to name the address, and whoever is given that address later is asked.",
  fix: "Give the control plane a name.",
  claims: [],
  check: found,
};

function* found(audit: AuditContext): Iterable<Hit> {
  for (const { resource, path, webhook, url, endpoint } of audit.fact(externalWebhooks))
    if (endpoint === "address")
      yield { resource, path, title: `webhook \`${webhook}\` calls \`${url}\`, an address` };
}
