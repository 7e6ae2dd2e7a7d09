/** The report as JSON, which is written in pieces. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding } from "../../src/analysis/audit/finding.ts";
import { type AuditReport, auditJson } from "../../src/cli/render/audit.ts";

function reportOf(count: number): AuditReport {
  const findings = Array.from(
    { length: count },
    (_, at): Finding => ({
      rule: "BW0001",
      severity: "low",
      title: `a break\nand "quotes" ${at}`,
      resource: `Service a/s-${at}`,
      why: "why",
      fix: "fix",
      attacks: [],
      witness: null,
      controls: ["a", "b"],
    }),
  );
  const advisories = { date: "2026-08-05", ageDays: 1, isStale: false };
  const suppressed = findings.slice(0, 1).map((finding) => ({ finding, reason: "r", until: "2027-01-31" }));
  return { findings, suppressed, rules: 3, advisories };
}

test("the pieces of a report are what JSON.stringify makes of the whole, with no finding, one, and more than one piece holds", () => {
  for (const count of [0, 1, 2, 1000]) {
    const report = reportOf(count);
    const pieces = [...auditJson(report)];
    assert.equal(pieces.join(""), `${JSON.stringify(report, null, 2)}\n`);
    assert.equal(pieces.length > 1, count === 1000);
  }
});
