import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const loaderWarning: AuditRule = {
  id: "BW0133",
  title: "What Istio takes, and warns of",
  severity: "low",
  same: { istio: "IST0133" },
  attacks: [],
  what: "Every warning of Istio's own validation about a resource that takes part (the BW13xx of docs/diagnostics.md), but for routes that are never used (BW0130).",
  why: "The resource is in force, and does something else than it seems to say.",
  fix: "As each warning says.",
  claims: ["configuration-in-force"],
  check: warned,
};

const UNREACHABLE = "BW1304_UNREACHABLE_ROUTE";

function* warned({ warnings }: AuditContext): Iterable<Hit> {
  for (const { code, severity, message, resource, span, help } of warnings) {
    if (severity !== "warning" || !code.startsWith("BW13") || code === UNREACHABLE || resource === undefined)
      continue;
    yield {
      place: { name: resource, span },
      title: `${code}: ${message}`,
      ...(help === undefined ? {} : { fix: help }),
    };
  }
}
