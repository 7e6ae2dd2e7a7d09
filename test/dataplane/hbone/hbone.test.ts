import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { createSecureContext, createServer as createTlsServer } from "node:tls";
import { Deadlines } from "../../../src/dataplane/deadlines.ts";
import { UpstreamPool } from "../../../src/dataplane/upstream-pool.ts";
import type { UpstreamTarget } from "../../../src/dataplane/upstream-target.ts";
import type { FlowUpstream } from "../../../src/model/flow-record.ts";
import type { BulwarkError } from "../../../src/resources/bulwark-error.ts";
import { CertificateForge } from "../../../tools/corpus/live-certificates.ts";
import {
  AUTHORITY,
  clientOf,
  open,
  partyOf,
  type RunningServer,
  readAll,
  spiffeIdOf,
  startServer,
  type TestClient,
  targetAt,
  testCa,
  until,
} from "./hbone-fixture.ts";

type OnTunnel = NonNullable<Parameters<typeof startServer>[2]>;

interface Pair {
  readonly server: RunningServer;
  readonly client: TestClient;
}

async function pair(
  context: TestContext,
  onTunnel?: OnTunnel,
  limits: Parameters<typeof clientOf>[2] = {},
): Promise<Pair> {
  const ca = await testCa(context);
  const server = await startServer(context, await partyOf(context, ca, "server"), onTunnel);
  return { server, client: clientOf(context, await partyOf(context, ca, "client"), limits) };
}

test("a tunnel carries bytes both ways, and the server knows who asks and for what", async (context) => {
  const { server, client } = await pair(context);
  const socket = await open(client, targetAt(server.port, { headers: { baggage: "k8s.pod.name=a" } }));
  socket.end("through and back");
  assert.equal((await readAll(socket)).toString(), "through and back");
  const [tunnel] = server.tunnels;
  assert.equal(tunnel?.peer.principal, "cluster.local/ns/a/sa/client");
  assert.deepEqual([tunnel?.authority, tunnel?.ip, tunnel?.port], [AUTHORITY, "10.1.2.3", 8080]);
  assert.equal(tunnel?.headers.baggage, "k8s.pod.name=a");
  assert.deepEqual([tunnel?.source.ip, tunnel?.local], ["127.0.0.1", { ip: "127.0.0.1", port: server.port }]);
  assert.equal(tunnel?.source.port, socket.localPort);
  await until(() => socket.destroyed, "the end of the socket");
});

test("either half can end first, and the other goes on", async (context) => {
  let served: Socket | undefined;
  const { server, client } = await pair(context, (tunnel) => {
    served = tunnel.accept();
  });
  const socket = await open(client, targetAt(server.port));
  socket.end("asked");
  await until(() => served !== undefined);
  const own = served as Socket;
  assert.equal((await readAll(own)).toString(), "asked");
  own.write("answered ");
  own.end("late");
  assert.equal((await readAll(socket)).toString(), "answered late");

  const second = await open(client, targetAt(server.port));
  await until(() => served !== own);
  const other = served as Socket;
  other.end("server first");
  assert.equal((await readAll(second)).toString(), "server first");
  second.end("client after");
  assert.equal((await readAll(other)).toString(), "client after");
});

test("what one side breaks off is broken off at the other, and ends in no way that looks whole", async (context) => {
  let served: Socket | undefined;
  const { server, client } = await pair(context, (tunnel) => {
    served = tunnel.accept();
  });
  const first = await open(client, targetAt(server.port));
  await until(() => served !== undefined);
  first.write("half of it");
  await once(served as Socket, "readable");
  first.destroy();
  await assert.rejects(readAll(served as Socket), { code: "BW_TUNNEL_RESET" });

  const second = await open(client, targetAt(server.port));
  await until(() => served?.destroyed === false);
  served?.write("half of it");
  await once(second, "readable");
  served?.destroy();
  await assert.rejects(readAll(second), { code: "BW_TUNNEL_RESET" });
});

test("a connection that breaks breaks its tunnels, and none of them looks whole", async (context) => {
  const { server, client } = await pair(context);
  const sockets = [await open(client, targetAt(server.port)), await open(client, targetAt(server.port))];
  for (const [connection] of [...server.connections].map((one) => [one])) connection?.destroy();
  await Promise.all(sockets.map((socket) => assert.rejects(readAll(socket), { code: "BW_TUNNEL_RESET" })));
  await until(() => client.pool.size === 0);
});

