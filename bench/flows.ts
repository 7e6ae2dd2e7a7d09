/**
 * What the flow log costs: `node bench/flows.ts [--records N] [--rounds N]`.
 * Storing, interleaved in one run on the same batches of 2,048 lines: SQLite (ours), a plain append of the lines to a file (the least
 * that any log does; finds nothing again), and SQLite with the same table but no index and no check. Then the proxy's side.
 */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { type FlowDraft, nowRfc3339Nanos } from "../src/model/flow-record.ts";
import { FlowBuffer } from "../src/telemetry/flow-buffer.ts";
import { encodeFlow } from "../src/telemetry/flow-encode.ts";
import { FlowStore } from "../src/telemetry/flow-store.ts";

const { values } = parseArgs({
  options: { records: { type: "string", default: "204800" }, rounds: { type: "string", default: "3" } },
});
const RECORDS = Number(values.records);
const ROUNDS = Number(values.rounds);
const BATCH = 2048;
const dir = mkdtempSync(join(tmpdir(), "bulwark-bench-flows-"));

function draft(n: number): FlowDraft {
  return {
    time: nowRfc3339Nanos(),
    kind: "request",
    source: {
      workload: `team-${n % 7}/app-a`,
      principal: "cluster.local/ns/team-a/sa/app-a",
      ip: `127.1.0.${n % 50}`,
      port: 32_768 + ((n * 7919) % 28_000),
    },
    destination: {
      workload: "finance/payroll",
      service: "payroll.finance.svc.cluster.local",
      host: "payroll.finance",
      ip: "127.1.0.9",
      port: 8080,
    },
    reporter: n % 2 === 0 ? "finance/payroll" : `team-${n % 7}/app-a`,
    direction: "inbound",
    protocol: "http",
    sni: "outbound_.80_._.payroll.finance.svc.cluster.local",
    method: "GET",
    path: `/accounts/${n}`,
    status: n % 50 === 0 ? 403 : 200,
    tls: {
      version: "TLSv1.3",
      cipher: "TLS_AES_128_GCM_SHA256",
      group: "X25519MLKEM768",
      peerSerial: "0A1B2C3D4E5F60718293A4B5C6D7E8F9",
      resumed: false,
    },
    verdict: n % 50 === 0 ? "deny" : "allow",
    layer: "rbac",
    reason: "allow-matched",
    policy: "AuthorizationPolicy finance/auditor-reads-accounts",
    rule: 0,
    bytesSent: 120,
    bytesReceived: 512,
    durationMs: 1.25,
    traceId: [1, 2, 3, 4]
      .map((k) => (Math.imul(n + k, 0x9e3779b1) >>> 0).toString(16).padStart(8, "0"))
      .join(""),
    connectionId: `c${n >> 4}`,
  };
}

interface Sink {
  readonly name: string;
  readonly store: (text: string) => void;
  readonly close: () => void;
}

const sinks: readonly ((round: number) => Sink)[] = [
  (round) => storeSink("SQLite, indexed (ours)", join(dir, `ours-${round}.db`), RECORDS * 2),
  (round) =>
    storeSink(
      "SQLite, indexed, removing the oldest all the time",
      join(dir, `full-${round}.db`),
      RECORDS / 4,
    ),
  plainSqlite,
  (round) => ({
    name: "appendFileSync of JSON Lines",
    store: (text) => appendFileSync(join(dir, `lines-${round}.jsonl`), text),
    close: () => undefined,
  }),
];

function storeSink(name: string, path: string, maxRows: number): Sink {
  const store = new FlowStore(path, { maxRows });
  return { name, store: (text) => void store.insertLines(text), close: () => store.close() };
}

function plainSqlite(round: number): Sink {
  const db = new DatabaseSync(join(dir, `plain-${round}.db`));
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE flows (body TEXT)");
  const insert = db.prepare("INSERT INTO flows VALUES (?)");
  const store = (text: string): void => {
    db.exec("BEGIN");
    for (const line of text.split("\n")) if (line !== "") insert.run(line);
    db.exec("COMMIT");
  };
  return { name: "SQLite, one text column, no index, no check", store, close: () => db.close() };
}

function batches(): string[] {
  const texts: string[] = [];
  for (let n = 0; n < RECORDS; n += BATCH) {
    let text = "";
    for (let i = n; i < Math.min(RECORDS, n + BATCH); i++)
      text += `${encodeFlow(draft(i), `finance/payroll@bench:${i}`)}\n`;
    texts.push(text);
  }
  return texts;
}

interface Cost {
  readonly wallSeconds: number;
  readonly cpuMicros: number;
}

function measure(work: () => void): Cost {
  const cpu = process.cpuUsage();
  const start = performance.now();
  work();
  const used = process.cpuUsage(cpu);
  return { wallSeconds: (performance.now() - start) / 1000, cpuMicros: used.user + used.system };
}

function benchStores(): void {
  const texts = batches();
  const bytes = texts.reduce((sum, text) => sum + text.length, 0);
  console.log(
    `storing ${RECORDS} records of ${Math.round(bytes / RECORDS)} bytes, ${ROUNDS} rounds interleaved, medians`,
  );
  const costs = sinks.map((): Cost[] => []);
  const names = sinks.map(() => "");
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, make] of sinks.entries()) {
      const sink = make(round);
      names[i] = sink.name;
      costs[i]?.push(measure(() => texts.forEach(sink.store)));
      sink.close();
    }
  }
  for (const [i, runs] of costs.entries()) {
    const perSecond = Math.round(RECORDS / median(runs.map((run) => run.wallSeconds)));
    const micros = median(runs.map((run) => run.cpuMicros)) / RECORDS;
    console.log(
      `  ${(names[i] ?? "").padEnd(52)} ${String(perSecond).padStart(9)} records/s ${micros.toFixed(2).padStart(7)} µs CPU each`,
    );
  }
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
}

/** Pushing alone (the serialising falls into the flush), then with the serialising and an acknowledging sink. */
async function benchPush(): Promise<void> {
  const drafts = Array.from({ length: 500 }, (_, n) => draft(n));
  const rounds = 400;
  const buffer = new FlowBuffer({
    reporter: "finance/payroll",
    spillDir: join(dir, "spill"),
    send: async () => undefined,
  });
  const pushNanos: number[] = [];
  const allNanos: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint();
    for (const record of drafts) buffer.push(record);
    const pushed = process.hrtime.bigint();
    await buffer.flush(1000);
    pushNanos.push(Number(pushed - start) / drafts.length);
    allNanos.push(Number(process.hrtime.bigint() - start) / drafts.length);
  }
  await buffer.close(1000);
  console.log(
    `push: ${(median(pushNanos) / 1000).toFixed(3)} µs a record; with serialising and hand-over: ${(median(allNanos) / 1000).toFixed(2)} µs`,
  );
  const clock = measure(() => {
    for (let i = 0; i < 1e6; i++) nowRfc3339Nanos();
  });
  console.log(`nowRfc3339Nanos: ${clock.wallSeconds.toFixed(3)} µs`);
}

try {
  benchStores();
  await benchPush();
} finally {
  rmSync(dir, { recursive: true, force: true });
}
