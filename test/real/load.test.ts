/**
 * Half a minute of load while certificates of 5 s rotate and a policy is edited every second: every request has the outcome that
 * the policy in force gives it, and the flow log tells of each exactly what its client saw.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LiveMesh, pause, temporaryFolder, until } from "./live-mesh.ts";
import type { LoadReport, RequestPlan, Sample, Transport, WorkerPlan } from "./load-client.ts";
import { LoadProcess } from "./load-process.ts";
import { monotonicMs } from "./monotonic.ts";

const LOAD_MS = 30_000;
const CERT_TTL_SECONDS = 5;
const EDIT_EVERY_MS = 1000;
/** "In under a second" is asserted of the middle one: any single change may meet a busy machine. */
const MAX_SINGLE_CHANGE_MS = 5000;

const AUDITOR = "spiffe://cluster.local/ns/finance/sa/account-auditor";
const INTRANET = "spiffe://cluster.local/ns/finance/sa/intranet";
const PAYROLL = "spiffe://cluster.local/ns/finance/sa/payroll";
const REPORTER = "finance/payroll";

/** Two states of one file: `/reports/*` is open to the auditor, or is not. */
const policy = (reportsOpen: boolean) => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: auditor-reports, namespace: finance}
spec:
  selector: {matchLabels: {app: payroll}}
  action: ALLOW
  rules:
    - from: [{source: {principals: [cluster.local/ns/finance/sa/account-auditor]}}]
      to: [{operation: {methods: [GET, POST], paths: ["/ledger/*"${reportsOpen ? ', "/reports/*"' : ""}]}}]
`;

const ALWAYS: readonly RequestPlan[] = [
  { name: "pass", method: "GET", path: "/accounts/" },
  { name: "toggled", method: "GET", path: "/reports/" },
  { name: "pass", method: "POST", path: "/ledger/", bodyBytes: 1000 },
  { name: "refuse", method: "GET", path: "/salaries/" },
  { name: "pass", method: "POST", path: "/ledger/", bodyBytes: 70_000 },
  { name: "toggled", method: "POST", path: "/reports/", bodyBytes: 300 },
  { name: "refuse", method: "POST", path: "/accounts/", bodyBytes: 2000 },
  { name: "pass", method: "POST", path: "/ledger/", bodyBytes: 0 },
];
const STRANGER: readonly RequestPlan[] = [
  { name: "refuse", method: "GET", path: "/accounts/" },
  { name: "refuse", method: "POST", path: "/ledger/", bodyBytes: 500 },
  { name: "refuse", method: "GET", path: "/reports/" },
];

/** From the moment of saving to the moment that payroll's proxy told that it has taken the change. */
interface Edit {
  readonly savedMs: number;
  readonly inForceMs: number;
  readonly reportsOpen: boolean;
}

const files = temporaryFolder();
const policyFile = join(files, "mesh", "reports.yaml");
let mesh: LiveMesh;
let edits: readonly Edit[];
let reports: readonly LoadReport[];
let samples: readonly Sample[];

before(async () => {
  mkdirSync(join(files, "mesh"));
  cpSync("../shared/scenarios/payroll/mesh.yaml", join(files, "mesh", "mesh.yaml"));
  writeFileSync(policyFile, policy(false));
  mesh = await LiveMesh.up([join(files, "mesh"), "--cert-ttl", `${CERT_TTL_SECONDS}s`]);
  const loads = [new LoadProcess(planOf(directWorkers())), new LoadProcess(planOf(sidecarWorkers()))];
  try {
    // The edits begin under load, and end before it.
    await until(() => mesh.flows("kind = 'request'").length > 0, "the load has begun");
    edits = await editFor(LOAD_MS);
    reports = await Promise.all(loads.map((load) => load.stop()));
  } finally {
    for (const load of loads) load.kill();
  }
  samples = reports.flatMap((report) => report.samples);
});
after(async () => {
  await mesh?.dispose();
  rmSync(files, { recursive: true, force: true });
});

function planOf(workers: readonly WorkerPlan[]) {
  return {
    caFolder: mesh.state.caFolder,
    certTtlSeconds: CERT_TTL_SECONDS,
    requestTimeoutMs: 15_000,
    workers,
  };
}

function directWorkers(): readonly WorkerPlan[] {
  const { address } = mesh.pod("finance/payroll-0");
  const as = (identity: string): Transport => ({
    kind: "mtls",
    host: address,
    port: 8080,
    identity,
    serverIdentity: PAYROLL,
  });
  return [
    ...workers("kept-tls", 3, as(AUDITOR), ALWAYS, 40),
    // Outlives several certificates of both ends.
    ...workers("long-tls", 1, as(AUDITOR), ALWAYS, Number.POSITIVE_INFINITY),
    ...workers("new-tls", 2, as(AUDITOR), ALWAYS, 1),
    ...workers("stranger-tls", 1, as(INTRANET), STRANGER, 5),
    ...workers("plain", 1, { kind: "plaintext", host: address, port: 8080 }, PLAINTEXT, 1),
  ];
}

const PLAINTEXT: readonly RequestPlan[] = [{ name: "no-answer", method: "GET", path: "/accounts/" }];

function sidecarWorkers(): readonly WorkerPlan[] {
  const through = (pod: string): Transport => {
    const { address, outboundSecret } = mesh.pod(pod);
    return { kind: "proxy", host: address, secret: outboundSecret };
  };
  return [
    ...workers("kept-app", 3, through("finance/account-auditor-0"), ALWAYS, 40),
    ...workers("long-app", 1, through("finance/account-auditor-0"), ALWAYS, Number.POSITIVE_INFINITY),
    ...workers("new-app", 2, through("finance/account-auditor-0"), ALWAYS, 1),
    ...workers("stranger-app", 1, through("finance/intranet-0"), STRANGER, 5),
  ];
}

function workers(
  name: string,
  count: number,
  transport: Transport,
  requests: readonly RequestPlan[],
  requestsPerConnection: number,
): readonly WorkerPlan[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `${name}-${i}`,
    transport,
    authority: "payroll.finance",
    requestsPerConnection,
    thinkMs: 10,
    requests,
  }));
}

async function editFor(durationMs: number): Promise<readonly Edit[]> {
  const done: Edit[] = [];
  const end = monotonicMs() + durationMs;
  for (let reportsOpen = true; monotonicMs() < end; reportsOpen = !reportsOpen) {
    const seen = appliedByPayroll();
    const savedMs = monotonicMs();
    // As editors save: whole, by a rename.
    writeFileSync(`${policyFile}.new`, policy(reportsOpen));
    renameSync(`${policyFile}.new`, policyFile);
    await until(() => appliedByPayroll() > seen, "an edit is in force", 30_000);
    const inForceMs = monotonicMs();
    done.push({ savedMs, inForceMs, reportsOpen });
    await pause(Math.max(0, savedMs + EDIT_EVERY_MS - inForceMs));
  }
  return done;
}

function appliedByPayroll(): number {
  const events = mesh.events.filter(
    ({ kind, pod }) => kind === "proxy-applied" && pod === "finance/payroll-0",
  );
  return Math.max(0, ...events.map(({ version }) => Number(version)));
}

/** What must come of a request to `/reports/*`; undefined where it was under way during a change. */
function toggledStatus({ startedMs, endedMs }: Sample): number | undefined {
  let open = false;
  for (const { savedMs, inForceMs, reportsOpen } of edits) {
    if (savedMs > endedMs) break;
    if (inForceMs >= startedMs) return undefined;
    open = reportsOpen;
  }
  return open ? 200 : 403;
}

