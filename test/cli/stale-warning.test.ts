/** That advisories are stale stands in every format of both reports, with how to get newer ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { auditJson, auditMarkdown, auditText } from "../../src/cli/render/audit.ts";
import { auditHtml } from "../../src/cli/render/audit-html.ts";
import { auditSarif } from "../../src/cli/render/audit-sarif.ts";
import {
  complianceHtml,
  complianceJson,
  complianceMarkdown,
  complianceText,
} from "../../src/cli/render/compliance.ts";

const WARNING = "versions are judged by advisories of 2026-08-05, 200 days old (bulwark audit --update FILE)";
const STALE = { date: "2026-08-05", ageDays: 200, isStale: true, warning: WARNING };
const FRESH = { date: "2026-08-05", ageDays: 1, isStale: false };

type Advisories = typeof STALE | typeof FRESH;

function reportsBy(advisories: Advisories): Readonly<Record<string, string>> {
  const audit = { findings: [], suppressed: [], rules: 1, advisories };
  const dated = {
    framework: "cis",
    title: "CIS",
    scope: "s",
    controls: [],
    time: "2027-02-21T12:00:00.000Z",
    files: ["mesh"],
    advisories,
  };
  return {
    text: auditText(audit),
    markdown: auditMarkdown(audit),
    html: auditHtml(audit),
    json: [...auditJson(audit)].join(""),
    sarif: auditSarif(audit, []),
    "framework text": complianceText(dated),
    "framework markdown": complianceMarkdown(dated),
    "framework html": complianceHtml(dated),
    "framework json": complianceJson(dated),
  };
}

test("stale advisories are warned of in every format, and new ones in none", () => {
  for (const [format, text] of Object.entries(reportsBy(STALE)))
    assert.match(text, /advisories of 2026-08-05, 200 days old \(bulwark audit --update FILE\)/, format);
  for (const [format, text] of Object.entries(reportsBy(FRESH)))
    assert.doesNotMatch(text, /--update|[Ww]arning:|"warning"/, format);
});

test("SARIF has the warning as a notification of the run", () => {
  const { runs } = JSON.parse(reportsBy(STALE).sarif ?? "");
  assert.deepEqual(runs[0].invocations[0].toolExecutionNotifications, [
    { level: "warning", message: { text: WARNING } },
  ]);
});
