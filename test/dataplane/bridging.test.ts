/** Clients of one HTTP version, servers of the other. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import { readAnswer } from "./client.ts";
import { type RunningPod, SECRET, startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const TWO = `
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec:
  selector: {app: server}
  ports: [{name: PORT, port: 80, targetPort: 8080}]
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
const named = (port: string): string => TWO.replace("PORT", port);

async function dial(from: RunningPod): Promise<Socket> {
  const socket = connect({ host: from.pod.address, port: OUTBOUND_PROXY_PORT, allowHalfOpen: true });
  const credential = Buffer.from(`bulwark:${SECRET}`).toString("base64");
  socket.write(
    `CONNECT server.a:80 HTTP/1.1\r\nhost: server.a:80\r\nproxy-authorization: Basic ${credential}\r\n\r\n`,
  );
  await new Promise((resolve) => socket.once("data", resolve));
  return socket;
}

async function session(from: RunningPod): Promise<ClientHttp2Session> {
  const socket = await dial(from);
  return connectHttp2("http://server.a", { createConnection: () => socket });
}

interface Http2Answer {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function ask(
  client: ClientHttp2Session,
  headers: Record<string, string>,
  body?: Buffer,
): Promise<Http2Answer> {
  return new Promise((resolve, reject) => {
    const stream = client.request(headers, { endStream: body === undefined });
    let head: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.on("response", (received) => {
      head = received;
    });
    stream.on("trailers", (received) => {
      trailers = received;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("end", () => resolve({ headers: head, trailers, body: Buffer.concat(chunks) }));
    if (body !== undefined) stream.end(body);
  });
}

function grpcServer(onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void) {
  const server = createHttp2Server();
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => {});
    onStream(stream, headers);
  });
  return server;
}

test("HTTP/1.1 clients reach HTTP/2 servers: bodies, trailers both ways, and the connection goes on", async (context) => {
  const mesh = await startMesh(context, named("grpc"), {
    net: 72,
    httpServer: () =>
      grpcServer((stream, headers) => {
        const chunks: Buffer[] = [];
        let trailers: IncomingHttpHeaders = {};
        stream.on("trailers", (received) => {
          trailers = received;
        });
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        const answer = () => {
          stream.respond(
            {
              ":status": 200,
              "content-type": "application/grpc",
              "x-te": String(headers.te),
              "x-sum": String(trailers["x-sum"]),
            },
            { waitForTrailers: true },
          );
          stream.on("wantTrailers", () =>
            stream.sendTrailers({ "grpc-status": "0", "grpc-message": "fine" }),
          );
          stream.end(Buffer.concat(chunks));
        };
        // Node tells of trailers and of the end in either order.
        stream.on("end", () => setImmediate(answer));
      }),
  });
  const socket = await dial(mesh.pod("a/client"));
  for (let round = 0; round < 3; round++) {
    socket.write(
      "POST /s/M HTTP/1.1\r\nhost: server.a\r\ncontent-type: application/grpc\r\nte: trailers\r\nconnection: te\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
    );
    socket.write("lo\r\n3\r\n, w\r\n0\r\nx-sum: 8\r\n\r\n");
    let text = "";
    const onData = (chunk: Buffer) => {
      text += chunk.toString("latin1");
    };
    socket.on("data", onData);
    await until(() => /\r\n0\r\n[\s\S]*\r\n\r\n$/.test(text), "the whole answer");
    socket.off("data", onData);
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(text, /transfer-encoding: chunked/);
    assert.match(text, /x-te: trailers/);
    assert.match(text, /x-sum: 8/);
    assert.match(text, /\r\n8\r\nhello, w\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n$/);
  }
  socket.destroy();
  const { flows } = mesh.pod("a/client");
  await until(
    () => flows.filter(({ status, verdict }) => status === 200 && verdict === "allow").length === 3,
    "the records",
  );
});

test("HTTP/2 clients reach HTTP/1.1 servers, many at once", async (context) => {
  const mesh = await startMesh(context, named("http"), { net: 73 });
  const client = await session(mesh.pod("a/client"));
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      ask(
        client,
        { ":method": "POST", ":path": `/n${n}`, "x-n": String(n), cookie: "a=1" },
        Buffer.from(`body ${n}`),
      ),
    ),
  );
  for (const [n, { headers, body }] of answers.entries()) {
    assert.equal(headers[":status"], 200);
    const seen = JSON.parse(body.toString()) as {
      path: string;
      body: string;
      headers: Record<string, string>;
    };
    assert.deepEqual(
      [seen.path, seen.body, seen.headers["x-n"], seen.headers.cookie],
      [`/n${n}`, `body ${n}`, String(n), "a=1"],
    );
    assert.equal(seen.headers.host, "server.a:80");
  }
  assert.equal((await ask(client, { ":path": "/get" })).headers[":status"], 200);
  client.close();
});

test("trailers of an HTTP/1.1 server reach an HTTP/2 client", async (context) => {
  const mesh = await startMesh(context, named("http"), {
    net: 74,
    handler: (request, response) => {
      request.resume();
      response.writeHead(200, { trailer: "x-after" });
      response.write("body");
      response.addTrailers({ "x-after": "all" });
      response.end();
    },
  });
  const client = await session(mesh.pod("a/client"));
  const { body, trailers } = await ask(client, { ":path": "/" });
  assert.equal(body.toString(), "body");
  assert.equal(trailers["x-after"], "all");
  client.close();
});

for (const [kind, port] of [
  ["HTTP/2 client, HTTP/1.1 server", "http"],
  ["HTTP/1.1 client, HTTP/2 server", "grpc"],
] as const)
  test(`${kind}: a large body passes whole both ways, with back-pressure`, async (context) => {
    const body = randomBytes(4 << 20);
    const digest = createHash("sha256").update(body).digest("hex");
    const mesh = await startMesh(context, named(port), {
      net: port === "http" ? 75 : 76,
      ...(port === "http"
        ? {
            handler: (request, response) => {
              const hash = createHash("sha256");
              request.on("data", (chunk: Buffer) => hash.update(chunk));
              request.on("end", () => {
                response.setHeader("x-hash", hash.digest("hex"));
                response.end(body);
              });
            },
          }
        : {
            httpServer: () =>
              grpcServer((stream) => {
                const hash = createHash("sha256");
                stream.on("data", (chunk: Buffer) => hash.update(chunk));
                stream.on("end", () => {
                  stream.respond({ ":status": 200, "x-hash": hash.digest("hex") });
                  stream.end(body);
                });
              }),
          }),
    });
    if (port === "http") {
      const client = await session(mesh.pod("a/client"));
      const answer = await ask(client, { ":method": "POST", ":path": "/" }, body);
      assert.equal(answer.headers["x-hash"], digest);
      assert.deepEqual(createHash("sha256").update(answer.body).digest("hex"), digest);
      client.close();
      return;
    }
    const socket = await dial(mesh.pod("a/client"));
    socket.write(
      `POST / HTTP/1.1\r\nhost: server.a\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`,
    );
    socket.write(body);
    const answer = await readAnswer(socket);
    assert.match(answer.head, new RegExp(`x-hash: ${digest}`));
    assert.equal(createHash("sha256").update(Buffer.from(answer.body, "latin1")).digest("hex"), digest);
    socket.destroy();
  });

test("a server that breaks off breaks off at the client too, and no answer is made up", async (context) => {
  const http1 = await startMesh(context, named("http"), {
    net: 77,
    handler: (request, response) => {
      if (request.url === "/early") request.socket.destroy();
      else {
        response.write("part");
        setTimeout(() => request.socket.destroy(), 50);
      }
    },
  });
  const client = await session(http1.pod("a/client"));
  assert.equal((await ask(client, { ":path": "/early" })).headers[":status"], 503);
  await assert.rejects(ask(client, { ":path": "/late" }));
  client.destroy();
  const http2 = await startMesh(context, named("grpc"), {
    net: 78,
    httpServer: () =>
      grpcServer((stream, headers) => {
        if (headers[":path"] === "/early") stream.close(2);
        else {
          // Without it Node ends the stream in order before it resets it.
          stream.respond({ ":status": 200 }, { waitForTrailers: true });
          stream.on("wantTrailers", () => {});
          stream.write("part");
          setTimeout(() => stream.close(2), 50);
        }
      }),
  });
  const early = await dial(http2.pod("a/client"));
  early.write("GET /early HTTP/1.1\r\nhost: server.a\r\n\r\n");
  assert.equal((await readAnswer(early)).status, 503);
  early.destroy();
  const late = await dial(http2.pod("a/client"));
  late.write("GET /late HTTP/1.1\r\nhost: server.a\r\n\r\n");
  let text = "";
  late.on("data", (chunk) => (text += chunk.toString("latin1")));
  await new Promise((resolve) => late.once("end", resolve));
  late.destroy();
  assert.match(text, /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(text, /\r\n0\r\n/);
});

test("h2UpgradePolicy: HTTP/2 between the proxies, HTTP/1.1 to the application that speaks it", async (context) => {
  const upgrade = `${named("http")}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: server, namespace: a}
spec: {host: server, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}}
`;
  const mesh = await startMesh(context, upgrade, { net: 79 });
  const socket = await dial(mesh.pod("a/client"));
  socket.write("GET /x HTTP/1.1\r\nhost: server.a\r\n\r\n");
  const answer = await readAnswer(socket);
  assert.equal(answer.status, 200);
  assert.equal((JSON.parse(answer.body) as { path: string }).path, "/x");
  socket.destroy();
  const { flows } = mesh.pod("a/server");
  await until(
    () => flows.some(({ kind, protocol }) => kind === "request" && protocol === "http2"),
    "the record",
  );
});
