/**
 * External authorization against others' implementations: our proxy beside a real Envoy, both asking one authorizer that is
 * grpcio with the published protos (or an HTTP server); and our authorizer asked by grpcio and by that Envoy.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { type AddressInfo, connect, createServer as createTcp } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { startAuthorizer } from "../../src/authorizer/run-authorizer.ts";
import { type Answer, readAnswer } from "../dataplane/client.ts";
import { AuthorizerServers } from "../dataplane/ext-authz/authorizer-servers.ts";
import { startMesh } from "../dataplane/mesh-fixture.ts";
import { startAuthorizedEnvoy } from "./ext-authz/envoy-authorized.ts";
import { program, run } from "./programs.ts";

const HERE = resolve(import.meta.dirname, "ext-authz");

async function startPythonAuthorizer(context: TestContext): Promise<number> {
  const child = spawn(program("python"), [join(HERE, "authorizer.py")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  context.after(() => child.kill("SIGKILL"));
  const { promise, resolve: found, reject } = Promise.withResolvers<number>();
  child.stdout.once("data", (chunk: Buffer) => found(Number(chunk.toString("utf8"))));
  child.once("exit", (code) => reject(new Error(`the authorizer ended with ${code}`)));
  return promise;
}

/** What the application saw, and what the caller got; of headers those that no proxy adds by itself. */
interface Seen {
  readonly status: number;
  readonly told: readonly string[];
  readonly body: unknown;
}

