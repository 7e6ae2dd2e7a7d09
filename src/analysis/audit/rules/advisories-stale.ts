import { ADVISORIES_STALE_DAYS, advisoryAgeDays } from "../../trust/advisories/advisories-for.ts";
import type { AuditContext } from "../audit-context.ts";
import { advisoriesOf, auditedVersions } from "../facts/advisories.ts";
import type { FindingSeverity, Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const advisoriesStale: AuditRule = {
  id: "BW0712",
  title: "Versions are judged by old advisories",
  severity: "medium",
  attacks: [],
  what: `The advisories that the mesh's versions are held against are more than ${ADVISORIES_STALE_DAYS} days old; more than twice that is high. Their age is that of their oldest source. A mesh that names no version of Istio, Envoy or Kubernetes is not asked.`,
  why: "What was published since is not known: that a version is not reported says nothing about the time after the data.",
  fix: "Fetch newer data and store them with `bulwark audit --update FILE` (docs/trust.md says what the file holds).",
  claims: ["versions-current"],
  check: stale,
};

function* stale(audit: AuditContext): Iterable<Hit> {
  if (audit.fact(auditedVersions).length === 0) return;
  const data = audit.fact(advisoriesOf);
  const days = advisoryAgeDays(data, audit.settings.now);
  if (days <= ADVISORIES_STALE_DAYS) return;
  yield {
    severity: severityAt(days / ADVISORIES_STALE_DAYS),
    title: `the advisories are of ${data.date}, ${days} days old`,
  };
}

function severityAt(times: number): FindingSeverity {
  return times > 2 ? "high" : "medium";
}
