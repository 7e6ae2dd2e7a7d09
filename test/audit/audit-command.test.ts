import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { bulwark } from "../cli/run-bulwark.ts";

const RULES = join(import.meta.dirname, "rules");
const OLD_CERTIFICATE = join(RULES, "BW0161/bad");
const folder = mkdtempSync(join(tmpdir(), "audit-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("JSON has each finding with its place, its reason, how to mend it and what else is promised", async () => {
  const { code, stdout } = await bulwark(["audit", OLD_CERTIFICATE, "--rule", "IST0161", "--format", "json"]);
  assert.equal(code, 2);
  const { findings, suppressed, rules } = JSON.parse(stdout);
  assert.deepEqual([suppressed, rules], [[], 1]);
  const [{ title, why, fix, ...found }] = findings;
  assert.deepEqual(found, {
    rule: "BW0161",
    istio: "IST0161",
    severity: "high",
    resource: "Gateway gateways/shop",
    file: join(OLD_CERTIFICATE, "mesh.yaml"),
    line: 11,
    column: 43,
    attacks: ["M2"],
    witness: null,
    controls: ["PCI-DSS 4.0 4.2.1"],
  });
  assert.match(title, /ended on 2026-01-01/);
  assert.ok(why.length > 0 && fix.length > 0);
});

test("every format says which attacks a finding opens the door to, and which controls it bears on", async () => {
  const ask = (format: string) => bulwark(["audit", OLD_CERTIFICATE, "--rule", "BW0161", "--format", format]);
  const [text, markdown, sarif] = await Promise.all(["text", "markdown", "sarif"].map(ask));
  assert.match(text?.stdout ?? "", /^ {4}attacks: M2\n {4}controls: PCI-DSS 4\.0 4\.2\.1$/m);
  assert.match(markdown?.stdout ?? "", /\*Attacks:\* M2\n {2}- \*Controls:\* PCI/);
  const [{ results, tool }] = JSON.parse(sarif?.stdout ?? "").runs;
  assert.deepEqual(results[0].properties, { attacks: ["M2"], controls: ["PCI-DSS 4.0 4.2.1"] });
  assert.deepEqual(tool.driver.rules[0].properties.tags, ["security", "attack M2", "PCI-DSS 4.0 4.2.1"]);
});

test("certificates and suppressions are judged as on the day that is named", async () => {
  const { code, stdout } = await bulwark([
    "audit",
    OLD_CERTIFICATE,
    "--rule",
    "BW0161",
    "--as-of",
    "2025-06-01",
  ]);
  assert.equal(code, 0);
  assert.match(stdout, /nothing found; 1 rule;/);
});

test("the exit code follows --fail-on, and what is lighter than --severity is not told", async () => {
  const run = (...args: string[]) => bulwark(["audit", OLD_CERTIFICATE, "--rule", "BW0161", ...args]);
  assert.equal((await run("--fail-on", "critical")).code, 0);
  assert.equal((await run("--fail-on", "never")).code, 0);
  const quiet = await run("--severity", "critical");
  assert.equal(quiet.code, 0);
  assert.match(quiet.stdout, /^nothing found/);
});

test("SARIF names every rule that was asked, points at the text, and has what is accepted as suppressed", async () => {
  const mesh = join(folder, "accepted.yaml");
  const text = readFileSync(join(OLD_CERTIFICATE, "mesh.yaml"), "utf8");
  const accepted = `  annotations: {bulwark.dev/suppress: "BW0161 until 2999-12-31: a test"}\n`;
  writeFileSync(mesh, text.replace("  name: shop\n", `  name: shop\n${accepted}`));
  const { code, stdout } = await bulwark(["audit", mesh, "--rule", "BW0161", "--format", "sarif"]);
  assert.equal(code, 0);
  const { version, runs } = JSON.parse(stdout);
  assert.equal(version, "2.1.0");
  const [{ tool, results }] = runs;
  assert.deepEqual(
    tool.driver.rules.map(({ id }: { id: string }) => id),
    ["BW0161"],
  );
  const [result] = results;
  assert.deepEqual([result.ruleId, result.ruleIndex, result.level], ["BW0161", 0, "error"]);
  assert.equal(result.locations[0].physicalLocation.region.startLine, 12);
  assert.deepEqual(result.suppressions, [
    { kind: "inSource", status: "accepted", justification: "a test (until 2999-12-31)" },
  ]);
});

test("every rule over every mesh of every rule ends, and says the same twice", async () => {
  const run = () => bulwark(["audit", RULES, "--format", "json", "--as-of", "2026-11-22"]);
  const [first, again] = await Promise.all([run(), run()]);
  assert.equal(first.code, 2, first.stderr);
  assert.equal(first.stdout, again.stdout);
  assert.ok(JSON.parse(first.stdout).findings.length > 100);
});

test("--fix changes nothing where nothing can be mended safely, and --dry-run asks for it", async () => {
  const copy = join(folder, "copy");
  cpSync(OLD_CERTIFICATE, copy, { recursive: true });
  const before = readFileSync(join(copy, "mesh.yaml"), "utf8");
  const { code, stderr } = await bulwark(["audit", copy, "--rule", "BW0161", "--fix"]);
  assert.equal(code, 2);
  assert.match(stderr, /0 findings mended in 0 files; 1 left to you/);
  assert.equal(readFileSync(join(copy, "mesh.yaml"), "utf8"), before);
  const alone = await bulwark(["audit", copy, "--dry-run"]);
  assert.deepEqual([alone.code, /give both/.test(alone.stderr)], [3, true]);
});

test("a rule that is not there, a day that is none and a folder that is not there end with 3", async () => {
  for (const [args, said] of [
    [["--rule", "BW9999"], /there is no rule `BW9999`/],
    [["--as-of", "2026-02-31"], /Write a day/],
    [["--severity", "grave"], /Allowed choices/],
  ] as const) {
    const { code, stderr } = await bulwark(["audit", OLD_CERTIFICATE, ...args]);
    assert.equal(code, 3);
    assert.match(stderr, said);
  }
  assert.equal((await bulwark(["audit", join(folder, "none")])).code, 3);
});
