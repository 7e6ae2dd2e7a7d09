import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";
import { ISTIO_SUPPRESS_ANNOTATION, SUPPRESS_ANNOTATION, suppressionsOf } from "../suppression.ts";

/** A year, and the day that a leap year has more. */
const LONGEST_DAYS = 366;
const DAY_MS = 86_400_000;

export const suppressionEndless: AuditRule = {
  id: "BW0042",
  title: "A suppression without an end in sight",
  severity: "low",
  attacks: [],
  what: `Entries of the annotation \`${SUPPRESS_ANNOTATION}\` whose day is more than ${LONGEST_DAYS} days away, and \`${ISTIO_SUPPRESS_ANNOTATION}\` with \`*\`, which accepts every finding that has a code of Istio's, today's and those to come. What it names one by one is left out, though it knows no end either.`,
  why: "What was accepted once is never looked at again, and what goes wrong with the resource later is accepted unseen.",
  fix: "Give a day within a year, and look again then; name the codes that are meant instead of `*`.",
  claims: [],
  check: endless,
};

function* endless(audit: AuditContext): Iterable<Hit> {
  const { now } = audit.settings;
  for (const resource of audit.mesh.resources) {
    for (const { rule, until } of suppressionsOf(resource, now).held)
      if (Date.parse(until) > now + LONGEST_DAYS * DAY_MS)
        yield {
          resource,
          path: ["metadata", "annotations", SUPPRESS_ANNOTATION],
          title: `\`${rule}\` is accepted until ${until}, more than a year from now`,
        };
    const codes = (resource.annotations[ISTIO_SUPPRESS_ANNOTATION] ?? "").split(",");
    if (codes.some((code) => code.trim() === "*"))
      yield {
        resource,
        path: ["metadata", "annotations", ISTIO_SUPPRESS_ANNOTATION],
        title: "every code of Istio's is accepted for it, without a reason and for good",
      };
  }
}
