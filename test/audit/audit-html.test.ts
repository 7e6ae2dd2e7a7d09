/** `audit --format html`: every finding with its place and words, and nothing of a mesh's text becomes markup. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { Finding } from "../../src/analysis/audit/finding.ts";
import { auditHtml } from "../../src/cli/render/audit-html.ts";
import { bulwark } from "../cli/run-bulwark.ts";

const EVIL = `<script>alert('1')</script>"><img src=x onerror=alert(1)>&`;

const finding: Finding = {
  rule: "BW0161",
  severity: "high",
  title: EVIL,
  resource: `Gateway ${EVIL}/x`,
  file: `${EVIL}.yaml`,
  line: 1,
  column: 2,
  why: EVIL,
  fix: EVIL,
  attacks: [EVIL],
  patch: `--- a\n+++ ${EVIL}\n`,
  witness: null,
  controls: [EVIL],
};

test("no text of a mesh becomes markup, wherever it stands", () => {
  const page = auditHtml({
    findings: [finding],
    suppressed: [{ finding, reason: EVIL, until: EVIL }],
    rules: 1,
    advisories: { date: EVIL, ageDays: 1, isStale: true },
  });
  assert.doesNotMatch(page, /<script|<img|&(?!#\d+;)/);
  const tags = new Set([...page.matchAll(/<([a-z0-9]+)/g)].map(([, tag]) => tag));
  for (const tag of ["script", "img", "link", "iframe"]) assert.ok(!tags.has(tag), tag);
  assert.equal(page.match(/&#60;script&#62;/g)?.length, 13);
});

test("each finding of the JSON is on the page with its place, below its severity, and links lead to it", async () => {
  const mesh = join(import.meta.dirname, "rules/BW0710/bad");
  const run = (format: string) => bulwark(["audit", mesh, "--as-of", "2026-11-22", "--format", format]);
  const [{ stdout: json }, { stdout: page, code }] = await Promise.all([run("json"), run("html")]);
  assert.equal(code, 2);
  const findings: readonly Finding[] = JSON.parse(json).findings;
  assert.ok(findings.length > 5);
  for (const { file, line, column, severity, rule } of findings) {
    const section = page.slice(page.indexOf(`<section class="${severity}"`));
    if (file !== undefined) assert.ok(section.includes(`<code>${file}:${line}:${column}</code>`), rule);
    assert.ok(section.includes(`<h3>${rule}`), rule);
  }
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length);
  for (const [, link = ""] of page.matchAll(/href="#([^"]+)"/g)) assert.ok(ids.includes(link), link);
});
