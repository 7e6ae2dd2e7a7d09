import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { type PeerCertificate, peerFromCertificateDer } from "../../src/identity/peer-certificate.ts";
import { decodePem } from "../../src/identity/pem.ts";
import type { RevokedCertificate } from "../../src/identity/revocation/revoked-set.ts";
import { type SvidSource, tlsCredentials } from "../../src/identity/rotation.ts";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import { callThroughSidecar } from "./client.ts";
import { type RunningMesh, type RunningPod, SECRET, startMesh, svidSource } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const WAIT_MS = 30_000;
const TCP_PORT = 9000;
const HTTP_PORT = 8080;

const MESH = `
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
metadata: {name: ledger, namespace: bank}
spec:
  selector: {app: ledger}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000, targetPort: 9000}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger, namespace: bank}
spec:
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      serviceAccountName: ledger
      containers: [{name: app, image: app, ports: [{containerPort: 8080}, {containerPort: 9000}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: teller, namespace: bank}
spec:
  selector: {matchLabels: {app: teller}}
  template:
    metadata: {labels: {app: teller}}
    spec: {serviceAccountName: teller, containers: [{name: app, image: app, ports: [{containerPort: 8081}]}]}
`;

test("a revoked client is cut, refused anew, and no ticket gets round it", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 91 });
  const ledger = mesh.pod("bank/ledger");
  const stolen = await identityOf(context, mesh, "teller");
  const other = await identityOf(context, mesh, "auditor");
  const first = await dial(ledger, TCP_PORT, stolen);
  const kept = await dial(ledger, TCP_PORT, other);
  assert.equal(await echo(first, "one"), "one");
  const session = await ticketOf(ledger, stolen);
  assert.ok(await isResumed(ledger, stolen, session), "a ticket is of use before the revocation");
  const cut = ledger.proxy.takeRevocations({ revoked: [revocationOf(stolen)], maxAgeMs: 0 });
  assert.equal(cut, 1);
  await closed(first);
  assert.equal(await refusalOf(ledger, stolen, {}), "closed");
  assert.equal(await refusalOf(ledger, stolen, { session }), "closed");
  assert.equal(await echo(kept, "two"), "two", "connections of others go on");
  kept.destroy();
  await until(() => handshakes(ledger, "certificate-revoked").length === 2, "two refusals", WAIT_MS);
  const [record, ...more] = ledger.flows.filter(({ kind }) => kind === "revocation");
  assert.equal(more.length, 0);
  assert.deepEqual(
    [record?.verdict, record?.reason, record?.source?.principal, record?.tls?.peerSerial],
    ["deny", "certificate-revoked", "cluster.local/ns/bank/sa/teller", leafOf(stolen).serial.toUpperCase()],
  );
});

test("a revocation under another issuer's key, or of another serial, touches nobody", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 92 });
  const ledger = mesh.pod("bank/ledger");
  const client = await identityOf(context, mesh, "teller");
  const socket = await dial(ledger, TCP_PORT, client);
  const right = revocationOf(client);
  const wrong = [
    { ...right, issuerKeyId: "00".repeat(20) },
    { ...right, serial: `${right.serial.slice(0, -1)}${right.serial.endsWith("0") ? "1" : "0"}` },
  ];
  assert.equal(ledger.proxy.takeRevocations({ revoked: wrong, maxAgeMs: 0 }), 0);
  assert.equal(await echo(socket, "still here"), "still here");
  assert.equal(await echo(await dial(ledger, TCP_PORT, client), "and new"), "and new");
});

test("connections to a revoked server are cut at its client, and none is made any more", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 93 });
  const [ledger, teller] = [mesh.pod("bank/ledger"), mesh.pod("bank/teller")];
  const tunnel = await tunnelThrough(teller, "ledger.bank", TCP_PORT);
  assert.equal(await echo(tunnel, "one"), "one");
  assert.equal((await callThroughSidecar(teller, "GET", "http://ledger.bank/")).status, 200);
  const cut = teller.proxy.takeRevocations({ revoked: [revocationOf(ledger.identity)], maxAgeMs: 0 });
  assert.ok(cut >= 1, "the tunnel's connection at least; idle ones of the pool besides");
  await closed(tunnel);
  assert.equal((await callThroughSidecar(teller, "GET", "http://ledger.bank/")).status, 503);
  assert.ok(teller.flows.some(({ kind, direction }) => kind === "revocation" && direction === "outbound"));
  assert.equal(handshakes(ledger, "certificate-revoked").length, 0, "the server was told nothing");
});

