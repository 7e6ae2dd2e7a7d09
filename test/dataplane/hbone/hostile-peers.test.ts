/** What certified but hostile, broken or overloaded peers do to tunnels, and what is left of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, type ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { END_HEADERS, FRAME, field, frame, framesIn, HTTP2_PREFACE, requestFrame } from "../http2-frames.ts";
import {
  AUTHORITY,
  clientOf,
  echo,
  open,
  type Party,
  partyOf,
  type RunningServer,
  readAll,
  startServer,
  startTlsServer,
  targetAt,
  testCa,
  until,
} from "./hbone-fixture.ts";

const SETTINGS = frame(FRAME.settings, 0, 0, Buffer.alloc(0));
const BEGINNING = Buffer.concat([HTTP2_PREFACE, SETTINGS]);

async function serverAndPeer(
  context: TestContext,
  ...more: [Parameters<typeof startServer>[2]?, Parameters<typeof startServer>[3]?]
): Promise<{ server: RunningServer; peer: Party; own: Party }> {
  const ca = await testCa(context);
  const own = await partyOf(context, ca, "server");
  return {
    server: await startServer(context, own, ...more),
    peer: await partyOf(context, ca, "client"),
    own,
  };
}

/** A client of the mesh that writes its own frames. */
async function rawClient(context: TestContext, peer: Party, port: number, alpn = ["h2"]): Promise<TLSSocket> {
  const socket = connectTls({
    port,
    host: "127.0.0.1",
    ...peer.contexts?.options,
    ALPNProtocols: alpn,
    checkServerIdentity: () => undefined,
  } as ConnectionOptions);
  socket.on("error", () => {});
  context.after(() => socket.destroy());
  await once(socket, "secureConnect");
  return socket;
}

/** CONNECT without END_STREAM. */
function connectFrame(stream: number, authority = AUTHORITY, flags = END_HEADERS): Buffer {
  const block = Buffer.concat([field(":method", "CONNECT"), field(":authority", authority)]);
  return frame(FRAME.headers, flags, stream, block);
}

function reasons({ refusals }: RunningServer): string[] {
  return refusals.map(({ reason }) => reason);
}

test("more tunnels than are granted are refused, and on record; those that stand go on", async (context) => {
  const { server, peer } = await serverAndPeer(context, echo, { maxStreamsPerConnection: 3 });
  const socket = await rawClient(context, peer, server.port);
  const seen: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => void seen.push(chunk));
  const frames = [1, 3, 5, 7, 9].map((id) => connectFrame(id));
  socket.write(Buffer.concat([BEGINNING, ...frames]));
  const resets = () => framesIn(Buffer.concat(seen)).filter(({ type }) => type === FRAME.reset);
  await until(() => resets().length === 2, "two resets");
  assert.deepEqual(
    resets().map(({ stream }) => stream),
    [7, 9],
  );
  assert.equal(server.tunnels.length, 3);
  const before = seen.length;
  socket.write(frame(FRAME.data, 0, 1, Buffer.from("still here")));
  await until(() => Buffer.concat(seen.slice(before)).includes("still here"), "the echo");
  // Node does not tell of a stream that nghttp2 refused: the gap in the ids that the next one leaves does.
  socket.write(Buffer.concat([frame(FRAME.reset, 0, 1, Buffer.from([0, 0, 0, 8])), connectFrame(11)]));
  await until(() => reasons(server).includes("http2-stream-refused"), "the record");
});

test("a flood of resets ends the connection, and the server serves others", async (context) => {
  const { server, peer } = await serverAndPeer(context);
  const socket = await rawClient(context, peer, server.port);
  const reset = Buffer.from([0, 0, 0, 8]);
  const flood = Array.from({ length: 20_000 }, (_, i) =>
    Buffer.concat([connectFrame(2 * i + 1), frame(FRAME.reset, 0, 2 * i + 1, reset)]),
  );
  socket.resume().write(Buffer.concat([BEGINNING, ...flood]));
  await once(socket, "close");
  assert.ok(server.tunnels.length < 10_000, `${server.tunnels.length} tunnels were begun`);
  await until(() => server.hbone.sessions === 0);
  const socket2 = await open(clientOf(context, peer), targetAt(server.port));
  socket2.end("alive");
  assert.equal((await readAll(socket2)).toString(), "alive");
});

test("what is not CONNECT is answered 400 and on record", async (context) => {
  const { server, peer } = await serverAndPeer(context);
  const socket = await rawClient(context, peer, server.port);
  const session = connectHttp2("https://a", { createConnection: () => socket });
  session.on("error", () => {});
  const request = session.request({ ":path": "/", ":authority": AUTHORITY });
  const [headers] = (await once(request, "response")) as [{ ":status": number }];
  assert.equal(headers[":status"], 400);
  await until(() => reasons(server).includes("not-connect"));
  assert.equal(server.tunnels.length, 0);
  session.destroy();
});

