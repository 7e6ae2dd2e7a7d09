/** The HTML reports of `audit` in Chromium: they open without an error, show every control or finding, load nothing, and print. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { FRAMEWORKS } from "../../src/analysis/compliance/frameworks.ts";
import { bulwark } from "../cli/run-bulwark.ts";
import { program } from "./programs.ts";

const MESH = join(import.meta.dirname, "../audit/compliance/open");

const folder = mkdtempSync(join(tmpdir(), "report-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** What the browser prints; its own messages are on standard error. */
async function chromium(...args: string[]): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return promisify(execFile)(
    program("chromium"),
    [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--enable-logging=stderr",
      `--user-data-dir=${join(folder, "profile")}`,
      ...args,
    ],
    { maxBuffer: 1 << 26 },
  );
}

/** PDF page objects; `/Type /Pages` is their list. */
function pagesOf(pdf: Buffer): number {
  return pdf.toString("latin1").match(/\/Type\s*\/Page\b(?!s)/g)?.length ?? 0;
}

for (const { name, controls } of FRAMEWORKS)
  test(`the report on ${name} opens in a browser and prints`, async () => {
    const { stdout: html, code } = await bulwark(["audit", MESH, "--framework", name, "--format", "html"]);
    assert.equal(code, 2);
    const page = join(folder, `${name}.html`);
    writeFileSync(page, html);
    const { stdout: dom, stderr } = await chromium("--dump-dom", `file://${page}`);
    assert.doesNotMatch(stderr, /CONSOLE|ERR_|Refused/);
    for (const { id } of controls) assert.ok(dom.includes(`<th scope="row">${id}</th>`), id);
    assert.equal(dom.match(/<tr class="(pass|fail|not-shown)">/g)?.length, controls.length);
    const pdf = join(folder, `${name}.pdf`);
    await chromium(`--print-to-pdf=${pdf}`, "--no-pdf-header-footer", `file://${page}`);
    const printed = readFileSync(pdf);
    assert.equal(printed.subarray(0, 5).toString(), "%PDF-");
    assert.ok(pagesOf(printed) >= 1);
    // A4 across, as the page asks for: 842 by 595 points.
    assert.match(
      printed.toString("latin1"),
      /\/MediaBox \[0 0 841\.\d+ 59[45]\.\d+\]|\/MediaBox \[0 0 842 595\]/,
    );
  });

test("the audit's own page opens in a browser with every finding, and prints", async () => {
  const run = (format: string) => bulwark(["audit", MESH, "--format", format]);
  const [{ stdout: json }, { stdout: html, code }] = await Promise.all([run("json"), run("html")]);
  assert.equal(code, 2);
  const page = join(folder, "audit.html");
  writeFileSync(page, html);
  const { stdout: dom, stderr } = await chromium("--dump-dom", `file://${page}`);
  assert.doesNotMatch(stderr, /CONSOLE|ERR_|Refused/);
  const findings: readonly unknown[] = JSON.parse(json).findings;
  assert.equal(dom.match(/<li id="BW/g)?.length, findings.length);
  const pdf = join(folder, "audit.pdf");
  await chromium(`--print-to-pdf=${pdf}`, "--no-pdf-header-footer", `file://${page}`);
  assert.ok(pagesOf(readFileSync(pdf)) >= 1);
});
