import type { AuditContext } from "../audit-context.ts";
import { fieldsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const sidecarModeUnsaid: AuditRule = {
  id: "BW0315",
  title: "A Sidecar that sets where traffic may go without saying how",
  severity: "info",
  same: { kiali: "KIA1007" },
  attacks: [],
  what: "`outboundTrafficPolicy` of a Sidecar without `mode`: Istio reads REGISTRY_ONLY, whatever the mesh's own setting is. Kiali tells of a written REGISTRY_ONLY, too, since the API hides the difference from it.",
  why: "Who reads it takes the mesh's mode for the one in force, and misses why a call is refused.",
  fix: "Write the mode: `--fix` writes the one that is in force.",
  claims: [],
  check: unsaid,
};

function* unsaid(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("networking.istio.io", "Sidecar")) {
    const { outboundTrafficPolicy } = fieldsOf(resource.spec);
    if (outboundTrafficPolicy === undefined || fieldsOf(outboundTrafficPolicy).mode !== undefined) continue;
    yield {
      resource,
      path: ["spec", "outboundTrafficPolicy"],
      title: "without a `mode` it is REGISTRY_ONLY",
      edits: [
        { edit: "set", resource, path: ["spec", "outboundTrafficPolicy", "mode"], value: "REGISTRY_ONLY" },
      ],
    };
  }
}
