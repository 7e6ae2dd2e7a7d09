/** A revocation on a mesh of real processes: what it cuts, what it refuses, what comes over restarts, and how an identity gets back in. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { signWithToken, stealIdentity } from "../../src/attack/stolen-identity.ts";
import { connectAdmin, dialControl } from "../../src/control/control-link.ts";
import type { CaReport, RevokeReport } from "../../src/control/revocation/messages.ts";
import { readRunBook } from "../../src/control/run-book.ts";
import { tokenFile } from "../../src/control/token-file.ts";
import { encodeCsr } from "../../src/identity/csr.ts";
import { KEY_ALGORITHMS } from "../../src/identity/key-algorithm.ts";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import type { Assignments, PodAssignment } from "../../src/substrate/assignment.ts";
import { bulwark } from "../cli/run-bulwark.ts";
import { until } from "../control/until.ts";
import { removeState, startMesh, type TestMesh } from "./running-mesh.ts";

const WAIT_MS = 60_000;
const LEDGER_PORT = 9000;

const workload = (name: string, ports: string) => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: bank}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}, sidecar.istio.io/inject: "true"}}
    spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: [${ports}]}]}
---
`;

const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: bank}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: bank}
spec:
  selector: {app: ledger}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000, targetPort: 9000}]
---
${workload("ledger", "{containerPort: 8080}, {containerPort: 9000}")}${workload("teller", "{containerPort: 8081}")}${workload("auditor", "{containerPort: 8081}")}`;

const files = mkdtempSync(join(tmpdir(), "revocation-"));
let mesh: TestMesh;
let pods: ReadonlyMap<string, PodAssignment>;
let stolen: { readonly key: string; readonly cert: string; readonly serial: string };

before(async () => {
  writeFileSync(join(files, "mesh.yaml"), MESH);
  mesh = await startMesh([files]);
  pods = await podsOf(mesh);
  const credentials = await stealIdentity(
    () => dialControl(mesh.state.controlSocket),
    token(),
    pod("bank/teller"),
  );
  stolen = { key: credentials.keyPem, cert: credentials.chainPem, serial: credentials.serial.toLowerCase() };
});
after(async () => {
  await mesh.stop();
  removeState(mesh);
  rmSync(files, { recursive: true, force: true });
});

function pod(workloadKey: string): PodAssignment {
  return pods.get(workloadKey) ?? assert.fail(`no pod of ${workloadKey}`);
}

function token(): string {
  return readFileSync(tokenFile(mesh.state, "bank/teller-0"), "utf8").trim();
}

test("a key that no proxy has is told of in status", async () => {
  await until(async () => {
    const { alerts } = await status();
    return alerts.some(({ kind, serials }) => kind === "two-keys" && serials?.includes(stolen.serial));
  }, WAIT_MS);
});

test("revoking a workload cuts its live connections at once, and leaves those of others", async () => {
  const live = await tunnel("bank/teller");
  const other = await tunnel("bank/auditor");
  const thief = await dialAs(stolen);
  assert.equal(await echo(live, "one"), "one");
  assert.equal(await thief.first, "served");
  const report = JSON.parse(
    await ca("revoke", "--workload", "bank/teller", "--reason", "keyCompromise"),
  ) as RevokeReport;
  assert.equal(report.cutOff, "spiffe://cluster.local/ns/bank/sa/teller");
  assert.deepEqual(report.workloads, ["bank/teller"]);
  assert.equal(report.revoked.length, 2, "the proxy's and the stolen one");
  assert.deepEqual(report.proxies, { told: 3, confirmed: 3 });
  assert.ok(report.connectionsCut >= 2, `${report.connectionsCut}`);
  await Promise.all([closed(live), closed(thief.socket)]);
  assert.equal(await echo(other, "two"), "two");
  other.destroy();
});

test("the revoked identity is refused wherever it tries, and the flow log says why", async () => {
  assert.equal(await (await dialAs(stolen)).first, "refused");
  const outcome = await mesh.call("bank/teller", "http://ledger.bank/");
  assert.notEqual(outcome.answer.status, 200);
  await until(async () => (await reasons("handshake")).includes("certificate-revoked"), WAIT_MS);
  await until(async () => (await reasons("revocation")).includes("certificate-revoked"), WAIT_MS);
  assert.ok((await reasons("revocation")).includes("keyCompromise"), "what the CA itself has on record");
});

test("its token is worth nothing to the CA any more", async () => {
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  await assert.rejects(
    signWithToken(() => dialControl(mesh.state.controlSocket), token(), encodeCsr(privateKey)),
    (error) => error instanceof BulwarkError && error.code === "BW_CA_CREDENTIAL_CUT_OFF",
  );
});

test("a proxy that is started again knows what is revoked before it takes a connection", async () => {
  await killAndAwait("proxy bank/ledger-0");
  await until(async () => (await tryEcho("bank/auditor")) === "up", WAIT_MS);
  assert.equal(await (await dialAs(stolen)).first, "refused");
});

test("while control is down, and after it is back, the revoked certificate stays refused", async () => {
  await killAndAwait("control");
  assert.equal(await (await dialAs(stolen)).first, "refused");
  await until(async () => {
    const { certificates } = await status();
    return certificates.find(({ serial }) => serial === stolen.serial)?.status === "revoked";
  }, WAIT_MS);
  assert.equal(await (await dialAs(stolen)).first, "refused");
});

test("restored, its pods get certificates again; what was revoked stays refused", async () => {
  await until(async () => {
    const { code } = await bulwark([
      "ca",
      "restore",
      "--workload",
      "bank/teller",
      "--state",
      mesh.state.root,
    ]);
    return code === 0;
  }, WAIT_MS);
  await until(
    async () => (await mesh.call("bank/teller", "http://ledger.bank/")).answer.status === 200,
    WAIT_MS,
  );
  assert.equal(await (await dialAs(stolen)).first, "refused");
});

test("revoking one certificate by its serial gives its proxy another, without the identity's being cut off", async () => {
  const before = await serialUsedBy("bank/auditor-0");
  const report = JSON.parse(await ca("revoke", before)) as RevokeReport;
  assert.equal(report.cutOff, null);
  await until(async () => !["", before].includes(await serialUsedBy("bank/auditor-0")), WAIT_MS);
  await until(async () => (await tryEcho("bank/auditor")) === "up", WAIT_MS);
});

test("blocked, an identity gets nothing over a restart of the whole mesh, until it is unblocked", async () => {
  const report = JSON.parse(await ca("revoke", "--workload", "bank/auditor", "--block")) as RevokeReport;
  assert.equal(report.blocked, true);
  const auditor = report.cutOff ?? "";
  assert.equal(auditor, "spiffe://cluster.local/ns/bank/sa/auditor");
  const restored = await bulwark(["ca", "restore", auditor, "--state", mesh.state.root]);
  assert.equal(restored.code, 3);
  assert.match(restored.stderr, /ca unblock/);
  await restart();
  await until(async () => (await reasons("decision")).includes("BW_CA_IDENTITY_BLOCKED"), WAIT_MS);
  assert.notEqual(await tryEcho("bank/auditor"), "up");
  assert.deepEqual(
    (await status()).blocked.map(({ identity }) => identity),
    [auditor],
  );
  const { code, stdout } = await bulwark(["ca", "unblock", auditor, "--state", mesh.state.root]);
  assert.equal(code, 0);
  assert.match(stdout, /bank\/auditor-0/);
  await until(async () => (await tryEcho("bank/auditor")) === "up", WAIT_MS);
  assert.deepEqual((await status()).blocked, []);
  assert.equal((await bulwark(["ca", "unblock", auditor, "--state", mesh.state.root])).code, 3);
});

test("revoked and not blocked, an identity is back after a restart, attested anew, with another key and certificate", async () => {
  const { revoked } = JSON.parse(await ca("revoke", "--workload", "bank/auditor")) as RevokeReport;
  assert.ok(revoked.length > 0);
  await restart();
  await until(async () => (await tryEcho("bank/auditor")) === "up", WAIT_MS);
  const now = await serialUsedBy("bank/auditor-0");
  assert.ok(now !== "" && !revoked.some(({ serial }) => serial === now));
});

test("what there is not to revoke is told, and nothing happens", async () => {
  const { code, stderr } = await bulwark(["ca", "revoke", "0badc0de", "--state", mesh.state.root]);
  assert.notEqual(code, 0);
  assert.match(stderr, /serial|certificate/);
  assert.equal((await bulwark(["ca", "revoke", "--state", mesh.state.root])).code, 3);
  const unknown = await bulwark(["ca", "revoke", "--workload", "bank/nobody", "--state", mesh.state.root]);
  assert.equal(unknown.code, 3);
  assert.match(unknown.stderr, /no workload/);
  const spiffeIds = ["spiffe://cluster.local/ns/bank/sa/nobody", "spiffe://other.example/ns/bank/sa/teller"];
  for (const spiffeId of spiffeIds) {
    const none = await bulwark(["ca", "revoke", spiffeId, "--state", mesh.state.root]);
    assert.deepEqual([none.code, none.stdout], [3, ""]);
    assert.match(none.stderr, /nothing was revoked/);
  }
  const foreign = await bulwark(["ca", "revoke", spiffeIds[1] ?? "", "--block", "--state", mesh.state.root]);
  assert.equal(foreign.code, 3);
  const before = JSON.parse(await ca("revoke", spiffeIds[0] ?? "", "--block")) as RevokeReport;
  assert.deepEqual([before.blocked, before.revoked, before.workloads], [true, [], []]);
  assert.equal((await status()).blocked.length, 1);
});

/** The whole mesh, on the same state folder. */
async function restart(): Promise<void> {
  await mesh.stop();
  mesh = await startMesh([files], mesh.state.root);
  pods = await podsOf(mesh);
}

