import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { tlsCredentials } from "../../src/identity/rotation.ts";
import { callThroughSidecar, requestOverTls } from "./client.ts";
import { type RunningMesh, SECRET, startMesh, svidSource } from "./mesh-fixture.ts";

const PAYROLL = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Service
metadata: {name: payroll, namespace: finance}
spec:
  selector: {app: payroll}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-ledger, port: 9000, targetPort: 9000}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: payroll, namespace: finance}
spec:
  selector: {matchLabels: {app: payroll}}
  template:
    metadata: {labels: {app: payroll}}
    spec:
      serviceAccountName: payroll
      containers: [{name: app, image: app, ports: [{containerPort: 8080}, {containerPort: 9000}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: auditor, namespace: finance}
spec:
  selector: {matchLabels: {app: auditor}}
  template:
    metadata: {labels: {app: auditor}}
    spec: {serviceAccountName: account-auditor, containers: [{name: app, image: app, ports: [{containerPort: 8081}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: intranet, namespace: finance}
spec:
  selector: {matchLabels: {app: intranet}}
  template:
    metadata: {labels: {app: intranet}}
    spec: {serviceAccountName: intranet, containers: [{name: app, image: app, ports: [{containerPort: 8081}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: auditor-reads-accounts, namespace: finance}
spec:
  selector: {matchLabels: {app: payroll}}
  action: ALLOW
  rules:
    - from: [{source: {principals: [cluster.local/ns/finance/sa/account-auditor]}}]
      to: [{operation: {methods: [GET], paths: ["/accounts/*"]}}]
`;

test("a sidecar serves what policy allows and refuses the rest, and says which policy in the record", async (context) => {
  const mesh = await startMesh(context, PAYROLL, { net: 31 });
  const auditor = mesh.pod("finance/auditor");
  const ok = await callThroughSidecar(auditor, "GET", "http://payroll.finance/accounts/7?x=1");
  assert.equal(ok.status, 200, ok.body);
  const seen = JSON.parse(ok.body) as { path: string; headers: Record<string, string> };
  assert.equal(seen.path, "/accounts/7?x=1");
  assert.match(
    seen.headers["x-forwarded-client-cert"] ?? "",
    /URI=spiffe:\/\/cluster.local\/ns\/finance\/sa\/account-auditor$/,
  );
  assert.match(seen.headers["x-request-id"] ?? "", /^[0-9a-f-]{36}$/);
  assert.equal((await callThroughSidecar(auditor, "POST", "http://payroll.finance/accounts/7")).status, 403);
  assert.equal((await callThroughSidecar(auditor, "GET", "http://payroll.finance/salaries")).status, 403);
  assert.equal(
    (await callThroughSidecar(mesh.pod("finance/intranet"), "GET", "http://payroll.finance/accounts/7"))
      .status,
    403,
  );
  const records = mesh.pod("finance/payroll").flows.filter(({ kind }) => kind === "request");
  assert.deepEqual(
    records.map(({ verdict, policy, status }) => [verdict, policy, status]),
    [
      ["allow", "AuthorizationPolicy finance/auditor-reads-accounts", 200],
      ["deny", null, 403],
      ["deny", null, 403],
      ["deny", null, 403],
    ],
  );
});

test("a STRICT port closes plaintext without an answer and records the policy that demands TLS", async (context) => {
  const mesh = await startMesh(context, PAYROLL, { net: 32 });
  const { pod, flows } = mesh.pod("finance/payroll");
  const answer = await new Promise<string>((resolve) => {
    let text = "";
    const socket = connect(8080, pod.address, () =>
      socket.write("GET /accounts/1 HTTP/1.1\r\nhost: payroll\r\n\r\n"),
    );
    socket.on("data", (chunk) => (text += chunk.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
  assert.ok(!answer.includes("HTTP/"), answer);
  await until(() => flows.some(({ verdict }) => verdict === "deny"));
  const denial = flows.find(({ verdict }) => verdict === "deny");
  assert.equal(denial?.policy, "PeerAuthentication istio-system/default");
});

test("a TCP port under an HTTP-only ALLOW policy is refused", async (context) => {
  const mesh = await startMesh(context, PAYROLL, { net: 33 });
  const socket = await meshTls(
    mesh,
    "spiffe://cluster.local/ns/finance/sa/account-auditor",
    "127.33.0.1",
    9000,
    ["istio"],
  );
  const closed = new Promise<string>((resolve) => {
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
  socket.write("hello");
  assert.equal(await closed, "");
});

test("the policy now in force decides on connections that are already there", async (context) => {
  const mesh = await startMesh(context, PAYROLL, { net: 34 });
  const auditor = "spiffe://cluster.local/ns/finance/sa/account-auditor";
  const socket = await meshTls(mesh, auditor, "127.34.0.1", 8080, ["istio-http/1.1"]);
  assert.equal((await requestOverTls(socket, "GET /accounts/1 HTTP/1.1\r\nhost: p\r\n\r\n")).status, 200);
  await mesh.apply(PAYROLL.replace("/accounts/*", "/none/*"));
  assert.equal((await requestOverTls(socket, "GET /accounts/1 HTTP/1.1\r\nhost: p\r\n\r\n")).status, 403);
  await mesh.apply(PAYROLL);
  assert.equal((await requestOverTls(socket, "GET /accounts/1 HTTP/1.1\r\nhost: p\r\n\r\n")).status, 200);
  socket.destroy();
});

test("rotation replaces the certificate and keeps the connections", async (context) => {
  const mesh = await startMesh(context, PAYROLL, { net: 35 });
  const auditor = "spiffe://cluster.local/ns/finance/sa/account-auditor";
  const socket = await meshTls(mesh, auditor, "127.35.0.1", 8080, ["istio-http/1.1"]);
  const before = socket.getPeerX509Certificate()?.serialNumber;
  assert.ok(await mesh.pod("finance/payroll").identity.requestNow());
  assert.equal((await requestOverTls(socket, "GET /accounts/1 HTTP/1.1\r\nhost: p\r\n\r\n")).status, 200);
  const second = await meshTls(mesh, auditor, "127.35.0.1", 8080, ["istio-http/1.1"]);
  assert.notEqual(second.getPeerX509Certificate()?.serialNumber, before);
  socket.destroy();
  second.destroy();
});

test("the outbound proxy serves nobody without the workload's secret", async (context) => {
  const mesh = await startMesh(context, PAYROLL, { net: 36 });
  const auditor = mesh.pod("finance/auditor");
  const refused = await callThroughSidecar(auditor, "GET", "http://payroll.finance/accounts/7", {
    secret: `${SECRET}x`,
  });
  assert.equal(refused.status, 407);
});

test("a client without a certificate, or with one of another CA, gets no TLS session", async (context) => {
  const mesh = await startMesh(context, PAYROLL, { net: 37 });
  const other = await startMesh(context, PAYROLL, { net: 38 });
  const { flows } = mesh.pod("finance/payroll");
  const bare = connectTls({ host: "127.37.0.1", port: 8080, rejectUnauthorized: false });
  assert.equal(await firstAnswer(bare, "GET /accounts/1 HTTP/1.1\r\nhost: p\r\n\r\n"), "");
  const rogue = await meshTls(
    other,
    "spiffe://cluster.local/ns/finance/sa/account-auditor",
    "127.37.0.1",
    8080,
    ["istio-http/1.1"],
    false,
  );
  assert.equal(await firstAnswer(rogue, "GET /accounts/1 HTTP/1.1\r\nhost: p\r\n\r\n"), "");
  await until(() => flows.filter(({ verdict }) => verdict === "deny").length === 2);
  assert.ok(flows.every(({ kind, verdict }) => kind === "handshake" && verdict === "deny"));
});

async function meshTls(
  mesh: RunningMesh,
  spiffeId: string,
  host: string,
  port: number,
  alpn: string[],
  verify = true,
): Promise<TLSSocket> {
  const source = svidSource(mesh.ca, spiffeId, 600);
  await source.start();
  source.stop();
  const svid = source.current;
  if (svid === undefined) throw new Error("no certificate");
  const socket = connectTls({
    host,
    port,
    ...tlsCredentials(svid),
    ALPNProtocols: alpn,
    rejectUnauthorized: verify,
    checkServerIdentity: () => undefined,
  });
  await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  return socket;
}

function firstAnswer(socket: TLSSocket, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
    socket.write(bytes);
  });
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 400 && !condition(); tries++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(condition(), "the condition did not come true in 2 s");
}
