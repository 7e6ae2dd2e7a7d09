import type { AuditContext } from "../audit-context.ts";
import { externalWebhooks } from "../facts/external-webhooks.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const controlPlaneUnnamed: AuditRule = {
  id: "BW0163",
  title: "A webhook of Istio's that leads to no control plane",
  severity: "high",
  same: { istio: "IST0163" },
  attacks: [],
  what: "A webhook of `istiod-default-validator`, `istio-validator…` or `istio-sidecar-injector…` with neither a `url` nor a `service`, or with a `url` that is none.",
  why: "Nobody validates, or injects: bad policies get in, and pods start without a proxy, where `failurePolicy` is Ignore.",
  fix: "Name the control plane.",
  claims: ["captured"],
  check: found,
};

function* found(audit: AuditContext): Iterable<Hit> {
  for (const { resource, path, webhook, url, endpoint } of audit.fact(externalWebhooks))
    if (endpoint === "blank" || endpoint === "malformed")
      yield {
        resource,
        path,
        title: `webhook \`${webhook}\` ${endpoint === "blank" ? "names no control plane" : `has no URL in \`${url}\``}`,
      };
}