test("tunnels to one server share a connection; one that expects another identity, or is full, opens its own", async (context) => {
  const { server, client } = await pair(context, undefined, { maxStreamsPerSession: 2 });
  const all = await Promise.all([1, 2].map(() => open(client, targetAt(server.port))));
  assert.equal(server.connections.size, 1);
  all.push(await open(client, targetAt(server.port)));
  assert.equal(server.connections.size, 2);
  const sans = [spiffeIdOf("server"), spiffeIdOf("other")];
  all.push(await open(client, targetAt(server.port, { sans })));
  assert.equal(server.connections.size, 3);
  for (const socket of all) socket.destroy();
});

test("a server with another identity than the expected gets nothing", async (context) => {
  const { server, client } = await pair(context);
  const impostor = open(client, targetAt(server.port, { sans: [spiffeIdOf("other")] }));
  await assert.rejects(impostor, { code: "BW_UPSTREAM_IMPOSTOR" });
  assert.equal(server.tunnels.length, 0);
});

test("a refused tunnel is an error with its status, and the connection stays of use", async (context) => {
  let refuse = true;
  const { server, client } = await pair(context, (tunnel) => {
    if (refuse) tunnel.refuse(403, "denied");
    else tunnel.accept().end("let in");
  });
  await assert.rejects(open(client, targetAt(server.port)), (error: BulwarkError) => {
    const { status, upstream } = error.detail as { status: number; upstream: FlowUpstream };
    const [asked] = server.tunnels;
    assert.deepEqual([error.code, status], ["BW_TUNNEL_REFUSED", 403]);
    // What joins the two ends' records.
    assert.deepEqual([upstream.ip, upstream.port], [asked?.ip, asked?.port]);
    assert.equal(upstream.localPort, asked?.source.port);
    return true;
  });
  refuse = false;
  const socket = await open(client, targetAt(server.port));
  socket.end();
  assert.equal((await readAll(socket)).toString(), "let in");
  assert.equal(server.connections.size, 1);
});

test("what is no address and port is refused with 400 and told", async (context) => {
  const { server, client } = await pair(context);
  const asked = open(client, targetAt(server.port, { authority: "server.a.svc:80" }));
  await assert.rejects(asked, (error: BulwarkError) => {
    assert.deepEqual([error.code, error.detail.status], ["BW_TUNNEL_REFUSED", 400]);
    return true;
  });
  const [refusal] = server.refusals;
  assert.deepEqual([refusal?.reason, refusal?.status], ["authority-malformed", 400]);
  assert.equal(refusal?.peer?.principal, "cluster.local/ns/a/sa/client");
  assert.equal(server.tunnels.length, 0);
});

test("a server that never answers times out, and is not asked on that connection again", async (context) => {
  let answers = true;
  const { server, client } = await pair(context, (tunnel) => {
    if (answers) tunnel.accept();
  });
  const before = await open(client, targetAt(server.port));
  answers = false;
  const impatient = { ...client, settings: { ...client.settings, connectTimeoutMs: 100 } };
  await assert.rejects(open(impatient, targetAt(server.port)), { code: "BW_TUNNEL_TIMEOUT" });
  assert.equal(client.pool.size, 0);
  await until(() => server.tunnels[1]?.gone.aborted === true, "the server hears of it");
  assert.equal(before.destroyed, false, "what stood goes on");
  before.destroy();
});

test("a reader that stops stops the writer, and other tunnels of the connection go on", async (context) => {
  const served: Socket[] = [];
  const { server, client } = await pair(context, (tunnel) => {
    served.push(tunnel.accept());
  });
  const slow = await open(client, targetAt(server.port));
  const live = await open(client, targetAt(server.port));
  const chunk = Buffer.alloc(64 * 1024, 7);
  let written = 0;
  while (written < 8e6) {
    slow.write(chunk);
    written += chunk.length;
    if (slow.writableNeedDrain) {
      const drained = await Promise.race([
        once(slow, "drain").then(() => true),
        new Promise((resolve) => setTimeout(() => resolve(false), 500)),
      ]);
      if (drained !== true) break;
    }
  }
  assert.ok(written < 8e6, `${written} bytes went to somebody who does not read`);
  live.write("ping");
  const [answer] = (await once(served[1] as Socket, "data")) as [Buffer];
  assert.equal(answer.toString(), "ping");
  slow.end();
  const all = await readAll(served[0] as Socket);
  assert.ok(all.length >= written && all.every((byte) => byte === 7));
  live.destroy();
});

