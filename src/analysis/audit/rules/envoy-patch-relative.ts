import type { AuditContext } from "../audit-context.ts";
import { envoyPatches } from "../facts/envoy-patches.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const envoyPatchRelative: AuditRule = {
  id: "BW0151",
  title: "An EnvoyFilter whose place depends on others",
  severity: "medium",
  same: { istio: "IST0151" },
  attacks: [],
  what: "A patch of EnvoyFilter that inserts before or after, removes or replaces a filter, without a `priority`.",
  why: "Which of several EnvoyFilters comes first is not said: a filter that was to stand behind authorization stands before it one day.",
  fix: "Set `priority`, or use INSERT_FIRST, or what Istio has its own resource for.",
  claims: ["configuration-in-force"],
  check: found,
};

function* found(audit: AuditContext): Iterable<Hit> {
  for (const patch of audit.fact(envoyPatches))
    if (patch.isRelative && !patch.isVersioned)
      yield {
        resource: patch.resource,
        path: patch.path,
        title: `${patch.operation} of ${patch.filter === "" ? "a filter" : `\`${patch.filter}\``} depends on the order of EnvoyFilters`,
      };
}
