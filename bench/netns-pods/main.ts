/**
 * A mesh of many pods on network namespaces, from `up` to the last trace of it: `npm run bench -- netns-pods [--pods 100] [--rounds 1]`. How long
 * it takes until ready and until gone, what processor time and memory its processes have used by then, and what is left. Needs root (docs/substrates.md).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import type { BookedProcess, RunBook } from "../../src/control/run-book.ts";
import { whyNoNetns } from "../../src/substrate/netns/ability.ts";
import { meshTag } from "../../src/substrate/netns/addresses.ts";
import { isOfMesh, NETNS_FOLDER, USERNS_FOLDER } from "../../src/substrate/netns/names.ts";
import { type ProcessCost, processCost } from "./process-cost.ts";

const { values } = parseArgs({
  options: { pods: { type: "string", default: "100" }, rounds: { type: "string", default: "1" } },
});
const pods = Number(values.pods);
const bulwark = resolve(import.meta.dirname, "../../bin/bulwark");
const folder = mkdtempSync(join(tmpdir(), "bulwark-pods-"));
const state = join(folder, "state");

function meshFile(): string {
  const workloads = Array.from(
    { length: pods },
    (_, i) => `
---
apiVersion: v1
kind: Service
metadata: {name: w${i}, namespace: big}
spec: {selector: {app: w${i}}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: w${i}, namespace: big}
spec:
  selector: {matchLabels: {app: w${i}}}
  template:
    metadata: {labels: {app: w${i}}}
    spec: {containers: [{name: app, image: x, ports: [{containerPort: 8080}]}]}`,
  );
  const file = join(folder, "mesh.yaml");
  const head = "apiVersion: v1\nkind: Namespace\nmetadata: {name: big, labels: {istio-injection: enabled}}";
  writeFileSync(file, `${head}${workloads.join("")}\n`);
  return file;
}

interface Up {
  readonly process: ChildProcess;
  /** From the start of the command, in seconds. */
  readonly firstProxySeconds: number;
  readonly readySeconds: number;
}

interface UpEvent {
  readonly kind: string;
  readonly event?: { readonly kind: string; readonly name: string };
}

async function up(file: string): Promise<Up> {
  const startedMs = performance.now();
  const seconds = () => (performance.now() - startedMs) / 1000;
  const child = spawn(bulwark, ["up", file, "--state", state, "--substrate", "netns", "--format", "json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let firstProxySeconds = Number.NaN;
  for await (const line of createInterface({ input: child.stdout })) {
    const { kind, event } = JSON.parse(line) as UpEvent;
    if (Number.isNaN(firstProxySeconds) && event?.name.startsWith("proxy ") === true)
      firstProxySeconds = seconds();
    if (kind !== "ready") continue;
    const readySeconds = seconds();
    // Unread, it would end.
    child.stdout.on("data", () => {});
    return { process: child, firstProxySeconds, readySeconds };
  }
  throw new Error("the mesh did not come up");
}

async function down({ process: child }: Up): Promise<number> {
  const startedMs = performance.now();
  const ended = new Promise((settle) => child.on("close", settle));
  child.kill("SIGINT");
  await ended;
  return (performance.now() - startedMs) / 1000;
}

/** Namespaces, with the rules in them, live by these files and mounts, or by processes. */
function left(): readonly string[] {
  const tag = meshTag(state);
  const names = [NETNS_FOLDER, USERNS_FOLDER].flatMap((place) =>
    existsSync(place) ? readdirSync(place).filter((name) => isOfMesh(name, tag)) : [],
  );
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const processes = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(state));
  return [
    ...names,
    ...mounts.filter((line) => line.includes(`bw-${tag}-`) || line.includes(state)),
    ...processes,
  ];
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** Least, median and most. */
function spread(costs: readonly ProcessCost[], field: keyof ProcessCost): string {
  const sorted = costs.map((cost) => cost[field]).sort((a, b) => a - b);
  const at = (index: number) => (sorted[index] ?? Number.NaN).toFixed(field === "cpuSeconds" ? 2 : 1);
  return `${at(0)} / ${at(Math.floor(sorted.length / 2))} / ${at(sorted.length - 1)}`;
}

function report(children: readonly BookedProcess[], upPid: number): void {
  const costs = new Map(children.map(({ name, pid }) => [name, processCost(pid)]));
  const proxies = [...costs].filter(([name]) => name.startsWith("proxy ")).map(([, cost]) => cost);
  console.log(`  ${proxies.length} proxies (least / median / most): own MiB ${spread(proxies, "own")}`);
  console.log(
    `    proportional (PSS) MiB ${spread(proxies, "proportional")}, resident MiB ${spread(proxies, "resident")}`,
  );
  console.log(`    CPU s until now ${spread(proxies, "cpuSeconds")}`);
  const rest = [...costs].filter(([name]) => !name.startsWith("proxy "));
  for (const [name, cost] of [...rest, ["up", processCost(upPid)] as const])
    console.log(`  ${name}: PSS ${cost.proportional.toFixed(1)} MiB, CPU ${cost.cpuSeconds.toFixed(2)} s`);
  const all = [...costs.values(), processCost(upPid)];
  const total = all.reduce((sum, { proportional }) => sum + proportional, 0);
  const cpu = all.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
  console.log(`  together: PSS ${total.toFixed(0)} MiB, CPU ${cpu.toFixed(1)} s`);
}

const missing = await whyNoNetns();
if (missing !== undefined) {
  console.log(`skipped: pods cannot be network namespaces here: ${missing}`);
  process.exit(0);
}
try {
  const file = meshFile();
  for (let round = 1; round <= Number(values.rounds); round++) {
    const load = loadavg()[0]?.toFixed(1);
    const running = await up(file);
    console.log(
      `${pods} pods: first proxy started after ${running.firstProxySeconds.toFixed(1)} s, ready after ${running.readySeconds.toFixed(1)} s (${availableParallelism()} processors, load ${load} before)`,
    );
    const { children } = JSON.parse(readFileSync(join(state, "run.json"), "utf8")) as RunBook;
    report(children, running.process.pid ?? 0);
    console.log(`  down in ${(await down(running)).toFixed(1)} s`);
    const remains = left();
    console.log(`  left: ${remains.length === 0 ? "nothing" : remains.join(", ")}`);
    if (remains.length > 0) process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