function expectedStatus(sample: Sample): number | undefined {
  const { name } = sample;
  return name === "pass" ? 200 : name === "refuse" ? 403 : name === "no-answer" ? 0 : toggledStatus(sample);
}

test("the policy was edited about every second, and each change was in force in about that time", () => {
  assert.ok(edits.length >= 15, `${edits.length} edits in ${LOAD_MS} ms`);
  const took = edits.map(({ savedMs, inForceMs }) => inForceMs - savedMs).sort((a, b) => a - b);
  const median = took[Math.floor(took.length / 2)] ?? Number.NaN;
  assert.ok(median < 1000, `the middle one took ${median} ms`);
  assert.ok((took.at(-1) ?? 0) < MAX_SINGLE_CHANGE_MS, `one took ${took.at(-1)} ms`);
  assert.deepEqual(
    mesh.events.filter(({ kind }) => kind === "configuration-refused" || kind === "proxy-refused"),
    [],
  );
});

test("certificates were renewed all along, the servers' and the clients'", () => {
  const rotations = mesh.events.filter(
    ({ kind, pod }) => kind === "certificate" && pod === "finance/payroll-0",
  );
  const serials = new Set(rotations.map(({ serial }) => serial));
  assert.ok(serials.size >= 8, `${serials.size} certificates of payroll`);
  const clients = new Set(
    mesh
      .flows("kind = 'handshake' AND verdict = 'allow' AND direction = 'inbound'")
      .filter(({ source }) => source?.ip === "127.0.0.1")
      .map(({ tls }) => tls?.peerSerial),
  );
  assert.ok(clients.size >= 8, `${clients.size} certificates of clients`);
});

