/**
 * Runs the test suites: the unit suites (npm's packages only), or with --real those that need real servers and scanners.
 * Files named on the command line are run instead of a whole suite. `--counts FILE` leaves the totals there, for CI.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, globSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

/** A file that takes longer hangs: the runner ends it and counts a failure. Within what CI gives to the whole. */
const UNIT_TIMEOUT_MS = 240_000;
const REAL_TIMEOUT_MS = 900_000;

/** On two processors: many of them wait for processes and timers more than they compute. */
const UNIT_CONCURRENCY = 4;
/**
 * Rooms without files, sockets and processes of their own: their 200 files share a few processes, and so load once what each would
 * load for itself, which took longer than the tests.
 */
const PURE_ROOMS: ReadonlySet<string> = new Set(["analysis", "model", "policy"]);
/** So that none comes near the time that a file is given, however slow the machine. */
const PURE_PROCESSES = 4;

const root = resolve(import.meta.dirname, "..");
/** What one test process has compiled the next finds; apart from what proxies are given. */
const COMPILE_CACHE = join(root, ".cache/compile-tests");
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

const TOGETHER = "pure-rooms-";

/** A file that consists of others: the runner starts one process for it. */
function together(name: string, tests: readonly string[]): string {
  const file = join(temporary, `${TOGETHER}${name}.test.mjs`);
  const imports = tests.map(
    (test) => `await import(${JSON.stringify(pathToFileURL(resolve(root, test)).href)});\n`,
  );
  writeFileSync(file, imports.join(""));
  return file;
}

const isWhole = positionals.length === 0 && !real;
const isPure = (file: string) => isWhole && PURE_ROOMS.has(file.split("/")[1] ?? "");
const pure = Map.groupBy(files.filter(isPure).sort().entries(), ([index]) => index % PURE_PROCESSES);
const units = [
  ...[...pure].map(([part, tests]) =>
    together(
      `${part + 1}`,
      tests.map(([, file]) => file),
    ),
  ),
  ...files.filter((file) => !isPure(file)).sort(),
];
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
    `--test-concurrency=${real ? 1 : UNIT_CONCURRENCY}`,
    "--disable-warning=ExperimentalWarning",
    ...units,
  ],
  {
    cwd: root,
    stdio: "inherit",
    // Tests that mean network namespaces say so: what root gets without being asked is not what others get.
    env: {
      BULWARK_SUBSTRATE: "loopback",
      ...process.env,
      TMPDIR: temporary,
      NODE_COMPILE_CACHE: COMPILE_CACHE,
    },
  },
);
const left = readdirSync(temporary).filter((name) => !name.startsWith(TOGETHER));
if (left.length > 0) console.error(`temporary folders that tests left behind: ${left.sort().join(", ")}`);
rmSync(temporary, { recursive: true, force: true });
process.exit(run.status ?? 1);