async function startApplication(context: TestContext): Promise<number> {
  const server = createServer((request, response) => void answer(request).then((text) => response.end(text)));
  server.on("request", (_request, response) => response.setHeader("x-there", "application"));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function answer(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const { method, url, rawHeaders } = request;
  return JSON.stringify({
    method,
    path: url,
    headers: comparable(rawHeaders),
    body: Buffer.concat(chunks).toString("latin1"),
  });
}

const PROXIES_OWN =
  /^(x-request-id|x-forwarded-|x-envoy-|traceparent|connection|date|server|content-length|transfer-encoding|x-answer)/;

/** By name, so that only the order of equal names counts. */
function comparable(flat: readonly string[]): readonly string[] {
  const lines = flat.flatMap((name, at) => (at % 2 === 0 ? [`${name.toLowerCase()}: ${flat[at + 1]}`] : []));
  return lines
    .filter((line) => !PROXIES_OWN.test(line))
    .map((line, at) => ({ line, at }))
    .sort((a, b) => nameOf(a.line).localeCompare(nameOf(b.line)) || a.at - b.at)
    .map(({ line }) => line);
}

const nameOf = (line: string): string => line.slice(0, line.indexOf(":"));

function seenIn({ status, head, body }: Answer): Seen {
  const flat = head
    .split("\r\n")
    .slice(1)
    .flatMap((line) => [nameOf(line), line.slice(line.indexOf(":") + 1).trim()]);
  let parsed: unknown = body;
  try {
    parsed = JSON.parse(body);
  } catch {
    // A page of the authorizer's.
  }
  return { status, told: comparable(flat), body: parsed };
}

async function ask(host: string, port: number, request: string): Promise<Seen> {
  const socket = connect(port, host);
  socket.write(request, "latin1");
  return readAnswer(socket)
    .then(seenIn)
    .finally(() => socket.destroy());
}

/** Our sidecar before the application, taking plaintext, with a provider straight at an address. */
async function startSidecar(
  context: TestContext,
  net: number,
  authorizer: number,
  provider: object,
  kind: "Grpc" | "Http",
) {
  const config = {
    extensionProviders: [
      {
        name: "authz",
        [`envoyExtAuthz${kind}`]: { service: "authz.test", port: authorizer, timeout: "2s", ...provider },
      },
    ],
  };
  const mesh = await startMesh(
    context,
    `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: '${JSON.stringify(config)}'}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: authz, namespace: foo}
spec:
  hosts: [authz.test]
  ports: [{number: ${authorizer}, name: ${kind === "Grpc" ? "grpc" : "http"}, protocol: ${kind === "Grpc" ? "GRPC" : "HTTP"}}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: foo}
spec: {selector: {app: server}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: foo}
spec:
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: custom, namespace: foo}
spec: {selector: {matchLabels: {app: server}}, action: CUSTOM, provider: {name: authz}, rules: [{}]}`,
    {
      net,
      handler: (request, response) => {
        response.setHeader("x-there", "application");
        void answer(request).then((text) => response.end(text));
      },
    },
  );
  return mesh.pod("foo/server").pod.address;
}

const header = (key: string, value: string, more: object = {}) => ({ header: { key, value }, ...more });
const allow = (ok_response: object) => ({ status: {}, ok_response });

/** Answers, as the published protos spell them. */
const ANSWERS: Readonly<Record<string, object>> = {
  nothing: {},
  "code alone": { status: { code: 16 } },
  "a header without an action": allow({ headers: [header("x-role", "new"), header("x-new", "1")] }),
  "append: false": allow({ headers: [header("x-role", "new", { append: false })] }),
  "append: true": allow({
    headers: [header("x-role", "new", { append: true }), header("x-none", "1", { append: true })],
  }),
  "each action": allow({
    headers: [
      "APPEND_IF_EXISTS_OR_ADD",
      "ADD_IF_ABSENT",
      "OVERWRITE_IF_EXISTS_OR_ADD",
      "OVERWRITE_IF_EXISTS",
    ].map((append_action, at) => header(`x-${at}`, "new", { append_action })),
  }),
  "one name twice": allow({ headers: [header("x-q", "1"), header("x-q", "2")] }),
  "an empty value": allow({ headers: [header("x-role", "")] }),
  "not ASCII": allow({ headers: [header("x-role", "é✓")] }),
  removal: allow({ headers_to_remove: ["X-Role", "host", ":path", "content-length", "x-none"] }),
  "set and removed": allow({ headers: [header("x-role", "new")], headers_to_remove: ["x-role"] }),
  "response: no action": allow({ response_headers_to_add: [header("x-there", "authorizer")] }),
  "response: append": allow({ response_headers_to_add: [header("x-there", "authorizer", { append: true })] }),
  "response: overwrite": allow({
    response_headers_to_add: [header("x-there", "authorizer", { append: false })],
  }),
  "response: set": allow({
    response_headers_to_add: [
      header("x-there", "authorizer", { append_action: "OVERWRITE_IF_EXISTS_OR_ADD" }),
    ],
  }),
  "response: cookies": allow({
    response_headers_to_add: [header("set-cookie", "a"), header("set-cookie", "b")],
  }),
  "query set": allow({ query_parameters_to_set: [{ key: "q", value: "2" }] }),
  "query removed": allow({ query_parameters_to_remove: ["q"] }),
  denial: { status: { code: 7 }, denied_response: { body: "no" } },
  "denial with a status": {
    status: { code: 7 },
    denied_response: { status: { code: 401 }, headers: [header("www-authenticate", "Bearer")] },
  },
  "denial with 200": { status: { code: 7 }, denied_response: { status: { code: 200 }, body: "not you" } },
  "denial with headers": {
    status: { code: 7 },
    denied_response: {
      status: { code: 302 },
      headers: [
        header("location", "/login"),
        header("set-cookie", "a"),
        header("set-cookie", "b"),
        header("content-type", "text/html"),
      ],
      body: "<p>log in",
    },
  },
  "allowed beside a denial": { status: {}, denied_response: { status: { code: 401 } } },
  "an error of its own": { status: { code: 7 }, error_response: { status: { code: 418 }, body: "teapot" } },
  "an error without a status": { status: { code: 7 }, error_response: {} },
};

const REQUESTS: Readonly<Record<string, string>> = {
  GET: "GET /a/../b%2fc?q=1 HTTP/1.1\r\n",
  POST: "POST /p?q=1 HTTP/1.1\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n",
};

test("gRPC: whatever the authorizer answers, our proxy does what Envoy does with it", async (context) => {
  const authorizer = await startPythonAuthorizer(context);
  const application = await startApplication(context);
  const sidecar = await startSidecar(context, 64, authorizer, {}, "Grpc");
  const envoy = await startAuthorizedEnvoy(context, { application, authorizer, grpc: true });
  for (const [name, told] of Object.entries(ANSWERS)) {
    for (const [method, start] of Object.entries(REQUESTS)) {
      const body = method === "POST" ? "123456" : "";
      const head = `host: server.foo\r\nx-role: a\r\nx-role: b\r\nx-bin: \xff\xe9\r\nx-answer: ${json(told)}\r\nconnection: close\r\n\r\n`;
      const [ours, theirs] = await Promise.all([
        ask(sidecar, 8080, start + head + body),
        ask("127.0.0.1", envoy, start + head + body),
      ]);
      assert.deepEqual(ours, theirs, `${name}, ${method}`);
    }
  }
  for (const code of ["UNAVAILABLE", "PERMISSION_DENIED", "INTERNAL", "UNIMPLEMENTED"]) {
    const request = `GET / HTTP/1.1\r\nhost: server.foo\r\nx-answer: status ${code}\r\nconnection: close\r\n\r\n`;
    assert.deepEqual(await ask(sidecar, 8080, request), await ask("127.0.0.1", envoy, request), code);
  }
});

test("gRPC callers are refused in gRPC's own words: status, message and headers as Envoy has them", async (context) => {
  const authorizer = await startPythonAuthorizer(context);
  const application = await startApplication(context);
  const sidecar = await startSidecar(context, 76, authorizer, {}, "Grpc");
  const envoy = await startAuthorizedEnvoy(context, { application, authorizer, grpc: true });
  const denied = (code: number, more: object = {}) => ({
    status: { code: 7 },
    denied_response: { status: { code }, ...more },
  });
  const told = [
    ...[400, 401, 403, 404, 413, 429, 500, 501, 502, 503, 504].map((code) => denied(code)),
    denied(403, { body: "not you: 100% sure, \u00e9\n" }),
    denied(401, { body: "no", headers: [header("www-authenticate", "Bearer"), header("x-why", "a")] }),
    denied(302, { headers: [header("location", "/login")] }),
    ANSWERS["denial with 200"],
    ANSWERS["an error of its own"],
    { status: { code: 16 } },
  ];
  for (const answer of told) {
    assert.ok(answer);
    const asked = json(answer);
    const [ours, theirs] = await Promise.all([
      askByGrpc(`http://${sidecar}:8080`, asked),
      askByGrpc(`http://127.0.0.1:${envoy}`, asked),
    ]);
    assert.deepEqual(ours, theirs, asked);
    assert.equal(ours.headers[":status"], 200);
  }
});

interface GrpcSeen {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** What a client of gRPC sees, but for what each proxy adds by itself. */
async function askByGrpc(origin: string, answer: string): Promise<GrpcSeen> {
  const session = connectHttp2(origin);
  const { promise, resolve: done, reject } = Promise.withResolvers<GrpcSeen>();
  session.on("error", reject);
  const stream = session.request({
    ":method": "POST",
    ":path": "/pkg.Service/Method",
    ":authority": "server.foo",
    "content-type": "application/grpc",
    te: "trailers",
    "x-answer": answer,
  });
  let headers: Record<string, unknown> = {};
  let body = "";
  stream.on("response", ({ date: _, server: __, ...rest }) => {
    headers = { ...rest };
  });
  stream.setEncoding("latin1").on("data", (chunk: string) => {
    body += chunk;
  });
  stream.on("error", reject).on("close", () => done({ headers, body }));
  stream.end();
  return promise.finally(() => session.destroy());
}

/** Header values are octets. */
function json(value: object): string {
  return JSON.stringify(value).replace(
    /[\u0080-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

test("gRPC: bodies are shown as Envoy shows them: whole, in part, as bytes, or refused with 413", async (context) => {
  const authorizer = await startPythonAuthorizer(context);
  const application = await startApplication(context);
  const settings: readonly (readonly [object, object])[] = [
    [
      { maxRequestBytes: 4, allowPartialMessage: true },
      { max_request_bytes: 4, allow_partial_message: true },
    ],
    [{ maxRequestBytes: 4 }, { max_request_bytes: 4 }],
    [
      { maxRequestBytes: 4, allowPartialMessage: true, packAsBytes: true },
      { max_request_bytes: 4, allow_partial_message: true, pack_as_bytes: true },
    ],
  ];
  for (const [index, [ours, theirs]] of settings.entries()) {
    const sidecar = await startSidecar(
      context,
      65 + index,
      authorizer,
      { includeRequestBodyInCheck: ours },
      "Grpc",
    );
    const envoy = await startAuthorizedEnvoy(context, {
      application,
      authorizer,
      grpc: true,
      filter: { with_request_body: theirs },
    });
    for (const body of ["", "123", "1234", "12345", "\xff\xfe\xfd", "x".repeat(100_000)]) {
      const length = body === "" ? "" : `content-length: ${body.length}\r\n`;
      const request = `POST /p HTTP/1.1\r\nhost: server.foo\r\n${length}connection: close\r\n\r\n${body}`;
      const [mine, his] = await Promise.all([ask(sidecar, 8080, request), ask("127.0.0.1", envoy, request)]);
      assert.deepEqual(mine, his, `${JSON.stringify(ours)} ${body.length}`);
    }
  }
});

test("HTTP: the same question, and the same made of each answer", async (context) => {
  const servers = new AuthorizerServers();
  const tcp = createTcp(servers.accept);
  await new Promise<void>((done) => tcp.listen(0, "127.0.0.1", done));
  context.after(() => {
    tcp.close();
    for (const socket of servers.sockets) socket.destroy();
  });
  const authorizer = (tcp.address() as AddressInfo).port;
  const application = await startApplication(context);
  const lists = {
    pathPrefix: "/check",
    includeRequestHeadersInCheck: ["x-role", "x-fixed"],
    includeAdditionalHeadersInCheck: { "x-fixed": "ours" },
    headersToUpstreamOnAllow: ["x-user", "x-multi"],
    headersToDownstreamOnAllow: ["x-session", "x-there"],
    headersToDownstreamOnDeny: ["x-why"],
  };
  const exact = (...names: string[]) => ({
    patterns: names.map((name) => ({ exact: name, ignore_case: true })),
  });
  const sidecars = [
    await startSidecar(context, 68, authorizer, lists, "Http"),
    await startSidecar(context, 69, authorizer, {}, "Http"),
  ];
  const envoys = [
    await startAuthorizedEnvoy(context, {
      application,
      authorizer,
      grpc: false,
      filter: { allowed_headers: exact("x-role", "x-fixed") },
      http: {
        path_prefix: "/check",
        authorization_request: { headers_to_add: [{ key: "x-fixed", value: "ours" }] },
        authorization_response: {
          allowed_upstream_headers: exact("x-user", "x-multi"),
          allowed_client_headers_on_success: exact("x-session", "x-there"),
          allowed_client_headers: exact("x-why"),
        },
      },
    }),
    await startAuthorizedEnvoy(context, { application, authorizer, grpc: false }),
  ];
  const fields = [
    "x-user",
    "alice",
    "x-multi",
    "1",
    "x-multi",
    "2",
    "x-session",
    "s",
    "x-there",
    "authorizer",
    "x-why",
    "no",
  ];
  const all = [
    ...fields,
    "x-unlisted",
    "1",
    "location",
    "/l",
    "x-envoy-auth-headers-to-remove",
    "x-secret, cookie",
    "content-type",
    "text/html",
  ];
  const request =
    "POST /h/../i?x=1 HTTP/1.1\r\nhost: server.foo\r\nx-user: mallory\r\nx-multi: old\r\nx-secret: s\r\ncookie: c\r\nx-role: 1\r\nx-role: 2\r\n" +
    "x-fixed: theirs\r\nauthorization: Basic x\r\nx-other: 1\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc";
  for (const status of [200, 201, 204, 302, 401, 403, 404, 429, 500, 503]) {
    servers.http = (_check, response) =>
      response.writeHead(status, all).end(status === 204 ? undefined : "page");
    for (const at of [0, 1]) {
      const ours = await ask(sidecars[at] ?? "", 8080, request);
      const asked = servers.httpChecks.at(-1);
      const theirs = await ask("127.0.0.1", envoys[at] ?? 0, request);
      assert.deepEqual(ours, theirs, `${status}, ${at === 0 ? "with" : "without"} lists`);
      const reference = servers.httpChecks.at(-1);
      const {
        "x-envoy-internal": _internal,
        "x-envoy-expected-rq-timeout-ms": _timeout,
        connection: _theirs,
        ...headers
      } = reference?.headers ?? {};
      const { connection: _ours, ...own } = asked?.headers ?? {};
      assert.deepEqual({ ...asked, headers: own }, { ...reference, headers });
    }
  }
});

test("bulwark authorizer is understood by grpcio and by Envoy", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "authorizer-real-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(
    join(folder, "context.yaml"),
    "users: {alice: {active: true, team: red}, bob: {active: false}}",
  );
  writeFileSync(
    join(folder, "rules.yaml"),
    `
context: {file: context.yaml}
subjects: {user: {table: users, key: {header: x-user}}, device: {table: users, key: principal}}
rules:
- {name: active, effect: allow, when: [{value: user.active, is: true}]}
- {name: device, effect: allow, when: [{value: device.active, is: true}]}
- {name: rest, effect: deny, message: not you}
setHeaders: {x-team: user.team}`,
  );
  const running = await startAuthorizer({
    rulesPath: join(folder, "rules.yaml"),
    address: { host: "127.0.0.1", port: 0 },
    onEvent: () => {},
  });
  context.after(() => running.close());
  const check = async (source: object, headers: object): Promise<Record<string, unknown>> => {
    const request = JSON.stringify({
      attributes: { source, request: { http: { method: "GET", path: "/", headers } } },
    });
    const { stdout, stderr } = await run(program("python"), [
      join(HERE, "check.py"),
      `127.0.0.1:${running.port}`,
      request,
    ]);
    assert.equal(stderr, "");
    return JSON.parse(stdout) as Record<string, unknown>;
  };
  const allowed = { header: { key: "x-team", value: "red" }, append: false };
  assert.deepEqual(await check({}, { "x-user": "alice" }), {
    status: {},
    okResponse: { headers: [allowed] },
  });
  assert.deepEqual(await check({}, { "x-user": "bob" }), {
    status: { code: 7 },
    deniedResponse: { status: { code: "Forbidden" }, body: "not you" },
  });
  const byPrincipal = await check({ principal: "spiffe://alice" }, {});
  assert.deepEqual(byPrincipal, { status: {}, okResponse: { headersToRemove: ["x-team"] } });
  const application = await startApplication(context);
  for (const grpc of [true, false]) {
    const lists = {
      path_prefix: "/check",
      authorization_response: { allowed_upstream_headers: { patterns: [{ exact: "x-team" }] } },
    };
    const envoy = await startAuthorizedEnvoy(context, {
      application,
      authorizer: running.port,
      grpc,
      ...(grpc ? {} : { http: lists, filter: { allowed_headers: { patterns: [{ exact: "x-user" }] } } }),
    });
    const as = (user: string): Promise<Seen> =>
      ask(
        "127.0.0.1",
        envoy,
        `GET /a HTTP/1.1\r\nhost: a\r\nx-user: ${user}\r\nx-team: blue\r\nconnection: close\r\n\r\n`,
      );
    const alice = await as("alice");
    assert.equal(alice.status, 200);
    assert.match(JSON.stringify(alice.body), /x-team: red/);
    assert.doesNotMatch(JSON.stringify(alice.body), /blue/);
    const bob = await as("bob");
    assert.deepEqual([bob.status, bob.body], [403, "not you"]);
  }
});