test("a proxy whose own certificate is revoked drops what stands on it, and serves again with the next", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 94 });
  const [ledger, teller] = [mesh.pod("bank/ledger"), mesh.pod("bank/teller")];
  const inbound = await dial(ledger, TCP_PORT, await identityOf(context, mesh, "auditor"));
  const outbound = await tunnelThrough(teller, "ledger.bank", TCP_PORT);
  assert.equal(await echo(outbound, "one"), "one");
  const before = ledger.identity.current?.serial;
  assert.equal(ledger.proxy.takeRevocations({ revoked: [revocationOf(ledger.identity)], maxAgeMs: 0 }), 2);
  await Promise.all([closed(inbound), closed(outbound)]);
  await until(() => ledger.identity.current !== undefined, "another certificate", WAIT_MS);
  assert.notEqual(ledger.identity.current?.serial, before);
  assert.equal((await callThroughSidecar(teller, "GET", "http://ledger.bank/")).status, 200);
});

test("what was made with a certificate before a rotation is cut when that one is revoked", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 95 });
  const ledger = mesh.pod("bank/ledger");
  const revoked = revocationOf(ledger.identity);
  const socket = await dial(ledger, TCP_PORT, await identityOf(context, mesh, "auditor"));
  await ledger.identity.requestNow();
  const current = ledger.identity.current?.serial;
  assert.equal(await echo(socket, "after"), "after");
  assert.equal(ledger.proxy.takeRevocations({ revoked: [revoked], maxAgeMs: 0 }), 1);
  await closed(socket);
  assert.equal(ledger.identity.current?.serial, current, "the certificate in force is another");
});

test("a cut drops what the kernel still holds for a slow reader", async (context) => {
  const mesh = await startMesh(context, MESH, {
    net: 96,
    tcpHandler: (socket) => {
      const chunk = Buffer.alloc(1 << 20, 7);
      const fill = () => {
        while (!socket.destroyed && socket.write(chunk));
      };
      socket.on("drain", fill).on("error", () => {});
      fill();
    },
  });
  const ledger = mesh.pod("bank/ledger");
  const client = await identityOf(context, mesh, "teller");
  const socket = await dial(ledger, TCP_PORT, client);
  socket.pause();
  await until(() => ledger.proxy.stats().openConnections > 0, "the connection", WAIT_MS);
  await new Promise((resolve) => setTimeout(resolve, 300));
  ledger.proxy.takeRevocations({ revoked: [revocationOf(client)], maxAgeMs: 0 });
  let received = 0;
  socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  socket.resume();
  await closed(socket);
  assert.ok(received < 1 << 20, `${received} bytes after the cut: a plain close lets 3.8 MB through`);
});

test("requests under way over HTTP/1.1 and HTTP/2 end with their connection", async (context) => {
  const mesh = await startMesh(context, MESH, {
    net: 97,
    handler: (_request, response) => void response.write("begun"),
  });
  const ledger = mesh.pod("bank/ledger");
  const client = await identityOf(context, mesh, "teller");
  const http1 = await dial(ledger, HTTP_PORT, client, { ALPNProtocols: ["istio-http/1.1"] });
  http1.write("GET / HTTP/1.1\r\nhost: ledger\r\n\r\n");
  await new Promise((resolve) => http1.once("data", resolve));
  const http2 = await dial(ledger, HTTP_PORT, client, { ALPNProtocols: ["istio-h2"] });
  const session = connectHttp2("http://ledger", { createConnection: () => http2 });
  session.on("error", () => {});
  const stream = session.request({ ":path": "/" });
  stream.on("error", () => {});
  await new Promise((resolve) => stream.once("data", resolve));
  assert.equal(ledger.proxy.takeRevocations({ revoked: [revocationOf(client)], maxAgeMs: 0 }), 2);
  await Promise.all([closed(http1), new Promise((resolve) => session.once("close", resolve))]);
  await until(() => ledger.proxy.stats().openConnections === 0, "no connection is left", WAIT_MS);
});

test("with a limit on silence, handshakes are refused once it is over, and pass again with the next word", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 98 });
  const ledger = mesh.pod("bank/ledger");
  const client = await identityOf(context, mesh, "teller");
  const live = await dial(ledger, TCP_PORT, client);
  ledger.proxy.takeRevocations({ revoked: [], maxAgeMs: 1 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await refusalOf(ledger, client, {}), "closed");
  await until(() => handshakes(ledger, "revocation-unknown").length === 1, "the refusal", WAIT_MS);
  assert.equal(await echo(live, "live"), "live");
  ledger.proxy.takeRevocations({ revoked: [], maxAgeMs: 600_000 });
  assert.equal(await echo(await dial(ledger, TCP_PORT, client), "again"), "again");
});

