/** What HTTP/2's own layer refuses never becomes a request: it must stand in the flow log all the same. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp2Server, performServerHandshake } from "node:http2";
import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { test } from "node:test";
import { END_HEADERS, FRAME, frame, framesIn, requestFrame } from "./http2-frames.ts";
import { HTTP2_BEGINNING, HTTP2_SERVER_MESH } from "./http2-server-mesh.ts";
import { type RunningPod, startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const GOOD = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/good"],
  [":authority", "server.a"],
] as const;

const REFUSED: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  "no :path": GOOD.slice(0, 2),
  "two :method": [...GOOD, [":method", "PUT"]],
  "a pseudo-header after a field": [["a", "b"], ...GOOD],
  "an upper-case name": [...GOOD, ["Foo", "x"]],
  "a header of connections": [...GOOD, ["connection", "close"]],
  "too many headers": [...GOOD, ...Array.from({ length: 150 }, (_, n) => [`x${n}`, "y"] as const)],
};

interface Wire {
  readonly socket: Socket;
  frames(): { readonly type: number; readonly stream: number }[];
}

function open({ pod }: RunningPod, ...frames: readonly Buffer[]): Wire {
  let received: Buffer = Buffer.alloc(0);
  const socket = connect(8080, pod.address, () => {
    socket.write(Buffer.concat([HTTP2_BEGINNING, ...frames]));
  });
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
  });
  return { socket, frames: () => framesIn(received) };
}

const application = {
  httpServer: () => createHttp2Server((_request, response) => void response.end("ok")) as never,
};

test("a stream that HTTP/2's layer refuses is recorded, by the next stream or the connection's end", async (context) => {
  const mesh = await startMesh(context, HTTP2_SERVER_MESH, { net: 52, ...application });
  const server = mesh.pod("a/server");
  const refusals = () => server.flows.filter(({ reason }) => reason === "http2-stream-refused");
  for (const [what, fields] of Object.entries(REFUSED)) {
    server.flows.length = 0;
    const between = open(server, requestFrame(1, GOOD), requestFrame(3, fields), requestFrame(5, GOOD));
    await until(() => refusals().length === 1, `the record of ${what}`);
    await until(() => server.flows.filter(({ status }) => status === 200).length === 2, "both good ones");
    between.socket.destroy();
    await until(() => server.proxy.stats().openConnections === 0, "the end of the connection");
    assert.equal(refusals().length, 1, `${what}: once`);
    const [{ verdict, layer, explanation, status } = {}] = refusals();
    assert.deepEqual([verdict, layer, status], ["deny", "protocol", undefined]);
    assert.match(explanation?.join() ?? "", /\bstream 3\b/);
    server.flows.length = 0;
    const last = open(server, requestFrame(1, fields));
    await until(() => last.frames().some(({ type }) => type === FRAME.reset || type === FRAME.goaway), what);
    last.socket.end();
    await until(() => refusals().length === 1, `the record of ${what} as the last`);
  }
});

test("a connection with sound requests only leaves no denial", async (context) => {
  const mesh = await startMesh(context, HTTP2_SERVER_MESH, { net: 53, ...application });
  const server = mesh.pod("a/server");
  const wire = open(server, requestFrame(1, GOOD), requestFrame(3, GOOD));
  await until(() => server.flows.filter(({ status }) => status === 200).length === 2, "the answers");
  wire.socket.end();
  await until(() => server.proxy.stats().openConnections === 0, "the end of the connection");
  assert.deepEqual(
    server.flows.map(({ verdict }) => verdict),
    ["allow", "allow"],
  );
});

test("a connection that breaks HTTP/2's framing is closed and recorded with what it broke", async (context) => {
  const mesh = await startMesh(context, HTTP2_SERVER_MESH, { net: 54, ...application });
  const server = mesh.pod("a/server");
  const broken = {
    "a stream id of servers": requestFrame(2, GOOD),
    "data on an idle stream": frame(FRAME.data, 0, 5, Buffer.from("x")),
    "a table index that is none": frame(FRAME.headers, END_HEADERS, 1, Buffer.alloc(6, 0xff)),
    "a frame too large": frame(FRAME.data, 0, 1, Buffer.alloc(20_000)),
    "a window too large": frame(FRAME.settings, 0, 0, Buffer.from([0, 4, 255, 255, 255, 255])),
  };
  for (const [what, bytes] of Object.entries(broken)) {
    server.flows.length = 0;
    const { socket } = open(server, bytes);
    await until(() => server.flows.length === 1, `the record of ${what}`);
    const [{ verdict, layer, reason, explanation } = {}] = server.flows;
    assert.deepEqual([verdict, layer, reason], ["deny", "protocol", "http2-connection-error"], what);
    assert.notEqual(explanation?.join() ?? "", "");
    await until(() => server.proxy.stats().openConnections === 0, `${what}: closed`);
    socket.destroy();
  }
});

test("a header block that is not finished in time ends the connection and is recorded", async (context) => {
  const limits = { headTimeoutMs: 300 };
  const mesh = await startMesh(context, HTTP2_SERVER_MESH, { net: 55, limits, ...application });
  const server = mesh.pod("a/server");
  const { socket } = open(server, frame(FRAME.headers, 0, 1, Buffer.alloc(0)));
  await until(() => server.flows.some(({ reason }) => reason === "http2-stream-refused"), "the record");
  await until(() => server.proxy.stats().openConnections === 0, "the end of the connection");
  socket.destroy();
});

test("an HTTP/2 client that ends its half is closed", async (context) => {
  const mesh = await startMesh(context, HTTP2_SERVER_MESH, { net: 56, ...application });
  const server = mesh.pod("a/server");
  const socket = connect({ port: 8080, host: server.pod.address, allowHalfOpen: true }, () =>
    socket.end(HTTP2_BEGINNING),
  );
  await once(socket.on("error", () => {}).resume(), "close");
  await until(() => server.proxy.stats().openConnections === 0, "its end");
});

test("a session to a server that has ended its half is not given another request", async (context) => {
  let sessions = 0;
  let ended = 0;
  const serve = (socket: Socket) => {
    sessions += 1;
    socket.on("error", () => {}).on("finish", () => setTimeout(() => ended++, 20));
    const session = performServerHandshake(socket);
    session.on("error", () => {});
    session.on("stream", (stream) => {
      // After the answer has left: what was not sent by then is lost.
      stream.on("close", () => setTimeout(() => socket.end(), 20));
      stream.respond({ ":status": 200 }, { endStream: true });
    });
  };
  const mesh = await startMesh(context, HTTP2_SERVER_MESH, {
    net: 57,
    httpServer: () => createTcpServer({ allowHalfOpen: true }, serve),
  });
  const server = mesh.pod("a/server");
  const wire = open(server, requestFrame(1, GOOD));
  for (const [count, id] of [
    [1, 3],
    [2, 5],
    [3, 7],
  ] as const) {
    await until(
      () => server.flows.filter(({ status }) => status === 200).length === count,
      `answer ${count}`,
    );
    await until(() => ended === count, "the end of the server's half");
    wire.socket.write(requestFrame(id, GOOD));
  }
  assert.ok(sessions >= 3);
  wire.socket.destroy();
});
