import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer,
  type ServerHttp2Stream,
} from "node:http2";
import { connect, createServer as createTcpServer } from "node:net";
import { type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { tlsCredentials } from "../../../src/identity/rotation.ts";
import { type Answer, readAnswer } from "../client.ts";
import { type RunningMesh, startMesh } from "../mesh-fixture.ts";
import { ALLOWED, AuthorizerServers, DENIED } from "./authorizer-servers.ts";

const BODY = "includeRequestBodyInCheck: {maxRequestBytes: 8, allowPartialMessage: true}";

function workload(name: string, ports: string): string {
  return `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: foo}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: ${ports}}]}`;
}

const config = (settings: string) => `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - name: authz
      envoyExtAuthzGrpc: {service: authorizer.foo.svc.cluster.local, port: 9000, timeout: 2s, ${settings}}
---
apiVersion: v1
kind: Service
metadata: {name: authorizer, namespace: foo}
spec: {selector: {app: authorizer}, ports: [{name: grpc, port: 9000}]}
${workload("authorizer", "[{containerPort: 9000}]")}
${workload("client", "[{containerPort: 8081}]")}`;

const server = (protocol: string) => `
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: foo}
spec: {selector: {app: server}, ports: [{name: ${protocol}, port: 80, targetPort: 8080}]}
${workload("server", "[{containerPort: 8080}]")}`;

const custom = (app: string) => `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: custom, namespace: foo}
spec:
  selector: {matchLabels: {app: ${app}}}
  action: CUSTOM
  provider: {name: authz}
  rules: [{to: [{operation: {paths: ["/checked*"]}}]}]`;

function echoHttp2() {
  const app = createServer();
  app.on("stream", (stream: ServerHttp2Stream, headers) => {
    const chunks: Buffer[] = [];
    let trailers = {};
    stream.on("trailers", (given) => {
      trailers = given;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      stream.respond({ ":status": 200 });
      stream.end(JSON.stringify({ headers, trailers, body: Buffer.concat(chunks).toString("latin1") }));
    });
  });
  return app;
}

function meshSession(context: TestContext, mesh: RunningMesh): ClientHttp2Session {
  const svid = mesh.pod("foo/client").identity.current;
  assert.ok(svid);
  const { address } = mesh.pod("foo/server").pod;
  const session = connectHttp2(`https://${address}`, {
    createConnection: () =>
      connectTls({
        host: address,
        port: 8080,
        ...tlsCredentials(svid),
        ALPNProtocols: ["istio-h2", "h2"],
        rejectUnauthorized: false,
      }),
  });
  context.after(() => session.destroy());
  return session;
}

interface Http2Answer {
  readonly headers: Record<string, unknown>;
  readonly body: string;
}

function ask(
  session: ClientHttp2Session,
  path: string,
  body?: readonly string[],
  trailers?: Record<string, string>,
): Promise<Http2Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Http2Answer>();
  const stream = session.request(
    {
      ":path": path,
      ":method": body === undefined ? "GET" : "POST",
      ":authority": "server.foo",
      "x-user": "mallory",
    },
    { endStream: body === undefined, waitForTrailers: trailers !== undefined },
  );
  stream.on("wantTrailers", () => stream.sendTrailers(trailers ?? {}));
  let headers: Record<string, unknown> = {};
  let text = "";
  stream.on("response", (given) => {
    headers = { ...given };
  });
  stream.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
  });
  stream.on("error", reject).on("close", () => resolve({ headers, body: text }));
  for (const part of body ?? []) stream.write(part);
  if (body !== undefined) stream.end();
  return promise;
}

