import type { AuditContext } from "../audit-context.ts";
import { selectedTwice } from "../facts/selected-twice.ts";
import { fieldsOf, labelsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const telemetriesConflict: AuditRule = {
  id: "BW0159",
  title: "Telemetries that select the same pods",
  severity: "low",
  same: { istio: "IST0159" },
  attacks: ["E3"],
  what: "Two or more Telemetries of a namespace whose selectors take the same pod.",
  why: "Only the oldest counts: the logs that the other asks for are not written.",
  fix: "Join them, or let their selectors exclude each other.",
  claims: ["access-logged", "configuration-in-force"],
  check: rivals,
};

function* rivals(audit: AuditContext): Iterable<Hit> {
  const all = audit.every("telemetry.istio.io", "Telemetry");
  const selectorOf = ({ spec }: { readonly spec: unknown }) =>
    labelsOf(fieldsOf(fieldsOf(spec).selector).matchLabels);
  for (const { resource, rivals, pod } of selectedTwice(audit, all, selectorOf))
    yield {
      resource,
      path: ["spec", "selector"],
      title: `${rivals.join(" and ")} select \`${pod.resource.name}\``,
    };
}
