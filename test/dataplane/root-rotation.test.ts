/** Proxies follow their CA to another root while connections are open and requests run. */
import assert from "node:assert/strict";
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ServerHttp2Stream,
} from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { endPhase, startRotation } from "../../src/identity/rotation/rotation-steps.ts";
import { type SvidSource, tlsCredentials } from "../../src/identity/rotation.ts";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import { callThroughSidecar, requestOverTls } from "./client.ts";
import { type RunningMesh, type RunningPod, SECRET, startMesh, svidSource } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const WAIT_MS = 30_000;
const CLIENT = "spiffe://cluster.local/ns/a/sa/client";

const mesh = (port: string): string => `
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec:
  selector: {app: server}
  ports: [{name: ${port}, port: 80, targetPort: 8080}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: a, labels: {app: server}}
spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: a, labels: {app: client}}
spec: {serviceAccountName: client, containers: [{name: app, image: app}]}
`;

/** What control does, phase by phase: every proxy follows before the next begins. */
async function rotateRoot({ ca, pods }: RunningMesh): Promise<void> {
  await ca.rotate(startRotation({ kind: "root", by: "cli", force: false }));
  while (ca.manifest?.rotation !== undefined) {
    const wanted = { issuerKeyId: ca.issuer.keyId, trustBundlePem: ca.trustBundlePem };
    const follow = async ({ identity, proxy }: RunningPod) => {
      await identity.follow(wanted);
      await proxy.untilOldHandshakesEnded();
    };
    await Promise.all([...pods.values()].map(follow));
    await ca.rotate(endPhase([]));
  }
}

/** Rotates at least twice, until so many requests have run beside it, several at once; throws with the first that fails. */
async function rotateUnderLoad(mesh: RunningMesh, request: (n: number) => Promise<void>): Promise<void> {
  let count = 0;
  let running = true;
  const end = () => {
    running = false;
  };
  const worker = async () => {
    while (running) await request(count++);
  };
  const rotate = async () => {
    for (let i = 0; running && (i < 2 || count < 30); i++) await rotateRoot(mesh);
  };
  const all = [rotate, ...Array.from({ length: 6 }, () => worker)].map((work) => work().finally(end));
  const failed = (await Promise.allSettled(all)).find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}

test("HTTP/1.1 through sidecars: the root is replaced, no request fails, and an open connection goes on", async (context) => {
  const running = await startMesh(context, mesh("http"), { net: 111 });
  const client = running.pod("a/client");
  const server = running.pod("a/server");
  const stolen = await identity(context, running);
  const live = dial(server, stolen);
  const get = "GET /live HTTP/1.1\r\nhost: server.a\r\n\r\n";
  assert.equal((await requestOverTls(live, get)).status, 200);
  await rotateUnderLoad(running, async () => {
    const answer = await callThroughSidecar(client, "GET", "http://server.a/x");
    assert.equal(answer.status, 200, answer.head);
  });
  assert.equal((await requestOverTls(live, get)).status, 200, "the connection of before");
  live.destroy();
});

test("HTTP/2 through sidecars: sessions are replaced with the root, and no request fails", async (context) => {
  const running = await startMesh(context, mesh("grpc"), {
    net: 112,
    httpServer: () => {
      const application = createHttp2Server();
      application.on("stream", (stream: ServerHttp2Stream) => {
        stream.on("error", () => {});
        stream.respond({ ":status": 200 });
        stream.end("answer");
      });
      return application;
    },
  });
  const client = await session(running.pod("a/client"));
  await rotateUnderLoad(running, async (n) => assert.equal(await ask(client, `/${n}`), "200 answer"));
  client.destroy();
});

test("after a rotation a certificate of the old root is refused, also with a TLS session of before", async (context) => {
  const running = await startMesh(context, mesh("http"), { net: 113 });
  const server = running.pod("a/server");
  const old = await identity(context, running);
  const ticket = await ticketOf(server, old);
  assert.deepEqual(await attempt(server, old, ticket), { status: 200, resumed: true });
  await rotateRoot(running);
  const trusting = { ca: running.ca.trustBundlePem };
  assert.deepEqual(await attempt(server, old, ticket, trusting), { status: 0, resumed: false });
  assert.deepEqual(await attempt(server, old, undefined, trusting), { status: 0, resumed: false });
  const fresh = await identity(context, running);
  // A session of before is of no use to a sound certificate either: the handshake is made in full, and passes.
  assert.deepEqual(await attempt(server, fresh, ticket), { status: 200, resumed: false });
});

type Context = Parameters<typeof startMesh>[0];

async function identity(context: Context, { ca }: RunningMesh): Promise<SvidSource> {
  const source = svidSource(ca, CLIENT, 3600);
  context.after(() => source.stop());
  await source.start();
  return source;
}

function dial(
  server: RunningPod,
  source: SvidSource,
  more: { session?: Buffer; ca?: string } = {},
): TLSSocket {
  const svid = source.current;
  assert.ok(svid !== undefined);
  return connectTls({
    ...tlsCredentials(svid),
    host: server.pod.address,
    port: 8080,
    servername: "x.example",
    ALPNProtocols: ["istio-http/1.1"],
    checkServerIdentity: () => undefined,
    ...more,
  });
}

async function ticketOf(server: RunningPod, source: SvidSource): Promise<Buffer> {
  const socket = dial(server, source);
  const ticket = new Promise<Buffer>((resolve, reject) =>
    socket.once("session", resolve).once("error", reject),
  );
  await requestOverTls(socket, "GET / HTTP/1.1\r\nhost: server.a\r\n\r\n");
  const taken = await ticket;
  socket.destroy();
  return taken;
}

async function attempt(
  server: RunningPod,
  source: SvidSource,
  session: Buffer | undefined,
  more: { ca?: string } = {},
): Promise<{ status: number; resumed: boolean }> {
  const socket = dial(server, source, { ...more, ...(session === undefined ? {} : { session }) });
  const answer = await requestOverTls(socket, "GET / HTTP/1.1\r\nhost: server.a\r\n\r\n").catch(() => ({
    status: 0,
  }));
  const resumed = answer.status !== 0 && socket.isSessionReused();
  socket.on("error", () => {}).destroy();
  return { status: answer.status, resumed };
}

async function session(from: RunningPod) {
  const socket: Socket = connect({ host: from.pod.address, port: OUTBOUND_PROXY_PORT, allowHalfOpen: true });
  const credential = Buffer.from(`bulwark:${SECRET}`).toString("base64");
  socket.write(
    `CONNECT server.a:80 HTTP/1.1\r\nhost: server.a:80\r\nproxy-authorization: Basic ${credential}\r\n\r\n`,
  );
  await new Promise((resolve) => socket.once("data", resolve));
  const client = connectHttp2("http://server.a", { createConnection: () => socket });
  client.on("error", () => {});
  await until(() => !client.connecting, "the session", WAIT_MS);
  return client;
}

function ask(client: Awaited<ReturnType<typeof session>>, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const stream = client.request({ ":path": path });
    let status = "";
    let body = "";
    stream.on("response", (headers) => {
      status = String(headers[":status"]);
    });
    stream.setEncoding("utf8").on("data", (text) => {
      body += text;
    });
    stream.on("error", reject).on("end", () => resolve(`${status} ${body}`));
  });
}