test("HTTP/2: the body is shown and goes on whole, with its trailers; headers are changed both ways; a denial has the authorizer's words", async (context) => {
  const authorizer = new AuthorizerServers();
  const mesh = await startMesh(context, config(BODY) + server("http2") + custom("server"), {
    net: 62,
    tcpHandler: authorizer.accept,
    httpServer: echoHttp2,
  });
  const session = meshSession(context, mesh);
  authorizer.grpc = () => ({
    ...ALLOWED,
    ok: {
      headers: [{ name: "x-user", value: "alice", action: "set" }],
      headersToRemove: [],
      responseHeaders: [
        { name: "set-cookie", value: "a=1", action: "add" },
        { name: "set-cookie", value: "b=2", action: "add" },
      ],
      queryToSet: [["q", "1"]],
      queryToRemove: [],
    },
  });
  const bodies: readonly (readonly [
    readonly string[] | undefined,
    string | undefined,
    string,
    string | undefined,
  ])[] = [
    [undefined, undefined, "", undefined],
    [["1234"], undefined, "1234", "false"],
    [["1234", "5678"], "t", "12345678", "false"],
    [["1234", "56789", "abc"], "t", "12345678", "true"],
    [["x".repeat(200_000)], "t", "xxxxxxxx", "true"],
  ];
  for (const [body, trailer, shown, partial] of bodies) {
    const answer = await ask(
      session,
      "/checked",
      body,
      trailer === undefined ? undefined : { "x-trailer": trailer },
    );
    assert.equal(answer.headers[":status"], 200, answer.body);
    assert.deepEqual(answer.headers["set-cookie"], ["a=1", "b=2"]);
    const seen = JSON.parse(answer.body) as {
      headers: Record<string, string>;
      trailers: Record<string, string>;
      body: string;
    };
    assert.equal(seen.body, (body ?? []).join(""));
    assert.equal(seen.trailers["x-trailer"], trailer);
    assert.deepEqual([seen.headers["x-user"], seen.headers[":path"]], ["alice", "/checked?q=1"]);
    const http = authorizer.grpcChecks.at(-1)?.http;
    assert.deepEqual(
      [http?.protocol, http?.body, http?.headers.get("x-envoy-auth-partial-body")],
      ["HTTP/2", shown, partial],
    );
  }
  authorizer.grpc = () => ({
    ...DENIED,
    denied: { status: 401, headers: [{ name: "x-why", value: "no", action: "set" }], body: "log in" },
  });
  const denied = await ask(session, "/checked", ["1".repeat(100_000)]);
  assert.deepEqual([denied.headers[":status"], denied.headers["x-why"], denied.body], [401, "no", "log in"]);
  assert.equal((await ask(session, "/free", ["12"])).headers[":status"], 200);
});

for (const [settings, shown] of [
  ["failOpen: false", "no body"],
  [BODY, "the body"],
])
  for (const protocol of ["http", "http2"])
    test(`HTTP/2: a body that ends without a byte while the authorizer, shown ${shown}, is asked ends at an application of ${protocol}, too`, {
      timeout: 60_000,
    }, async (context) => {
      const authorizer = new AuthorizerServers();
      const mesh = await startMesh(context, config(settings ?? "") + server(protocol) + custom("server"), {
        net: 180,
        tcpHandler: authorizer.accept,
        ...(protocol === "http2" ? { httpServer: echoHttp2 } : {}),
      });
      const session = meshSession(context, mesh);
      // Longer than the end of the body takes to come.
      authorizer.grpc = () => new Promise((answer) => setTimeout(() => answer(ALLOWED), 50));
      const answer = await ask(session, "/checked", []);
      assert.equal(answer.headers[":status"], 200);
      assert.equal((JSON.parse(answer.body) as { body: string }).body, "");
      const { flows } = mesh.pod("foo/server");
      assert.equal(flows.filter(({ verdict, kind }) => verdict === "allow" && kind === "request").length, 1);
    });

test("HTTP/2: an HTTP authorizer is asked about the method as it is written, not about its capitals", async (context) => {
  const asked: string[] = [];
  const yaml = config("failOpen: false")
    .replace("envoyExtAuthzGrpc", "envoyExtAuthzHttp")
    .replace("name: grpc, port: 9000", "name: http, port: 9000");
  const mesh = await startMesh(context, yaml + server("http2") + custom("server"), {
    net: 181,
    tcpHandler: (socket) => {
      socket
        .on("error", () => {})
        .on("data", (bytes) => {
          asked.push(bytes.toString("latin1").split(" ", 1)[0] ?? "");
          socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        });
    },
    httpServer: echoHttp2,
  });
  const session = meshSession(context, mesh);
  // The authorizer's own proxy takes no unknown method over HTTP/1.1: it answers 400.
  for (const [method, status] of [
    ["get", 400],
    ["GET", 403],
  ] as const) {
    const stream = session.request({ ":path": "/checked", ":method": method, ":authority": "server.foo" });
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    assert.equal(headers[":status"], status);
    stream.resume();
  }
  assert.deepEqual(asked, ["GET"]);
});

