/** Runs the test suites: the unit suites (npm's packages only), or with --real those that need real servers. */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const args = process.argv.slice(2);
const real = args.includes("--real");
const named = args.filter((arg) => !arg.startsWith("--"));
const pattern = real ? "test/real/**/*.test.ts" : "test/**/*.test.ts";
const files =
  named.length > 0
    ? named
    : globSync(pattern, { cwd: root }).filter((file) => real || !file.startsWith("test/real/"));
if (files.length === 0) {
  console.error(`no test files match ${pattern}`);
  process.exit(1);
}
const run = spawnSync(
  process.execPath,
  [
    "--test",
    "--test-reporter=spec",
    `--test-concurrency=${real ? 1 : 2}`,
    "--disable-warning=ExperimentalWarning",
    ...files.sort(),
  ],
  { cwd: root, stdio: "inherit" },
);
process.exit(run.status ?? 1);
