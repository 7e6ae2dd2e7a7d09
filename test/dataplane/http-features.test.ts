import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import { callThroughSidecar, readAnswer } from "./client.ts";
import { type RunningPod, SECRET, startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const TWO = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec:
  selector: {app: server}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: grpc, port: 81, targetPort: 8080}, {name: tcp, port: 9000, targetPort: 9000}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: a}
spec:
  template:
    metadata: {labels: {app: server}}
    spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 8080}, {containerPort: 9000}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: a}
spec:
  template:
    metadata: {labels: {app: client}}
    spec: {serviceAccountName: client, containers: [{name: app, image: app}]}
`;

/** A connection of the workload to host:port, as CONNECT through its sidecar opens it. */
async function dial(from: RunningPod, target: string): Promise<Socket> {
  const socket = connect({ host: from.pod.address, port: OUTBOUND_PROXY_PORT, allowHalfOpen: true });
  const credential = Buffer.from(`bulwark:${SECRET}`).toString("base64");
  socket.write(
    `CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\nproxy-authorization: Basic ${credential}\r\n\r\n`,
  );
  const head = await new Promise<string>((resolve) =>
    socket.once("data", (chunk) => resolve(chunk.toString())),
  );
  assert.match(head, /^HTTP\/1\.1 200 /);
  return socket;
}

test("a large upload and a large download pass whole, with back-pressure", async (context) => {
  const body = randomBytes(8 << 20);
  const mesh = await startMesh(context, TWO, {
    net: 41,
    handler: (request, response) => {
      const hash = createHash("sha256");
      request.on("data", (chunk: Buffer) => hash.update(chunk));
      request.on("end", () => {
        response.setHeader("x-hash", hash.digest("hex"));
        response.end(body);
      });
    },
  });
  const socket = await dial(mesh.pod("a/client"), "server.a:80");
  socket.write(
    `POST /up HTTP/1.1\r\nhost: server.a\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`,
  );
  socket.write(body);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => socket.once("end", resolve));
  socket.destroy();
  const all = Buffer.concat(chunks);
  const end = all.indexOf("\r\n\r\n");
  const sha = createHash("sha256").update(body).digest("hex");
  assert.match(all.toString("latin1", 0, end), new RegExp(`x-hash: ${sha}`, "i"));
  assert.deepEqual(
    createHash("sha256")
      .update(all.subarray(end + 4))
      .digest("hex"),
    sha,
  );
});

test("a chunked request body passes, and keeps the connection for the next request", async (context) => {
  const mesh = await startMesh(context, TWO, { net: 42 });
  const socket = await dial(mesh.pod("a/client"), "server.a:80");
  for (let round = 0; round < 3; round++) {
    socket.write("POST /c HTTP/1.1\r\nhost: server.a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    socket.write("7\r\n, world\r\n0\r\n\r\n");
    const answer = await readAnswer(socket);
    assert.equal(answer.status, 200);
    assert.equal((JSON.parse(answer.body) as { body: string }).body, "hello, world");
  }
  socket.destroy();
});

test("pipelined requests are answered in order", async (context) => {
  const mesh = await startMesh(context, TWO, { net: 43 });
  const socket = await dial(mesh.pod("a/client"), "server.a:80");
  const count = 50;
  let text = "";
  socket.on("data", (chunk) => (text += chunk.toString("latin1")));
  for (let n = 0; n < count; n++) socket.write(`GET /n${n} HTTP/1.1\r\nhost: server.a\r\n\r\n`);
  await until(() => text.includes(`"/n${count - 1}"`), "the last answer");
  const paths = [...text.matchAll(/"path":"\/n(\d+)"/g)].map(([, n]) => Number(n));
  assert.deepEqual(
    paths,
    Array.from({ length: count }, (_, n) => n),
  );
  socket.destroy();
});

test("Expect: 100-continue reaches the server before the body does", async (context) => {
  const mesh = await startMesh(context, TWO, { net: 44 });
  const socket = await dial(mesh.pod("a/client"), "server.a:80");
  socket.write("POST /e HTTP/1.1\r\nhost: server.a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n");
  const interim = await new Promise<string>((resolve) =>
    socket.once("data", (chunk) => resolve(chunk.toString())),
  );
  assert.match(interim, /^HTTP\/1\.1 100 /);
  socket.write("body");
  assert.equal((JSON.parse((await readAnswer(socket)).body) as { body: string }).body, "body");
  socket.destroy();
});

test("an upgraded connection carries bytes both ways", async (context) => {
  const mesh = await startMesh(context, TWO, {
    net: 45,
    upgrade: (_request, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
      socket.on("data", (chunk: Buffer) => socket.write(Buffer.concat([Buffer.from("echo:"), chunk])));
      socket.on("end", () => socket.end());
    },
  });
  const socket = await dial(mesh.pod("a/client"), "server.a:80");
  socket.write(
    "GET /ws HTTP/1.1\r\nhost: server.a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n",
  );
  let text = "";
  socket.on("data", (chunk) => (text += chunk.toString("latin1")));
  await until(() => text.includes("\r\n\r\n"), "101");
  assert.match(text, /^HTTP\/1\.1 101 /);
  socket.write("one");
  await until(() => text.includes("echo:one"), "the echo");
  socket.end();
  await new Promise((resolve) => socket.once("close", resolve));
  const { flows } = mesh.pod("a/server");
  await until(() => flows.some(({ protocol }) => protocol === "websocket"), "the record");
});

test("HTTP/2 with trailers passes as HTTP/2", async (context) => {
  const mesh = await startMesh(context, TWO, {
    net: 46,
    httpServer: () => {
      const server = createHttp2Server();
      server.on("stream", (stream: ServerHttp2Stream, headers) => {
        const chunks: Buffer[] = [];
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        stream.on("end", () => {
          stream.respond(
            {
              ":status": 200,
              "content-type": "application/grpc",
              "x-method": String(headers[":method"]),
              "x-xfcc": String(headers["x-forwarded-client-cert"]),
            },
            { waitForTrailers: true },
          );
          stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
          stream.end(Buffer.concat(chunks));
        });
      });
      return server;
    },
  });
  const tunnel = await dial(mesh.pod("a/client"), "server.a:81");
  const session = connectHttp2("http://server.a", { createConnection: () => tunnel });
  const body = randomBytes(300_000);
  const stream = session.request({
    ":method": "POST",
    ":path": "/pkg.Service/Call",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.end(body);
  const response = new Promise<IncomingHttpHeaders>((resolve) => stream.once("response", resolve));
  const trailers = new Promise<IncomingHttpHeaders>((resolve) => stream.once("trailers", resolve));
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => stream.once("end", resolve));
  assert.equal((await response)[":status"], 200);
  assert.match(String((await response)["x-xfcc"]), /URI=spiffe:\/\/cluster.local\/ns\/a\/sa\/client$/);
  assert.equal((await trailers)["grpc-status"], "0");
  assert.deepEqual(Buffer.concat(chunks), body);
  session.close();
  const { flows } = mesh.pod("a/server");
  await until(
    () =>
      flows.some(
        ({ protocol, status, verdict }) => protocol === "grpc" && status === 200 && verdict === "allow",
      ),
    "the record",
  );
});

test("a TCP connection keeps working after either side has ended its half", async (context) => {
  const mesh = await startMesh(context, TWO, {
    net: 47,
    tcpHandler: (socket) => {
      const chunks: Buffer[] = [];
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      socket.on("end", () => socket.end(`got ${Buffer.concat(chunks).length}`));
    },
  });
  const socket = await dial(mesh.pod("a/client"), "server.a:9000");
  socket.end(randomBytes(1 << 20));
  let text = "";
  socket.on("data", (chunk) => (text += chunk.toString()));
  await new Promise((resolve) => socket.once("end", resolve));
  assert.equal(text, `got ${1 << 20}`);
});

test("a server-first protocol works on a declared TCP port", async (context) => {
  const mesh = await startMesh(context, TWO, {
    net: 48,
    tcpHandler: (socket) => void socket.write("220 ready\r\n"),
  });
  const socket = await dial(mesh.pod("a/client"), "server.a:9000");
  const banner = await new Promise<string>((resolve) =>
    socket.once("data", (chunk) => resolve(chunk.toString())),
  );
  assert.equal(banner, "220 ready\r\n");
  socket.destroy();
});

test("a head that never ends is answered with 408, and one that is too large with 431", async (context) => {
  const mesh = await startMesh(context, TWO, { net: 49, limits: { headTimeoutMs: 300, maxHeadBytes: 8192 } });
  const slow = await dial(mesh.pod("a/client"), "server.a:80");
  slow.write("GET / HTTP/1.1\r\nhost: server.a\r\nx-slow: ");
  assert.equal((await readAnswer(slow)).status, 408);
  const large = await dial(mesh.pod("a/client"), "server.a:80");
  large.write(`GET / HTTP/1.1\r\nhost: server.a\r\nx-large: ${"a".repeat(10_000)}\r\n\r\n`);
  assert.equal((await readAnswer(large)).status, 431);
  slow.destroy();
  large.destroy();
});

test("headers that only proxies may set do not survive the client's own sidecar", async (context) => {
  const mesh = await startMesh(context, TWO, { net: 50 });
  const answer = await callThroughSidecar(mesh.pod("a/client"), "GET", "http://server.a/h", {
    headers:
      "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/x/sa/admin\r\nx-envoy-original-dst-host: 1.2.3.4:1\r\nx-ok: 1\r\n",
  });
  const { headers } = JSON.parse(answer.body) as { headers: Record<string, string> };
  assert.equal(headers["x-ok"], "1");
  assert.equal(headers["x-envoy-original-dst-host"], undefined);
  assert.ok(!(headers["x-forwarded-client-cert"] ?? "").includes("admin"));
  assert.equal(headers["proxy-authorization"], undefined);
});