test("what was made before its identity was revoked is cut, whatever became of its certificate; what came after stays", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 99 });
  const [ledger, teller] = [mesh.pod("bank/ledger"), mesh.pod("bank/teller")];
  const client = await identityOf(context, mesh, "teller");
  const auditor = await identityOf(context, mesh, "auditor");
  const [before, bystander] = [await dial(ledger, TCP_PORT, client), await dial(ledger, TCP_PORT, auditor)];
  const tunnel = await tunnelThrough(teller, "ledger.bank", TCP_PORT);
  assert.equal(await echo(tunnel, "one"), "one");
  const beforeMs = Date.now() + 1;
  await until(() => Date.now() > beforeMs, "a later moment", WAIT_MS);
  const after = await dial(ledger, TCP_PORT, client);
  const identity = { spiffeId: "spiffe://cluster.local/ns/bank/sa/teller", beforeMs };
  const news = { revoked: [], identities: [identity], maxAgeMs: 0 };
  assert.equal(
    ledger.proxy.takeRevocations(news),
    2,
    "the stranger's with its certificate, and its sidecar's",
  );
  await Promise.all([closed(before), closed(tunnel)]);
  assert.equal(await echo(after, "after"), "after");
  assert.equal(await echo(bystander, "two"), "two");
  const [record] = ledger.flows.filter(({ kind }) => kind === "revocation");
  assert.match(record?.explanation?.[0] ?? "", /its identity/);
  assert.equal(ledger.proxy.takeRevocations(news), 0, "told again, as to a proxy that connects again");
  assert.equal(await echo(after, "still"), "still");
  const later = { ...news, identities: [{ ...identity, beforeMs: Date.now() + 1 }] };
  assert.equal(ledger.proxy.takeRevocations(later), 1);
  await closed(after);
});

test("the moment of an identity's revocation is by the clock of who tells of it", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 100 });
  const ledger = mesh.pod("bank/ledger");
  const socket = await dial(ledger, TCP_PORT, await identityOf(context, mesh, "teller"));
  const spiffeId = "spiffe://cluster.local/ns/bank/sa/teller";
  const told = (beforeMs: number, sentAtMs: number) =>
    ledger.proxy.takeRevocations({
      revoked: [],
      identities: [{ spiffeId, beforeMs }],
      sentAtMs,
      maxAgeMs: 0,
    });
  const behindMs = Date.now() - 3_600_000;
  assert.equal(told(behindMs - 600_000, behindMs), 0, "ten minutes before this connection");
  assert.equal(told(behindMs, behindMs), 1, "now, by a clock that is an hour behind");
  await closed(socket);
});

test("a certificate from long before its identity was revoked is refused even where no list has its serial", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 101 });
  const ledger = mesh.pod("bank/ledger");
  const client = await identityOf(context, mesh, "teller");
  const spiffeId = "spiffe://cluster.local/ns/bank/sa/teller";
  const at = (beforeMs: number) =>
    ledger.proxy.takeRevocations({ revoked: [], identities: [{ spiffeId, beforeMs }], maxAgeMs: 0 });
  at(Date.now());
  assert.equal(await refusalOf(ledger, client, {}), "served", "it may have been issued after, and backdated");
  at(Date.now() + 3_600_000);
  assert.equal(await refusalOf(ledger, client, {}), "closed");
  assert.equal(await refusalOf(ledger, await identityOf(context, mesh, "auditor"), {}), "served");
});

test("a revoked key and a revoked authority cut and refuse all that stands on them", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 102 });
  const ledger = mesh.pod("bank/ledger");
  const [client, other] = [
    await identityOf(context, mesh, "teller"),
    await identityOf(context, mesh, "auditor"),
  ];
  const [ofKey, kept] = [await dial(ledger, TCP_PORT, client), await dial(ledger, TCP_PORT, other)];
  const { keySha256, authorityKeyId = "" } = leafOf(client);
  const keys = [keySha256, "00".repeat(32)];
  assert.equal(ledger.proxy.takeRevocations({ revoked: [], keys, maxAgeMs: 0 }), 1);
  await closed(ofKey);
  assert.equal(await refusalOf(ledger, client, {}), "closed");
  assert.equal(await echo(kept, "kept"), "kept");
  const root = { issuerKeyId: "00".repeat(20), serial: "4f", reason: "cACompromise" } as const;
  const authority = { ...root, notAfterMs: Date.now() + 3_600_000, subjectKeyId: authorityKeyId };
  const unrelated = { ...authority, serial: "50", subjectKeyId: "11".repeat(20) };
  assert.equal(ledger.proxy.takeRevocations({ revoked: [unrelated], maxAgeMs: 0 }), 0);
  assert.equal(ledger.proxy.takeRevocations({ revoked: [authority], maxAgeMs: 0 }), 1);
  await closed(kept);
  assert.equal(await refusalOf(ledger, other, {}), "closed");
});