async function podsOf({ state }: TestMesh): Promise<ReadonlyMap<string, PodAssignment>> {
  const admin = await connectAdmin(state);
  const assignments = (await admin.request("pods", {}, WAIT_MS)) as Assignments;
  admin.close();
  return new Map(assignments.pods.map((one) => [one.workload, one]));
}

async function ca(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await bulwark([
    "ca",
    ...args,
    "--state",
    mesh.state.root,
    "--format",
    "json",
  ]);
  assert.equal(code, 0, stderr);
  return stdout;
}

async function status(): Promise<CaReport> {
  const { stdout } = await bulwark(["ca", "status", "--state", mesh.state.root, "--format", "json"]);
  return stdout === "" ? EMPTY : (JSON.parse(stdout) as CaReport);
}

/** While control is away there is no answer. */
const EMPTY: CaReport = {
  trustDomain: "",
  store: "",
  authorities: [],
  revokedAuthorities: [],
  revoking: null,
  certificates: [],
  more: false,
  alerts: [],
  blocked: [],
};

async function serialUsedBy(podKey: string): Promise<string> {
  return (await status()).certificates.find(({ usedBy }) => usedBy === podKey)?.serial ?? "";
}

async function reasons(kind: string): Promise<readonly (string | undefined)[]> {
  const args = ["flows", "--kind", kind, "--format", "json", "-n", "1000", "--state", mesh.state.root];
  const { stdout } = await bulwark(args);
  const lines = stdout.split("\n").filter((line) => line !== "");
  return lines.map((line) => (JSON.parse(line) as FlowRecord).reason);
}

