/**
 * Runs the test suites: the unit suites (npm's packages only), or with --real those that need real servers and scanners.
 * Files named on the command line are run instead of a whole suite. `--counts FILE` leaves the totals there, for CI.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, globSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

/** A file that takes longer hangs: the runner ends it and counts a failure. Within what CI gives to the whole. */
const UNIT_TIMEOUT_MS = 240_000;
const REAL_TIMEOUT_MS = 900_000;

const root = resolve(import.meta.dirname, "..");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { real: { type: "boolean", default: false }, counts: { type: "string" } },
});
const { real, counts } = values;
const pattern = real ? "test/real/**/*.test.ts" : "test/**/*.test.ts";
const files =
  positionals.length > 0
    ? positionals
    : globSync(pattern, { cwd: root }).filter((file) => real || !file.startsWith("test/real/"));
if (files.length === 0) {
  console.error(`no test files match ${pattern}`);
  process.exit(1);
}

const reporters = [
  ["spec", "stdout"],
  ...(counts === undefined ? [] : [["./tools/count-reporter.ts", counts]]),
];
// A test that is killed cannot clean up after itself. The name is short: sockets' paths have 108 bytes.
const temporary = mkdtempSync(join(tmpdir(), "bw-"));
// Tests that become another user for a while have folders of their own in it.
chmodSync(temporary, 0o711);
const run = spawnSync(
  process.execPath,
  [
    "--test",
    ...reporters.flatMap(([reporter, to]) => [
      `--test-reporter=${reporter}`,
      `--test-reporter-destination=${to}`,
    ]),
    `--test-timeout=${real ? REAL_TIMEOUT_MS : UNIT_TIMEOUT_MS}`,
    // Real suites measure load and restart real processes: two at a time would disturb each other.
    `--test-concurrency=${real ? 1 : 2}`,
    "--disable-warning=ExperimentalWarning",
    ...files.sort(),
  ],
  { cwd: root, stdio: "inherit", env: { ...process.env, TMPDIR: temporary } },
);
const left = readdirSync(temporary);
if (left.length > 0) console.error(`temporary folders that tests left behind: ${left.sort().join(", ")}`);
rmSync(temporary, { recursive: true, force: true });
process.exit(run.status ?? 1);
