/**
 * HBONE beside plain mutual TLS: client → sidecar → sidecar → application, both sidecars ours, each in a process of its own; `npm run bench -- hbone`.
 * The client's sidecar takes the server's pod for one in ambient mode (HBONE) or for one behind a sidecar (mutual TLS); the server's is the same.
 *   --rounds N (3)   --seconds N (2)
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type CertificateAuthority, openCa } from "../../src/identity/ca.ts";
import type { Placement } from "../../src/model/placement.ts";
import { parseSpiffeId, parseTrustDomain } from "../../src/model/spiffe-id.ts";
import { cpuNanos } from "../dataplane/cpu-time.ts";
import { connections, type Entry, type LoadResult, requests, stream } from "./load.ts";
import type { FromProxy, ProxyOrder } from "./proxy.ts";

const SECRET = "bench";
const { values } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, seconds: { type: "string", default: "2" } },
  strict: false,
});
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);

const PLACEMENT: Placement = {
  pods: [
    { name: "c-0", workload: "k/c", replica: 0, address: "127.199.0.1" },
    { name: "c-0", workload: "k/d", replica: 0, address: "127.199.0.3" },
    { name: "s-0", workload: "n/s", replica: 0, address: "127.199.0.2" },
  ],
  standIns: [],
  privilegedPortOffset: 0,
};

function pod(namespace: string, name: string, labels: object, ports: readonly number[]): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: name, ...labels } },
    spec: {
      serviceAccountName: name,
      containers: [{ name: "app", image: "app", ports: ports.map((containerPort) => ({ containerPort })) }],
    },
  };
}

function meshText(isAmbient: boolean): string {
  const sidecar = { "security.istio.io/tlsMode": "istio", "networking.istio.io/tunnel": "http" };
  const labels = isAmbient ? { "istio.io/dataplane-mode": "ambient" } : sidecar;
  const named = [
    { name: "http", port: 8080 },
    { name: "tcp", port: 9000 },
    { name: "tcp-echo", port: 9001 },
  ];
  const from = [{ source: { principals: ["cluster.local/ns/k/sa/*"] } }];
  return [
    pod("k", "c", { "security.istio.io/tlsMode": "istio" }, [8080]),
    pod("k", "d", { "security.istio.io/tlsMode": "istio" }, [8080]),
    pod("n", "s", labels, [8080, 9000, 9001]),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "s", namespace: "n" },
      spec: { clusterIP: "10.96.0.1", selector: { app: "s" }, ports: named },
    },
    {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: "p", namespace: "n" },
      spec: { rules: [{ from }] },
    },
  ]
    .map((body) => `---\n${JSON.stringify(body)}\n`)
    .join("");
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** 100 B and 64 KiB by HTTP, bytes without end on 9000, an echo on 9001. */
async function startApplications(): Promise<ProxyOrder["application"]> {
  const bodies = { "/small": Buffer.alloc(100, 97), "/large": Buffer.alloc(65_536, 97) };
  const http = createHttpServer((request, response) => {
    const body = bodies[request.url as keyof typeof bodies] ?? bodies["/small"];
    response.setHeader("content-length", body.length).end(body);
  });
  const block = Buffer.alloc(65_536, 98);
  const source = createServer((socket) => {
    const pump = (): void => {
      while (socket.writable && socket.write(block)) {}
    };
    socket
      .on("error", () => {})
      .on("drain", pump)
      .once("data", pump);
  });
  const echo = createServer({ allowHalfOpen: true }, (socket) => socket.on("error", () => {}).pipe(socket));
  const address = (port: number) => ({ host: "127.0.0.1", port });
  return [
    [8080, address(await listen(http))],
    [9000, address(await listen(source))],
    [9001, address(await listen(echo))],
  ];
}

async function startProxy(
  ca: CertificateAuthority,
  workload: string,
  isAmbient: boolean,
  application: ProxyOrder["application"],
): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, "proxy.ts"), { serialization: "advanced" });
  const ready = new Promise<void>((resolve) => {
    child.on("message", (message: FromProxy) => {
      if (message.kind === "ready") resolve();
      else void grant(ca, child, message);
    });
  });
  const mesh = meshText(isAmbient);
  const order: ProxyOrder = {
    kind: "run",
    mesh,
    workload,
    placement: PLACEMENT,
    application,
    secret: SECRET,
  };
  child.send(order);
  await ready;
  return child;
}

async function grant(
  ca: CertificateAuthority,
  child: ChildProcess,
  { csr, identity }: FromProxy & { kind: "csr" },
): Promise<void> {
  const verifiedIdentity = parseSpiffeId(identity)?.id;
  if (verifiedIdentity === undefined) throw new Error("bad identity");
  const issued = await ca.issue({ csr: Buffer.from(csr), verifiedIdentity, ttlSeconds: 3600 });
  const { chainPem, trustBundlePem } = issued;
  child.send({ kind: "grant", grant: { chainPem, trustBundlePem } });
}