test("no request failed that should have passed, and none passed that should have failed", (t) => {
  const wrong = samples.filter((sample) => {
    const expected = expectedStatus(sample);
    if (expected === 0) return sample.status !== 0;
    if (sample.problem !== undefined) return true;
    return expected === undefined ? ![200, 403].includes(sample.status) : sample.status !== expected;
  });
  assert.deepEqual(wrong.slice(0, 10), [], `${wrong.length} of ${samples.length}`);
  const count = (name: string) => samples.filter((sample) => sample.name === name).length;
  t.diagnostic(
    `${samples.length} requests: ${["pass", "refuse", "toggled", "no-answer"].map((name) => `${count(name)} ${name}`).join(", ")}`,
  );
  for (const name of ["pass", "refuse", "toggled", "no-answer"]) assert.ok(count(name) > 100, name);
  // Most of those that depend on the edit were judged, in both of its states.
  const toggled = samples.filter(({ name }) => name === "toggled").map(toggledStatus);
  const judged = (status: number) => toggled.filter((expected) => expected === status).length;
  t.diagnostic(`toggled: ${judged(200)} while open, ${judged(403)} while closed, of ${toggled.length}`);
  assert.ok(judged(200) + judged(403) > toggled.length / 2);
  assert.ok(judged(200) > toggled.length / 10 && judged(403) > toggled.length / 10);
});

test("connections that were there before a certificate ended went on", () => {
  for (const name of ["long-tls-0", "long-app-0"]) {
    const own = samples.filter(({ worker, status }) => worker === name && status !== 0);
    const lasted = (own.at(-1)?.endedMs ?? 0) - (own[0]?.startedMs ?? 0);
    assert.ok(lasted > 4 * CERT_TTL_SECONDS * 1000, `${name} lasted ${lasted} ms`);
  }
  // Refused requests with a body close a connection (RFC 9112 §9.3): the direct ones count their handshakes.
  const kept = samples.filter(({ worker }) => worker.startsWith("kept-tls")).length;
  const handshakes = Object.entries(reports[0]?.handshakes ?? {}).filter(([name]) =>
    name.startsWith("kept-tls"),
  );
  const opened = handshakes.reduce((sum, [, n]) => sum + n, 0);
  assert.ok(opened < kept / 2, `${opened} handshakes for ${kept} requests`);
});

test("the flow log has each request exactly once, with the outcome that its client saw", async () => {
  const answered = samples.filter(({ status }) => status !== 0);
  const where = "kind = 'request' AND direction = 'inbound' AND reporter = 'finance/payroll'";
  await until(() => mesh.flows(where).length >= answered.length, "all records have arrived").catch(() => {});
  const seen = new Map<
    string,
    { readonly verdict: string; readonly status: number | undefined; n: number }
  >();
  for (const { path = "", verdict, status } of mesh.flows(where)) {
    const known = seen.get(path);
    if (known === undefined) seen.set(path, { verdict, status, n: 1 });
    else known.n += 1;
  }
  const disagreeing = answered.filter(({ path, status }) => {
    const record = seen.get(path);
    const verdict = status === 200 ? "allow" : "deny";
    return record?.n !== 1 || record.status !== status || record.verdict !== verdict;
  });
  assert.deepEqual(
    disagreeing.slice(0, 5).map((sample) => ({ sample, record: seen.get(sample.path) })),
    [],
    `${disagreeing.length} disagree`,
  );
  assert.equal(seen.size, answered.length);
});

test("so has the client's sidecar, and every handshake and plaintext attempt is in the log", async () => {
  const viaSidecar = reports[1]?.samples ?? [];
  const outbound = mesh
    .flows("kind = 'request' AND direction = 'outbound'")
    .map(({ path = "", status }) => `${new URL(path).pathname} ${status}`);
  assert.deepEqual(outbound.sort(), viaSidecar.map(({ path, status }) => `${path} ${status}`).sort());
  const fromOutside = mesh
    .flows(`kind = 'handshake' AND reporter = '${REPORTER}'`)
    .filter(({ source }) => source?.ip === "127.0.0.1");
  const handshakes = Object.values(reports[0]?.handshakes ?? {}).reduce((sum, n) => sum + n, 0);
  assert.equal(fromOutside.filter(({ verdict }) => verdict === "allow").length, handshakes);
  const plain = samples.filter(({ name }) => name === "no-answer");
  const refused = fromOutside.filter(({ verdict, reason }) => verdict === "deny" && reason === "no-chain");
  assert.equal(refused.length, plain.length);
});

test("the state folder is whole after it, and the mesh ends at once", async () => {
  const { flowLog, pods } = await mesh.status();
  assert.equal(flowLog.ok, true);
  assert.deepEqual(
    pods.map(({ report }) => report?.flowsDropped),
    pods.map(() => 0),
  );
  assert.doesNotMatch(mesh.errors, /BUG/);
  for (const { name } of mesh.children) {
    const log = join(mesh.state.logFolder, `${name.replaceAll(/[^A-Za-z0-9._-]/g, "_")}.log`);
    assert.doesNotMatch(readFileSync(log, "utf8"), /BUG|unhandled|TypeError/i, name);
  }
  assert.equal(await mesh.interrupt(), 0);
});
