import type { AuditContext } from "../audit-context.ts";
import { envoyPatches } from "../facts/envoy-patches.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const envoyPatchVersioned: AuditRule = {
  id: "BW0155",
  title: "An EnvoyFilter beside one for other versions of the proxy, in no order",
  severity: "medium",
  same: { istio: "IST0155" },
  attacks: [],
  what: "As BW0151, for a filter that an earlier patch changes for proxies of one version (`match.proxy.proxyVersion`).",
  why: "While proxies of two versions run, the order differs between them.",
  fix: "Set `priority`.",
  claims: ["configuration-in-force"],
  check: found,
};

function* found(audit: AuditContext): Iterable<Hit> {
  for (const patch of audit.fact(envoyPatches))
    if (patch.isRelative && patch.isVersioned)
      yield {
        resource: patch.resource,
        path: patch.path,
        title: `${patch.operation} of \`${patch.filter}\` is in no order with the patch for one version of the proxy`,
      };
}