type Context = Parameters<typeof startMesh>[0];

async function identityOf(context: Context, mesh: RunningMesh, account: string): Promise<SvidSource> {
  const source = svidSource(mesh.ca, `spiffe://cluster.local/ns/bank/sa/${account}`, 3600);
  context.after(() => source.stop());
  await source.start();
  return source;
}

function leafOf(source: SvidSource): PeerCertificate {
  const [leaf] = decodePem("CERTIFICATE", source.current?.chainPem ?? "");
  assert.ok(leaf !== undefined);
  const peer = peerFromCertificateDer(leaf);
  assert.ok(!("error" in peer));
  return peer;
}

function revocationOf(source: SvidSource): RevokedCertificate {
  const { serial, authorityKeyId = "", notAfter } = leafOf(source);
  return { serial, issuerKeyId: authorityKeyId, notAfterMs: notAfter.getTime(), reason: "keyCompromise" };
}

function optionsFor(server: RunningPod, port: number, client: SvidSource): ConnectionOptions {
  const svid = client.current;
  assert.ok(svid !== undefined);
  return {
    ...tlsCredentials(svid),
    host: server.pod.address,
    port,
    servername: "x.example",
    ALPNProtocols: ["istio"],
    checkServerIdentity: () => undefined,
  };
}

/** Connected once it has been served: a client of TLS 1.3 is told of a refusal only after its own end of the handshake. */
async function dial(
  server: RunningPod,
  port: number,
  client: SvidSource,
  more: ConnectionOptions = {},
): Promise<TLSSocket> {
  const before = server.flows.filter(({ kind }) => kind === "handshake").length;
  const socket = connectTls({ ...optionsFor(server, port, client), ...more });
  socket.on("error", () => {});
  await until(
    () => server.flows.filter(({ kind }) => kind === "handshake").length > before,
    "the handshake",
    WAIT_MS,
  );
  return socket;
}

function refusalOf(server: RunningPod, client: SvidSource, more: ConnectionOptions): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTls({ ...optionsFor(server, TCP_PORT, client), ...more });
    socket.on("error", () => {}).on("close", () => resolve("closed"));
    socket.on("data", () => resolve("served"));
    socket.on("secureConnect", () => socket.write("x"));
  });
}

async function ticketOf(server: RunningPod, client: SvidSource): Promise<Buffer> {
  const socket = connectTls(optionsFor(server, TCP_PORT, client));
  const ticket = await new Promise<Buffer>((resolve, reject) => {
    socket.on("session", resolve).on("error", reject);
    socket.write("x");
    socket.resume();
  });
  socket.destroy();
  return ticket;
}

async function isResumed(server: RunningPod, client: SvidSource, session: Buffer): Promise<boolean> {
  const socket = connectTls({ ...optionsFor(server, TCP_PORT, client), session });
  assert.equal(await echo(socket, "x"), "x");
  const resumed = socket.isSessionReused();
  socket.destroy();
  await until(() => server.proxy.stats().openConnections <= 2, "the resumed connection is gone", WAIT_MS);
  return resumed;
}

function echo(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    const onData = (chunk: Buffer) => {
      said += chunk.toString();
      if (said.length >= text.length) {
        socket.off("data", onData);
        resolve(said);
      }
    };
    socket.on("data", onData).once("error", reject);
    socket.write(text);
  });
}

async function closed(socket: Socket): Promise<void> {
  socket.on("error", () => {}).resume();
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
}

function tunnelThrough(from: RunningPod, host: string, port: number): Promise<Socket> {
  const socket = connect(OUTBOUND_PROXY_PORT, from.pod.address);
  const credential = Buffer.from(`bulwark:${SECRET}`).toString("base64");
  socket.write(
    `CONNECT ${host}:${port} HTTP/1.1\r\nhost: ${host}:${port}\r\nproxy-authorization: Basic ${credential}\r\n\r\n`,
  );
  return new Promise((resolve, reject) => {
    socket.once("data", (head: Buffer) =>
      head.toString().includes(" 200 ") ? resolve(socket) : reject(new Error(head.toString())),
    );
    socket.once("error", reject);
  });
}

function handshakes({ flows }: RunningPod, reason: string) {
  return flows.filter((flow) => flow.kind === "handshake" && flow.reason === reason);
}