test("a connection without tunnels is closed after its time", async (context) => {
  const { server, client } = await pair(context, undefined, { idleTimeoutMs: 50 });
  const socket = await open(client, targetAt(server.port));
  socket.end();
  await readAll(socket);
  await until(() => server.connections.size === 0, "the end of the connection");
  assert.equal(client.pool.size, 0);
});

test("after clear new tunnels get a new connection, and open ones go on", async (context) => {
  const { server, client } = await pair(context);
  const before = await open(client, targetAt(server.port));
  client.pool.clear();
  const after = await open(client, targetAt(server.port));
  assert.equal(server.connections.size, 2);
  before.end("still there");
  assert.equal((await readAll(before)).toString(), "still there");
  after.destroy();
  await until(() => server.connections.size === 1);
});

test("HTTP/1.1 and its pool go through a tunnel", async (context) => {
  const application = createServer((request, response) => void response.end(`saw ${request.url}`));
  await once(application.listen(0, "127.0.0.1"), "listening");
  context.after(() => application.close());
  const { port } = application.address() as AddressInfo;
  const { server, client } = await pair(context, (tunnel) => relay(tunnel.accept(), port));
  const deadlines = new Deadlines();
  context.after(() => deadlines.close());
  const pool = new UpstreamPool(client.settings, deadlines, 4);
  const target = targetAt(server.port, {}, "http1");
  for (const path of ["/first", "/second"]) {
    const text = await new Promise<string>((resolve, reject) => {
      const handler = {
        onData: (chunk: Buffer) => {
          pool.release(pooled);
          resolve(chunk.toString());
        },
        onDrain: () => {},
        onEnd: () => {},
        onClose: reject,
      };
      let pooled = pool.takeIdle(target, handler) as NonNullable<ReturnType<typeof pool.takeIdle>>;
      assert.equal(pooled === undefined, path === "/first");
      const ask = () => pooled.stream.writeLatin1(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
      if (pooled !== undefined) ask();
      else
        pool.connect(target, handler, (outcome) => {
          if (outcome instanceof Error) return reject(outcome);
          pooled = outcome;
          ask();
        });
    });
    assert.match(text, new RegExp(`^HTTP/1.1 200[^]*saw ${path}$`));
  }
  assert.equal(server.tunnels.length, 1);
  pool.clear();
});

test("HTTP/2 goes through a tunnel", async (context) => {
  const application = createHttp2Server((request, response) => void response.end(`saw ${request.url}`));
  await once(application.listen(0, "127.0.0.1"), "listening");
  context.after(() => application.close());
  const { port } = application.address() as AddressInfo;
  const { server, client } = await pair(context, (tunnel) => relay(tunnel.accept(), port));
  const socket = await open(client, targetAt(server.port, {}, "http2"));
  const session = connectHttp2("http://a", { createConnection: () => socket });
  const request = session.request({ ":path": "/inside" }).setEncoding("utf8");
  let text = "";
  for await (const part of request) text += part;
  assert.equal(text, "saw /inside");
  session.close();
  await once(session, "close");
});

test("TLS that is to be spoken inside of a tunnel is, and its server is verified", async (context) => {
  const ca = CertificateForge.alone();
  const { certificateChain: cert, privateKey: key } = ca.pem(["inside.example"]);
  const application = createTlsServer(
    { cert, key },
    (socket) => void socket.on("error", () => {}).end("secret"),
  );
  await once(application.listen(0, "127.0.0.1"), "listening");
  context.after(() => application.close());
  const { port } = application.address() as AddressInfo;
  const { server, client } = await pair(context, (tunnel) => relay(tunnel.accept(), port));
  const within = (sni: string): UpstreamTarget => ({
    ...targetAt(server.port),
    tls: {
      kind: "external",
      sni,
      sans: undefined,
      alpn: "tcp",
      contextId: "test",
      context: createSecureContext({ ca: ca.rootPem }),
    },
  });
  const socket = await open(client, within("inside.example"));
  assert.equal((await readAll(socket)).toString(), "secret");
  socket.destroy();
  await assert.rejects(open(client, within("other.example")), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  await until(() => server.tunnels.every(({ gone }) => gone.aborted), "the end of both tunnels");
});

function relay(socket: Socket, port: number): void {
  const application = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  application.on("error", () => socket.destroy());
  socket.on("error", () => application.destroy());
  socket.pipe(application).pipe(socket);
}