test("a CONNECT with a path, or without an authority, is none and is on record", async (context) => {
  const { server, peer } = await serverAndPeer(context);
  const socket = await rawClient(context, peer, server.port);
  const withPath = requestFrame(1, [
    [":method", "CONNECT"],
    [":authority", AUTHORITY],
    [":scheme", "https"],
    [":path", "/"],
  ]);
  socket.resume().write(Buffer.concat([BEGINNING, withPath, requestFrame(3, [[":method", "CONNECT"]])]));
  socket.write(connectFrame(5));
  await until(() => server.tunnels.length === 1);
  socket.destroy();
  await until(() => server.refusals.length > 0, "the record");
  assert.equal(server.tunnels.length, 1);
});

test("bytes that are no HTTP/2 end the connection, and are on record", async (context) => {
  const { server, peer } = await serverAndPeer(context);
  const socket = await rawClient(context, peer, server.port);
  socket.resume().write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  await once(socket, "close");
  await until(() => reasons(server).includes("http2-connection-error"), "the record");
});

test("a client that does not agree on h2 is refused after its handshake, by name", async (context) => {
  const { server, peer } = await serverAndPeer(context);
  for (const alpn of [["istio"], []]) {
    const socket = await rawClient(context, peer, server.port, alpn);
    await once(socket.resume(), "close");
  }
  await until(() => server.refusals.length === 2);
  assert.deepEqual(reasons(server), ["alpn", "alpn"]);
  assert.equal(server.refusals[0]?.peer?.principal, "cluster.local/ns/a/sa/client");
});

test("a client of another authority is refused in its handshake", async (context) => {
  const { server } = await serverAndPeer(context);
  const stranger = await partyOf(context, await testCa(context), "client");
  const asked = open(clientOf(context, stranger), targetAt(server.port));
  await assert.rejects(asked);
  const socket = connectTls({
    port: server.port,
    host: "127.0.0.1",
    ...stranger.contexts?.options,
    ALPNProtocols: ["h2"],
    rejectUnauthorized: false,
  } as ConnectionOptions);
  await once(socket.on("error", () => {}).resume(), "close");
  await until(() => server.refusals.some(({ failure }) => failure !== undefined));
  assert.equal(server.tunnels.length, 0);
});

test("a CONNECT that has ended already is a tunnel whose client has nothing to say", async (context) => {
  let served: Socket | undefined;
  const { server, peer } = await serverAndPeer(context, (tunnel) => {
    served = tunnel.accept();
  });
  const socket = await rawClient(context, peer, server.port);
  socket.resume().write(Buffer.concat([BEGINNING, connectFrame(1, AUTHORITY, END_HEADERS | 1)]));
  await until(() => served !== undefined);
  assert.equal((await readAll(served as Socket)).length, 0);
  served?.end("bye");
  await until(() => served?.destroyed === true);
});

test("a server that goes away finishes what it has taken; the rest is asked of its successor", async (context) => {
  const ca = await testCa(context);
  const sessions: ServerHttp2Session[] = [];
  const port = await startTlsServer(context, await partyOf(context, ca, "server"), (session) => {
    sessions.push(session);
    const isFirst = sessions.length === 1;
    session.on("stream", (stream) => {
      stream.on("error", () => {});
      if (isFirst && Number(stream.id) > 1) {
        // RFC 9113 §6.8: of streams above the last id nothing was done.
        session.goaway(0, 1);
        return;
      }
      stream.respond({ ":status": 200 });
      stream.pipe(stream);
    });
  });
  const client = clientOf(context, await partyOf(context, ca, "client"));
  const first = await open(client, targetAt(port));
  const second = await open(client, targetAt(port));
  assert.equal(sessions.length, 2);
  first.end("first");
  second.end("second");
  assert.equal((await readAll(first)).toString(), "first");
  assert.equal((await readAll(second)).toString(), "second");
});

test("a tunnel that a server never takes is given up after three connections", async (context) => {
  const ca = await testCa(context);
  let asked = 0;
  const port = await startTlsServer(context, await partyOf(context, ca, "server"), (session) => {
    session.on("stream", (stream) => {
      asked += 1;
      stream.on("error", () => {}).close(7);
    });
  });
  const client = clientOf(context, await partyOf(context, ca, "client"));
  await assert.rejects(open(client, targetAt(port)), { code: "BW_TUNNEL_UNPROCESSED" });
  assert.equal(asked, 3);
});

