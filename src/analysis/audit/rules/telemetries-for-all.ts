import type { AuditContext } from "../audit-context.ts";
import { unselectiveTwice } from "../facts/selected-twice.ts";
import { fieldsOf, listOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const telemetriesForAll: AuditRule = {
  id: "BW0160",
  title: "Telemetries for a whole namespace that are not alone",
  severity: "low",
  same: { istio: "IST0160" },
  attacks: ["E3"],
  what: "Two or more Telemetries of a namespace without `selector` and without `targetRefs`.",
  why: "Only the oldest counts: the logs that the other asks for are not written.",
  fix: "Join them.",
  claims: ["access-logged", "configuration-in-force"],
  check: rivals,
};

function* rivals(audit: AuditContext): Iterable<Hit> {
  const all = audit.every("telemetry.istio.io", "Telemetry");
  const isForAll = ({ spec }: { readonly spec: unknown }): boolean => {
    const { selector, targetRef, targetRefs } = fieldsOf(spec);
    return selector === undefined && targetRef === undefined && listOf(targetRefs).length === 0;
  };
  for (const { resource, rivals } of unselectiveTwice(all, isForAll))
    yield { resource, title: `${rivals.join(" and ")} are for all of \`${resource.namespace}\`` };
}