const NO_POSTS = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-posts, namespace: foo}
spec: {action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}`;

test("HTTP/2: an application of HTTP/1.1 gets the method that was judged, not its capitals", async (context) => {
  const mesh = await startMesh(context, config("failOpen: false") + server("http") + NO_POSTS, {
    net: 182,
    httpServer: () =>
      createTcpServer((socket) => {
        socket
          .on("error", () => {})
          .on("data", (bytes) => {
            const [method = ""] = bytes.toString("latin1").split(" ", 1);
            socket.end(`HTTP/1.1 200 OK\r\nx-method: ${method}\r\ncontent-length: 0\r\n\r\n`);
          });
      }),
  });
  const session = meshSession(context, mesh);
  for (const [method, status, seen] of [
    ["GET", 200, "GET"],
    ["post", 200, "post"],
    ["POST", 403, undefined],
  ] as const) {
    const stream = session.request({ ":path": "/free", ":method": method, ":authority": "server.foo" });
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    assert.deepEqual([headers[":status"], headers["x-method"]], [status, seen]);
    stream.resume();
  }
});

const gateway = (routeHeader: string) => `
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: foo}
spec: {selector: {app: gw, istio: gw}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: foo}
spec:
  selector: {matchLabels: {app: gw}}
  template:
    metadata: {labels: {app: gw, istio: gw}, annotations: {inject.istio.io/templates: gateway}}
    spec: {serviceAccountName: gw, containers: [{name: istio-proxy, image: auto, ports: [{containerPort: 8080}]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: foo}
spec: {selector: {istio: gw}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs, namespace: foo}
spec:
  hosts: ["*"]
  gateways: [gw]
  http:
  - match: [{headers: {${routeHeader}: {exact: alice}}}]
    headers: {request: {set: {x-route: by-header}}}
    route: [{destination: {host: server}}]
  - headers: {request: {set: {x-route: default}}}
    route: [{destination: {host: server}}]`;

function request(address: string, head: string): Promise<Answer> {
  const socket = connect(8080, address);
  socket.write(`${head}host: any\r\nconnection: close\r\n\r\n`, "latin1");
  return readAnswer(socket).finally(() => socket.destroy());
}

test("a gateway asks too; it routes by the request as it came, or with clearRouteCache as the authorizer leaves it", async (context) => {
  const authorizer = new AuthorizerServers();
  const yaml = (settings: string) => config(settings) + server("http") + gateway("x-user") + custom("gw");
  const mesh = await startMesh(context, yaml("failOpen: false"), { net: 63, tcpHandler: authorizer.accept });
  const { address } = mesh.pod("foo/gw").pod;
  authorizer.grpc = () => ({
    ...ALLOWED,
    ok: {
      headers: [{ name: "x-user", value: "alice", action: "set" }],
      headersToRemove: ["x-secret"],
      responseHeaders: [{ name: "x-checked", value: "yes", action: "set" }],
      queryToSet: [],
      queryToRemove: [],
    },
  });
  const seen = async (): Promise<Record<string, string>> => {
    const answer = await request(
      address,
      "GET /checked HTTP/1.1\r\nx-user: mallory\r\nx-secret: s\r\nx-forwarded-for: 1.2.3.4\r\n",
    );
    assert.equal(answer.status, 200, answer.body);
    assert.match(answer.head, /^x-checked: yes/im);
    return (JSON.parse(answer.body) as { headers: Record<string, string> }).headers;
  };
  const first = await seen();
  assert.deepEqual([first["x-user"], first["x-route"], first["x-secret"]], ["alice", "default", undefined]);
  const check = authorizer.grpcChecks.at(-1)?.http;
  assert.match(check?.headers.get("x-forwarded-for") ?? "", /^1\.2\.3\.4,127\./, "as it would go on");
  await mesh.apply(yaml("clearRouteCache: true"));
  const second = await seen();
  assert.deepEqual([second["x-user"], second["x-route"]], ["alice", "by-header"]);
  authorizer.grpc = () => DENIED;
  assert.equal((await request(address, "GET /checked HTTP/1.1\r\n")).status, 403);
  const flow = mesh.pod("foo/gw").flows.findLast(({ kind }) => kind === "request");
  assert.deepEqual(
    [flow?.reason, flow?.authorizer?.provider, flow?.authorizer?.answer],
    ["ext-authz-denied", "authz", "deny"],
  );
  assert.equal((await request(address, "GET /free HTTP/1.1\r\n")).status, 200);
});
