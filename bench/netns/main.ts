/**
 * Client → sidecar → sidecar → server between two pods as network namespaces, captured by the same nftables rules: our sidecars, then real Envoy,
 * then none, in turn: `node bench/netns/main.ts [--quick] [--rounds N] [--seconds S] [--only TEXT]`. Needs root and what bench/dataplane needs; see
 * docs/performance.md.
 */
import { mkdirSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { whyNoNetns } from "../../src/substrate/netns/ability.ts";
import { cpuNanos } from "../dataplane/cpu-time.ts";
import { installEnvoy } from "../dataplane/envoy.ts";
import { buildLoad, Load, type LoadFigures, type LoadPlan } from "../dataplane/load.ts";
import { BenchMesh } from "../dataplane/mesh.ts";
import { CapturedPods, type Capturer, CLIENT } from "./captured-pods.ts";
import { KINDS } from "./envoy-sidecars.ts";
import { HEADER, rows, type Sample } from "./report.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    seconds: { type: "string" },
    only: { type: "string", default: "" },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
const seconds = Number(values.seconds ?? (values.quick ? 0.6 : 2));
const folder = resolve(import.meta.dirname, "../../.cache/bench");
const READY_MS = 60_000;

export interface Job {
  readonly title: string;
  readonly plan: LoadPlan;
}

const JOBS: readonly Job[] = [
  { title: "HTTP/1.1, 100 B, 32 connections", plan: { job: "http1", connections: 32 } },
  { title: "HTTP/1.1, 100 B, 1 connection", plan: { job: "http1", connections: 1 } },
  { title: "HTTP/1.1, 64 KiB, 32 connections", plan: { job: "http1", connections: 32, large: true } },
  { title: "HTTP/2, 100 B, 8 connections × 16 streams", plan: { job: "http2", connections: 8, streams: 16 } },
  { title: "TCP, 100 B, 32 connections", plan: { job: "tcp", connections: 32 } },
  { title: "TCP, 64 KiB, 32 connections", plan: { job: "tcp", connections: 32, large: true } },
];

/** The first is what the others are compared with. */
const CAPTURERS: readonly Capturer[] = ["Envoy", "bulwark", "no proxy"];

interface Bench {
  readonly program: string;
  readonly mesh: BenchMesh;
  readonly pods: CapturedPods;
}

async function main(): Promise<void> {
  const missing = await whyNoNetns();
  if (missing !== undefined) throw new Error(`pods cannot be network namespaces here: ${missing}`);
  mkdirSync(folder, { recursive: true });
  const program = buildLoad(folder);
  const binary = installEnvoy(folder);
  const mesh = new BenchMesh(folder, program, "netns");
  const pods = new CapturedPods(mesh);
  const stop = async (): Promise<void> => {
    await pods.stop();
    await mesh.stop();
  };
  process.once("SIGINT", () => void stop().finally(() => process.exit(130)));
  try {
    await mesh.placed();
    const bench: Bench = { program, mesh, pods };
    await answers(bench, "bulwark");
    await pods.startEnvoys(binary, folder);
    await answers(bench, "Envoy");
    await run(bench);
  } finally {
    await stop();
  }
}

/** Waits until every kind of request is answered; then a stranger's must not be: the policy is really asked. */
async function answers(bench: Bench, capturer: Capturer): Promise<void> {
  bench.pods.giveTo(capturer);
  const until = performance.now() + READY_MS;
  for (const job of ["http1", "http2", "tcp"] as const) {
    const plan: LoadPlan = { job, connections: 1 };
    for (;;) {
      const { requests, failed, error } = await drive(bench, plan, 0.05);
      if (failed === 0 && requests > 0) break;
      if (performance.now() > until) throw new Error(`${capturer} does not serve ${job}: ${error}`);
      await new Promise((done) => setTimeout(done, 200));
    }
    const stranger = await asStranger(bench, plan);
    const refused = job === "tcp" ? stranger.requests === 0 : stranger.failed === 0 && stranger.requests > 0;
    if (!refused) throw new Error(`${capturer} does not refuse a stranger's ${job}: ${stranger.error ?? ""}`);
  }
}

async function drive({ program, mesh, pods }: Bench, plan: LoadPlan, lasting: number): Promise<LoadFigures> {
  const load = new Load(
    program,
    "drive",
    { ...plan, addr: serviceAddress(mesh, plan), plain: true, seconds: lasting },
    pods.inside(CLIENT, "application"),
  );
  return ended(load);
}

/** Past its own sidecar, straight to the server's, by another account's certificate. */
async function asStranger({ program, mesh, pods }: Bench, plan: LoadPlan): Promise<LoadFigures> {
  const { cert, key } = await mesh.identity("bench/stranger");
  const addr = `${mesh.pod(serverOf(plan)).address}:${KINDS[kindOf(plan)]}`;
  const load = new Load(program, "drive", { ...plan, addr, cert, key, status: 403, seconds: 0.05 }, [
    "nsenter",
    ...pods.inside(CLIENT, "proxy").slice(1, 3),
    "setpriv",
    `--regid=${proxyGroup(pods)}`,
    "--keep-groups",
    "--",
  ]);
  return ended(load);
}

/** Root by user, so that it can read the key; the proxy's by group, which is not captured. */
function proxyGroup(pods: CapturedPods): number {
  return pods.network(CLIENT).firstUid + 1337;
}

async function ended(load: Load): Promise<LoadFigures> {
  try {
    await load.ready();
    return await load.run();
  } finally {
    await load.end();
  }
}

function kindOf({ job }: LoadPlan): keyof typeof KINDS {
  return job === "connect" ? "http1" : job;
}

function serverOf(plan: LoadPlan): "bench/web" | "bench/ledger" {
  return kindOf(plan) === "tcp" ? "bench/ledger" : "bench/web";
}

/** As the application dials it: the Service's own address. */
function serviceAddress(mesh: BenchMesh, plan: LoadPlan): string {
  const [namespace, name] = serverOf(plan).split("/");
  const host = `${name}.${namespace}.svc.cluster.local`;
  const found = mesh.assignments.virtualAddresses?.find(({ hostname }) => hostname === host);
  if (found === undefined) throw new Error(`the mesh has no address for ${host}`);
  return `${found.address}:${KINDS[kindOf(plan)]}`;
}

async function run(bench: Bench): Promise<void> {
  const [processor] = cpus();
  console.log(
    `\n${new Date().toISOString()}, Node ${process.version}, ${cpus().length} × ${processor?.model.trim()}, load ${loadavg()[0]?.toFixed(1)}; ` +
      `${rounds} rounds of ${seconds} s in turn, medians\n\n${HEADER}`,
  );
  for (const job of JOBS.filter(({ title }) => title.includes(values.only))) {
    const found: Map<Capturer, Sample>[] = [];
    for (let round = -1; round < rounds; round++) {
      const samples = new Map<Capturer, Sample>();
      for (const capturer of CAPTURERS)
        samples.set(capturer, await measure(bench, capturer, job.plan, round < 0 ? seconds / 2 : seconds));
      if (round >= 0) found.push(samples);
    }
    console.log(rows(job.title, job.plan.large === true, found));
  }
  console.log(`\nload at the end: ${loadavg()[0]?.toFixed(1)}`);
}

async function measure(bench: Bench, capturer: Capturer, plan: LoadPlan, lasting: number): Promise<Sample> {
  const { mesh, pods, program } = bench;
  pods.giveTo(capturer);
  const pids = pods.pids(capturer, serverOf(plan));
  const addr = serviceAddress(mesh, plan);
  const inside = pods.inside(CLIENT, "application");
  const load = new Load(program, "drive", { ...plan, addr, plain: true, seconds: lasting }, inside);
  try {
    await load.ready();
    const before = pids.map(cpuNanos);
    const figures = await load.run();
    const used = pids.map((pid, at) => cpuNanos(pid) - (before[at] ?? 0));
    if (figures.failed > 0 || figures.requests === 0)
      throw new Error(
        `${capturer}: ${figures.failed} requests failed: ${figures.error ?? "none was answered"}`,
      );
    if (used.some((nanos) => nanos < figures.requests * 1000))
      throw new Error(`${capturer}: a sidecar did not see the traffic`);
    const micros = used.map((nanos) => nanos / 1000 / figures.requests);
    return { figures, client: micros[0] ?? 0, server: micros[1] ?? 0 };
  } finally {
    await load.end();
  }
}

await main();