interface Figures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicros: readonly [client: number, server: number];
}

const JOBS: readonly { name: string; unit: string; run: (entry: Entry) => Promise<LoadResult> }[] = [
  {
    name: "HTTP/1.1, 100 B, 32 connections",
    unit: "request",
    run: (entry) => requests(entry, 32, "/small", SECONDS),
  },
  {
    name: "HTTP/1.1, 100 B, 1 connection",
    unit: "request",
    run: (entry) => requests(entry, 1, "/small", SECONDS),
  },
  {
    name: "HTTP/1.1, 64 KiB, 32 connections",
    unit: "request",
    run: (entry) => requests(entry, 32, "/large", SECONDS),
  },
  { name: "bytes, 1 connection", unit: "MiB", run: (entry) => stream(entry, 1, SECONDS) },
  { name: "bytes, 8 connections", unit: "MiB", run: (entry) => stream(entry, 8, SECONDS) },
  {
    name: "new TCP connections, 16 at a time",
    unit: "connection",
    run: (entry) => connections(entry, 16, SECONDS),
  },
];

async function measure(
  run: (typeof JOBS)[number]["run"],
  host: string,
  client: ChildProcess,
  server: ChildProcess,
): Promise<Figures> {
  const credential = Buffer.from(`bulwark:${SECRET}`).toString("base64");
  const pids = [client.pid ?? 0, server.pid ?? 0] as const;
  const before = pids.map(cpuNanos);
  const { done, seconds, latenciesMs } = await run({ host, port: 15_001, credential });
  const [own = 0, other = 0] = pids.map((pid, at) => (cpuNanos(pid) - (before[at] ?? 0)) / 1000 / done);
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
  return { perSecond: done / seconds, p50Ms: at(0.5), p99Ms: at(0.99), cpuMicros: [own, other] };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

const folder = mkdtempSync(join(tmpdir(), "bulwark-bench-hbone-"));
const trustDomain = parseTrustDomain("cluster.local");
if (trustDomain === undefined) throw new Error("bad trust domain");
const ca = await openCa(folder, { trustDomain });
const application = await startApplications();
const server = await startProxy(ca, "n/s", false, application);
const plain = await startProxy(ca, "k/c", false, []);
const tunnelled = await startProxy(ca, "k/d", true, []);
const SUBJECTS = [
  ["mutual TLS", "127.199.0.1", plain],
  ["HBONE", "127.199.0.3", tunnelled],
] as const;

console.log(`${ROUNDS} rounds of ${SECONDS} s; medians\n`);
console.log(
  "| job | between the sidecars | per second | p50 ms | p99 ms | CPU µs each, client's + server's | mutual TLS's CPU ÷ this (least … most) |",
);
console.log("|---|---|---:|---:|---:|---:|---:|");
for (const { name, unit, run } of JOBS) {
  const rounds = new Map<string, Figures[]>(SUBJECTS.map(([subject]) => [subject, []]));
  for (let round = -1; round < ROUNDS; round++)
    for (const [subject, host, client] of SUBJECTS) {
      const figures = await measure(run, host, client, server);
      if (round >= 0) rounds.get(subject)?.push(figures);
    }
  const cpu = (figures: Figures): number => figures.cpuMicros[0] + figures.cpuMicros[1];
  for (const [subject, all] of rounds) {
    const middle = (pick: (figures: Figures) => number): string => {
      const value = median(all.map(pick));
      return value >= 100 ? value.toFixed(0) : value.toFixed(2);
    };
    const latency = unit === "MiB" ? " | " : `${middle((own) => own.p50Ms)} | ${middle((own) => own.p99Ms)}`;
    const each = `${middle((own) => own.cpuMicros[0])} + ${middle((own) => own.cpuMicros[1])}`;
    const plainRounds = rounds.get("mutual TLS") ?? [];
    // Each round against the one just before it: what else the machine does changes slowly.
    const ratios = all.map((own, round) => cpu(plainRounds[round] ?? own) / cpu(own));
    const span = `${Math.min(...ratios).toFixed(2)} … ${Math.max(...ratios).toFixed(2)}`;
    const ratio = subject === "HBONE" ? `**${median(ratios).toFixed(2)}** (${span})` : "1";
    const first = subject === "HBONE" ? "" : `${name}`;
    console.log(
      `| ${first} | ${subject} | ${middle((own) => own.perSecond)} ${unit}s | ${latency} | ${each} | ${ratio} |`,
    );
  }
}
for (const [, , child] of SUBJECTS) child.disconnect();
server.disconnect();
rmSync(folder, { recursive: true, force: true });
process.exit(0);
