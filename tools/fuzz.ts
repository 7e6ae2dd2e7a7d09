/**
 * Fuzzes readers of hostile bytes: `npm run fuzz -- [TARGET…] [--minutes N] [--seed N]`. See docs/fuzzing.md.
 * Ends with 1 when an input broke a law; such inputs are saved under test/fuzz-findings.
 */
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import type { FuzzFinding, FuzzSummary } from "./fuzz/fuzz-run.ts";
import { saveFinding } from "./fuzz/save-finding.ts";
import { findTarget, TARGETS } from "./fuzz/target-list.ts";
import { WATCH_BYTES, WATCH_HEADER_BYTES, type WorkerTask } from "./fuzz/worker.ts";

/** Without any progress for so long an input counts as one that hangs: processor time cannot be asked of a thread that is busy. */
const HANG_MS = 20_000;

const USAGE = `npm run fuzz -- [TARGET…] [--minutes N] [--seed N]

All targets, or the named ones, N minutes each (1). See docs/fuzzing.md.

${TARGETS.map(({ name, about }) => `  ${name.padEnd(12)} ${about}`).join("\n")}`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const minutes = Number(values.minutes);
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error("--minutes and --seed are numbers");
const targets = positionals.length > 0 ? positionals.map(findTarget) : TARGETS;
let failed = false;
for (const { name, about } of targets) {
  console.log(`${name}: ${about}\n  seed ${seed}, ${minutes} min`);
  await runTarget(name);
}
process.exit(failed ? 1 : 0);

async function runTarget(name: string): Promise<void> {
  const end = performance.now() + minutes * 60_000;
  // After a hang the rest of the time is used with another seed: the same would come to the same input.
  for (let round = 0; performance.now() < end - 1000; round++) {
    const task = { target: name, seed: seed + round, maxMs: end - performance.now() };
    if (await runWorker(task)) return;
  }
}

type Message = { readonly finding?: FuzzFinding; readonly summary?: FuzzSummary };

/** @returns whether it came to its end. */
function runWorker(task: Omit<WorkerTask, "watch">): Promise<boolean> {
  const watch = new SharedArrayBuffer(WATCH_BYTES);
  const worker = new Worker(new URL("./fuzz/worker.ts", import.meta.url), { workerData: { ...task, watch } });
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const watchdog = watchProgress(watch, (input) => {
    report(task.target, { law: "every input comes to an end", message: "no progress", input });
    void worker.terminate().then(() => resolve(false));
  });
  worker.on("message", ({ finding, summary }: Message) => {
    if (finding !== undefined) report(task.target, { ...finding, input: Buffer.from(finding.input) });
    if (summary !== undefined) printSummary(summary);
  });
  worker.on("error", reject);
  worker.on("exit", (code) => resolve(code === 0));
  return promise.finally(() => clearInterval(watchdog));
}

function watchProgress(watch: SharedArrayBuffer, onHang: (input: Buffer) => void): NodeJS.Timeout {
  const header = new Int32Array(watch, 0, 2);
  let begun = 0;
  let sinceMs = performance.now();
  return setInterval(() => {
    const now = Atomics.load(header, 0);
    if (now !== begun || now === 0) {
      begun = now;
      sinceMs = performance.now();
    } else if (performance.now() - sinceMs > HANG_MS) {
      sinceMs = Number.POSITIVE_INFINITY;
      onHang(Buffer.from(new Uint8Array(watch, WATCH_HEADER_BYTES, header[1]).slice()));
    }
  }, 500);
}

function report(target: string, finding: FuzzFinding): void {
  failed = true;
  console.log(
    `  FOUND ${finding.law}: ${saveFinding(target, finding)}\n    ${finding.message.slice(0, 1500)}`,
  );
}

function printSummary({ inputs, findings, outcomes, slowestMs, heapMiB }: FuzzSummary): void {
  const sorted = [...outcomes].sort(([, a], [, b]) => b - a);
  console.log(
    `  ${inputs} inputs, ${findings.length} findings, ${outcomes.size} kinds of outcome; slowest ${slowestMs.toFixed(1)} ms CPU; heap ${heapMiB?.join(" → ")} MiB`,
  );
  for (const [outcome, times] of sorted.slice(0, 24)) console.log(`    ${times} ${outcome}`);
}
