/**
 * Mutation testing of src/policy: `npm run mutation -- [--files GLOB]… [--tests GLOB]… [--changed] [--json]` (docs/mutation.md). Changes the code in one
 * place after the other, and lists the changes that no test notices.
 */
import { execFileSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { matchesGlob, resolve } from "node:path";
import { parseArgs } from "node:util";
import { MutationRun, type Progress } from "./mutation/mutation-run.ts";
import { printReport, reportOf } from "./mutation/report.ts";
import { Snapshot } from "./mutation/snapshot.ts";

const MUTATED = "src/policy/**/*.ts";
const TESTS = "test/policy/**/*.test.ts";
const PROGRESS_MS = process.stderr.isTTY ? 500 : 15_000;
const INTERRUPTED = 130;

let lastTold = 0;
const root = resolve(import.meta.dirname, "..");
const { values } = parseArgs({
  options: {
    files: { type: "string", multiple: true },
    tests: { type: "string", multiple: true },
    changed: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    thorough: { type: "boolean", default: false },
    force: { type: "boolean", default: false },
    sample: { type: "string", default: "100" },
    processes: { type: "string", default: String(availableParallelism()) },
    minimum: { type: "string", default: "0" },
  },
});

const snapshot = new Snapshot(root);
process.on("exit", () => snapshot.remove());

const files = chosenFiles();
if (files.length === 0) {
  console.error("no file of src/policy is meant");
  process.exit(values.changed ? 0 : 1);
}
const processes = Math.max(1, Number.parseInt(values.processes, 10) || 1);
const run = new MutationRun(snapshot, {
  files,
  tests: matching(TESTS, values.tests),
  processes,
  force: values.force,
  thorough: values.thorough,
  sample: Number(values.sample),
  onProgress,
});
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    run.stop();
    console.error("\ninterrupted: what was tried is kept for the next run");
    tell();
    process.exit(INTERRUPTED);
  });
await run.run();
if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
const percent = tell();
process.exit(percent < Number(values.minimum) ? 1 : 0);

/** @returns the score. */
function tell(): number {
  const report = reportOf(run.outcomes);
  if (values.json) console.log(JSON.stringify({ ...report, brokenTests: run.broken }, null, 2));
  else console.log(printReport(report));
  if (run.broken.length > 0)
    console.error(`tests that fail without any mutant and took no part:\n  ${run.broken.join("\n  ")}`);
  return report.total.percent;
}

function chosenFiles(): string[] {
  const changed = values.changed ? changedFiles() : undefined;
  return matching(MUTATED, values.files).filter((file) => changed?.has(file) ?? true);
}

/** @param patterns all without. */
function matching(all: string, patterns: readonly string[] = [all]): string[] {
  return snapshot
    .files(all)
    .filter((file) => patterns.some((pattern) => file === pattern || matchesGlob(file, pattern)));
}

/** Files that differ from what is committed. */
function changedFiles(): ReadonlySet<string> {
  const git = (...args: string[]): string[] =>
    execFileSync("git", args, { cwd: root, encoding: "utf8" }).split("\n");
  return new Set([
    ...git("diff", "--name-only", "HEAD", "--", "src/policy"),
    ...git("ls-files", "--others", "--exclude-standard", "--", "src/policy"),
  ]);
}

function onProgress({ phase, done, all, survived }: Progress): void {
  const now = performance.now();
  if (now - lastTold < PROGRESS_MS && phase === "trying") return;
  lastTold = now;
  const text =
    phase === "recording"
      ? `${all} mutants to try; recording what each test reaches`
      : `${done}/${all} tried, ${survived} survived`;
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}
