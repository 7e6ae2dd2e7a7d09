/**
 * From `revoke` to the last byte on live connections: `node bench/revocation/main.ts [--connections N] [--identities N]`.
 * A mesh of real processes; half of each identity's connections go through its own sidecar, half straight to the server's with a stolen certificate. The
 * identities are revoked one after the other; a connection's time runs from just before the question to control until its end reaches the client's socket,
 * after which no byte can come. Every connection carries an echo each second meanwhile.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { connectAdmin } from "../../src/control/control-link.ts";
import type { RevokeReport } from "../../src/control/revocation/messages.ts";
import { type Held, holdConnections } from "./held-connections.ts";
import { RevocationMesh } from "./mesh.ts";

const { values } = parseArgs({
  options: {
    connections: { type: "string", default: "1000" },
    identities: { type: "string", default: "10" },
  },
});
const IDENTITIES = Number(values.identities);
const PER_IDENTITY = Math.floor(Number(values.connections) / IDENTITIES);
const TARGET_MS = 250;
/** A connection that still lives then counts as never cut. */
const PATIENCE_MS = 20_000;

interface Round {
  readonly held: readonly Held[];
  readonly askedMs: number;
  readonly report: RevokeReport;
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-bench-revocation-"));
  const mesh = new RevocationMesh(folder, IDENTITIES);
  try {
    await mesh.ready();
    const groups: (readonly Held[])[] = [];
    for (const client of mesh.clients) groups.push(await holdConnections(mesh, client, PER_IDENTITY));
    const rounds: Round[] = [];
    for (const [index, client] of mesh.clients.entries())
      rounds.push(await revoke(mesh, client, groups[index] ?? []));
    report(rounds, groups.flat());
  } finally {
    await mesh.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function revoke(mesh: RevocationMesh, workload: string, held: readonly Held[]): Promise<Round> {
  const before = held.filter(({ endedMs }) => endedMs !== undefined).length;
  if (before > 0) throw new Error(`${before} connections of ${workload} ended before it was revoked`);
  const admin = await connectAdmin(mesh.state);
  const askedMs = performance.now();
  const params = { workload, reason: "keyCompromise" };
  const report = (await admin.request("ca.revoke", params, PATIENCE_MS)) as RevokeReport;
  admin.close();
  const until = performance.now() + PATIENCE_MS;
  while (held.some(({ endedMs }) => endedMs === undefined) && performance.now() < until)
    await new Promise((done) => setTimeout(done, 5));
  return { held, askedMs, report };
}

function report(rounds: readonly Round[], all: readonly Held[]): void {
  const load = loadavg().map((value) => value.toFixed(1));
  console.log(
    `${all.length} connections of ${IDENTITIES} identities, ${IDENTITIES + 1} proxies; ${cpus().length} cores, load ${load.join(" ")}`,
  );
  const took = (way: Held["way"]) =>
    rounds.flatMap(({ held, askedMs }) =>
      held
        .filter((one) => one.way === way)
        .map(({ endedMs }) => (endedMs ?? Number.POSITIVE_INFINITY) - askedMs),
    );
  line("through its own sidecar", took("sidecar"));
  line("straight, with a stolen certificate", took("stolen"));
  const both = [...took("sidecar"), ...took("stolen")];
  line("all", both);
  line(
    "control's answer (all proxies confirmed)",
    rounds.map(({ report }) => report.durationMs),
  );
  const unconfirmed = rounds.filter(({ report: { proxies } }) => proxies.confirmed < proxies.told).length;
  const p99 = quantile(both, 0.99);
  console.log(`rounds in which a proxy did not confirm: ${unconfirmed} of ${rounds.length}`);
  console.log(`target p99 <= ${TARGET_MS} ms: ${p99 <= TARGET_MS ? "met" : "MISSED"}`);
  if (p99 > TARGET_MS) process.exitCode = 1;
}

function line(name: string, times: readonly number[]): void {
  const ms = (q: number) => `${quantile(times, q).toFixed(1).padStart(7)} ms`;
  console.log(`${name.padEnd(42)} p50 ${ms(0.5)}  p99 ${ms(0.99)}  max ${ms(1)}  (${times.length})`);
}

function quantile(times: readonly number[], q: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

await main();