test("a server that breaks HTTP/2, or closes, before it answers is an error at once", async (context) => {
  const ca = await testCa(context);
  const own = await partyOf(context, ca, "server");
  const client = clientOf(context, await partyOf(context, ca, "client"));
  for (const act of [
    (socket: TLSSocket) => void socket.end("HTTP/1.1 400 no\r\n\r\n"),
    (socket: TLSSocket) => void socket.destroy(),
    (socket: TLSSocket) => void socket.write(frame(FRAME.data, 0, 1, Buffer.alloc(10))),
  ]) {
    const port = await startTlsServer(context, own, undefined, act);
    await assert.rejects(open(client, targetAt(port)), /broke|closed|takes no tunnel/);
  }
  await until(() => client.pool.size === 0);
});

test("a connection that dies under a CONNECT is replaced, if it had served before; a server that always hangs up is an error", async (context) => {
  let hangUps = 0;
  const { server, peer } = await serverAndPeer(context, (tunnel) => {
    if (hangUps-- <= 0) echo(tunnel);
    else for (const connection of server.connections) connection.destroy();
  });
  const client = clientOf(context, peer);
  (await open(client, targetAt(server.port))).destroy();
  hangUps = 1;
  const socket = await open(client, targetAt(server.port));
  socket.end("again");
  assert.equal((await readAll(socket)).toString(), "again");
  hangUps = 100;
  await assert.rejects(open(client, targetAt(server.port)), { code: "BW_TUNNEL_RESET" });
  assert.equal(hangUps, 98);
});

test("many at once open as many connections as they need, and no more", async (context) => {
  const { server, peer } = await serverAndPeer(context);
  const client = clientOf(context, peer, { maxStreamsPerSession: 20 });
  const sockets = await Promise.all(Array.from({ length: 50 }, () => open(client, targetAt(server.port))));
  assert.equal(server.connections.size, 3);
  for (const socket of sockets) socket.destroy();
});

test("after a new certificate new tunnels have it; open ones go on under the old", async (context) => {
  const { server, peer } = await serverAndPeer(context);
  const client = clientOf(context, peer);
  const before = await open(client, targetAt(server.port));
  const renewed = await partyOf(context, await testCa(context), "client");
  assert.notEqual(renewed.contexts?.own.sha256, peer.contexts?.own.sha256);
  const old = peer.contexts;
  peer.contexts = undefined;
  await assert.rejects(open(client, targetAt(server.port)), { code: "BW_UPSTREAM_NO_CERTIFICATE" });
  peer.contexts = old === undefined ? undefined : { ...old };
  const after = await open(client, targetAt(server.port));
  assert.equal(server.connections.size, 2);
  before.end("old");
  assert.equal((await readAll(before)).toString(), "old");
  after.destroy();
});

test("a revocation ends every tunnel of the connections that stand on it, at either end, and refuses new ones", async (context) => {
  for (const side of ["client", "server"] as const) {
    const served: Socket[] = [];
    const { server, peer, own } = await serverAndPeer(context, (tunnel) => void served.push(tunnel.accept()));
    const client = clientOf(context, peer);
    const sockets = await Promise.all([1, 2].map(() => open(client, targetAt(server.port))));
    await until(() => served.length === 2);
    const guard = side === "client" ? peer.revocations : own.revocations;
    const { serial, authorityKeyId = "" } = (side === "client" ? own : peer).contexts?.own ?? { serial: "" };
    const revokedAt = new Date();
    const news = { serial, issuerKeyId: authorityKeyId, revokedAt, reason: "keyCompromise" as const };
    const cut = guard.take({ revoked: [news as never], maxAgeMs: 0 });
    assert.equal(cut, 1, side);
    const all = side === "client" ? sockets : served;
    assert.ok(
      all.every(({ destroyed }) => destroyed),
      `${side}: in the same turn`,
    );
    await until(() => [...sockets, ...served].every(({ destroyed }) => destroyed));
    await assert.rejects(open(client, targetAt(server.port)));
  }
});

test("of tunnels that are over nothing is kept: no connection, no session, nothing that is tracked", async (context) => {
  const { server, peer, own } = await serverAndPeer(context);
  const client = clientOf(context, peer, { idleTimeoutMs: 30 });
  for (let round = 0; round < 3; round++) {
    const sockets = await Promise.all(Array.from({ length: 30 }, () => open(client, targetAt(server.port))));
    for (const [at, socket] of sockets.entries()) {
      if (at % 3 === 0) socket.destroy();
      else if (at % 3 === 1) socket.resume().end("x");
      else socket.destroySoon();
    }
    await until(() => sockets.every(({ destroyed }) => destroyed), "the end of all");
  }
  await until(() => server.connections.size === 0 && server.hbone.sessions === 0, "the end of connections");
  // Each side hears of the end by itself, the client perhaps after the server.
  await until(() => peer.revocations.tracked + own.revocations.tracked === 0, "the end of what is tracked");
  assert.equal(client.pool.size, 0);
});