async function killAndAwait(name: string): Promise<void> {
  const pidOf = () => readRunBook(mesh.state)?.children.find((child) => child.name === name)?.pid;
  const before = pidOf();
  assert.ok(before !== undefined, name);
  process.kill(before, "SIGKILL");
  await until(() => pidOf() !== undefined && pidOf() !== before, WAIT_MS);
}

function tunnel(from: string): Promise<Socket> {
  const { address, outboundSecret } = pod(from);
  const socket = connect(OUTBOUND_PROXY_PORT, address);
  const credential = Buffer.from(`bulwark:${outboundSecret}`).toString("base64");
  socket.write(
    `CONNECT ledger.bank:${LEDGER_PORT} HTTP/1.1\r\nhost: ledger.bank:${LEDGER_PORT}\r\nproxy-authorization: Basic ${credential}\r\n\r\n`,
  );
  return new Promise((resolve, reject) => {
    socket.once("data", (head: Buffer) =>
      head.toString().includes(" 200 ") ? resolve(socket) : reject(new Error(head.toString())),
    );
    socket.once("error", reject).once("close", () => reject(new Error("closed")));
  });
}

/** `up` when the ledger answers. */
async function tryEcho(from: string): Promise<string> {
  try {
    const socket = await tunnel(from);
    const said = await echo(socket, "up");
    socket.destroy();
    return said;
  } catch {
    return "";
  }
}

function echo(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once("data", (chunk: Buffer) => resolve(chunk.toString()));
    socket.once("error", reject).once("close", () => reject(new Error("closed")));
    socket.write(text);
  });
}

interface Dialled {
  readonly socket: Socket;
  /** What came first: bytes of the application, or the end. */
  readonly first: Promise<"served" | "refused">;
}

/** Straight to the ledger's sidecar, past every proxy of its own: as a thief does. */
async function dialAs({ key, cert }: { readonly key: string; readonly cert: string }): Promise<Dialled> {
  const socket = connectTls({
    host: pod("bank/ledger").address,
    port: LEDGER_PORT,
    key,
    cert,
    rejectUnauthorized: false,
    ALPNProtocols: ["istio"],
  });
  const first = new Promise<"served" | "refused">((resolve) => {
    socket.once("data", () => resolve("served"));
    socket.on("error", () => {}).once("close", () => resolve("refused"));
  });
  socket.once("secureConnect", () => socket.write("hello"));
  return { socket, first };
}

async function closed(socket: Socket): Promise<void> {
  socket.on("error", () => {}).resume();
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
}
