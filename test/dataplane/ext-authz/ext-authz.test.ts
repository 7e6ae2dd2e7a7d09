import assert from "node:assert/strict";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import type { CheckResponse } from "../../../src/dataplane/ext-authz/check-message.ts";
import type { FlowDraft } from "../../../src/model/flow-record.ts";
import { type Answer, callThroughSidecar } from "../client.ts";
import { type RunningMesh, startMesh } from "../mesh-fixture.ts";
import { ALLOWED, AuthorizerServers, DENIED } from "./authorizer-servers.ts";

const NET = 61;

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

interface Provider {
  readonly http?: boolean;
  /** The name of the HTTP authorizer's port, which says what it speaks. */
  readonly portName?: string;
  readonly settings?: object;
}

const CUSTOM = `
  action: CUSTOM
  provider: {name: authz}
  rules: [{to: [{operation: {paths: ["/checked*"]}}]}]`;

function meshYaml(
  { http = false, portName = "http", settings = {} }: Provider,
  policies: readonly string[] = [CUSTOM],
): string {
  const provider = {
    name: "authz",
    [http ? "envoyExtAuthzHttp" : "envoyExtAuthzGrpc"]: {
      service: "authorizer.foo.svc.cluster.local",
      port: http ? 9001 : 9000,
      timeout: "2s",
      ...settings,
    },
  };
  return `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: '${JSON.stringify({ extensionProviders: [provider] })}'
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: foo}
spec: {selector: {app: server}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-raw, port: 9500, targetPort: 9500}]}
---
apiVersion: v1
kind: Service
metadata: {name: authorizer, namespace: foo}
spec: {selector: {app: authorizer}, ports: [{name: grpc, port: 9000}, {name: ${portName}, port: 9001}]}
${workload("server", "[{containerPort: 8080}, {containerPort: 9500}]")}
${workload("client", "[{containerPort: 8081}]")}
${workload("authorizer", "[{containerPort: 9000}, {containerPort: 9001}]")}
${policies
  .map(
    (spec, index) => `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p${index}, namespace: foo}
spec:
  selector: {matchLabels: {app: server}}${spec}`,
  )
  .join("")}`;
}

interface Running {
  readonly mesh: RunningMesh;
  readonly authorizer: AuthorizerServers;
  readonly call: (
    path: string,
    options?: Parameters<typeof callThroughSidecar>[3],
    method?: string,
  ) => Promise<Answer>;
  readonly lastFlow: () => FlowDraft;
}

async function running(
  context: TestContext,
  provider: Provider,
  policies?: readonly string[],
): Promise<Running> {
  const authorizer = new AuthorizerServers();
  const mesh = await startMesh(context, meshYaml(provider, policies), {
    net: NET,
    tcpHandler: authorizer.accept,
  });
  const client = mesh.pod("foo/client");
  return {
    mesh,
    authorizer,
    call: (path, options, method = "GET") =>
      callThroughSidecar(client, method, `http://server.foo${path}`, options),
    lastFlow: () => {
      const flow = mesh.pod("foo/server").flows.findLast(({ kind }) => kind === "request");
      assert.ok(flow);
      return flow;
    },
  };
}

interface Seen {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}
const seenBy = ({ body }: Answer): Seen => JSON.parse(body) as Seen;

test("gRPC: only what a CUSTOM policy matches is asked; the authorizer sees who asks for what, over the mesh's mutual TLS", async (context) => {
  const { call, authorizer, lastFlow, mesh } = await running(context, {});
  assert.equal((await call("/free")).status, 200);
  assert.equal(authorizer.grpcChecks.length, 0);
  assert.equal(lastFlow().authorizer, undefined);
  const allowed = await call("/checked/a%2fb/../x?y=1", {
    headers: "x-role: a\r\nx-role: b\r\nauthorization: Bearer s3cret\r\n",
  });
  assert.equal(allowed.status, 200, allowed.body);
  const [check] = authorizer.grpcChecks;
  assert.equal(check?.source.principal, "spiffe://cluster.local/ns/foo/sa/client");
  assert.equal(check?.destination.principal, "spiffe://cluster.local/ns/foo/sa/server");
  assert.equal(check?.destination.port, 8080);
  assert.equal(check?.http?.method, "GET");
  assert.equal(check?.http?.path, "/checked/x?y=1", "as it is judged and sent on");
  assert.equal(check?.http?.host, "server.foo");
  assert.equal(check?.http?.headers.get("x-role"), "a,b");
  assert.equal(check?.http?.headers.get(":path"), "/checked/x?y=1");
  assert.match(
    check?.http?.headers.get("x-forwarded-client-cert") ?? "",
    /URI=spiffe:\/\/cluster.local\/ns\/foo\/sa\/client$/,
  );
  const flow = lastFlow();
  assert.deepEqual(
    [flow.verdict, flow.authorizer?.provider, flow.authorizer?.answer, flow.authorizer?.status],
    ["allow", "authz", "allow", 0],
  );
  assert.ok((flow.authorizer?.durationMs ?? 0) > 0);
  assert.ok(!JSON.stringify(flow).includes("s3cret"), "no header's value is recorded");
  const hop = mesh.pod("foo/authorizer").flows.find(({ kind }) => kind === "request");
  assert.equal(hop?.source?.principal, "cluster.local/ns/foo/sa/server", "the server's own identity asks");
  assert.equal(hop?.tls?.version, "TLSv1.3");
});

test("gRPC: a denial's status, headers and body reach the caller; the record names provider and policy", async (context) => {
  const { call, authorizer, lastFlow } = await running(context, {});
  authorizer.grpc = () => ({
    ...DENIED,
    denied: {
      status: 401,
      headers: [
        { name: "www-authenticate", value: "Bearer", action: "set" },
        { name: "set-cookie", value: "a=1", action: "add" },
        { name: "set-cookie", value: "b=2", action: "add" },
      ],
      body: "log in first",
    },
  });
  const denied = await call("/checked");
  assert.deepEqual([denied.status, denied.body], [401, "log in first"]);
  assert.match(denied.head, /^www-authenticate: Bearer\r$/im);
  assert.match(denied.head, /set-cookie: a=1\r\nset-cookie: b=2/i);
  const flow = lastFlow();
  assert.deepEqual(
    [flow.verdict, flow.layer, flow.reason, flow.status, flow.policy, flow.rule],
    ["deny", "ext-authz", "ext-authz-denied", 401, "AuthorizationPolicy foo/p0", 0],
  );
  assert.deepEqual([flow.authorizer?.answer, flow.authorizer?.status], ["deny", 7]);
  assert.match(flow.explanation?.join("\n") ?? "", /provider `authz`/);
  authorizer.grpc = () => DENIED;
  assert.equal((await call("/checked")).status, 403, "without a status of its own");
});

const ok = (changes: Partial<NonNullable<CheckResponse["ok"]>>): CheckResponse => ({
  ...ALLOWED,
  ok: {
    headers: [],
    headersToRemove: [],
    responseHeaders: [],
    queryToSet: [],
    queryToRemove: [],
    ...changes,
  },
});

test("gRPC: on allow it sets, appends, adds and removes headers, changes the query, and marks the response", async (context) => {
  const { call, authorizer } = await running(context, {});
  authorizer.grpc = () =>
    ok({
      headers: [
        { name: "x-user", value: "alice", action: "set" },
        { name: "x-list", value: "b", action: "append" },
        { name: "x-nothing", value: "b", action: "append" },
        { name: "x-there", value: "2", action: "add-if-absent" },
        { name: "x-utf8", value: "é", action: "set" },
      ],
      headersToRemove: ["X-Secret", "host", ":path", "content-length"],
      responseHeaders: [
        { name: "content-type", value: "text/x", action: "set" },
        { name: "x-checked", value: "yes", action: "add" },
      ],
      queryToSet: [["q", "2"]],
      queryToRemove: ["drop"],
    });
  const answer = await call("/checked?q=1&drop=1&keep=1", {
    headers: "x-user: mallory\r\nX-User: eve\r\nx-list: a\r\nx-there: 1\r\nx-secret: s\r\n",
  });
  assert.equal(answer.status, 200, answer.body);
  const { path, headers } = seenBy(answer);
  assert.equal(path, "/checked?q=2&keep=1");
  assert.deepEqual(
    ["x-user", "x-list", "x-nothing", "x-there", "x-secret"].map((name) => headers[name]),
    ["alice", "a,b", undefined, "2", undefined],
  );
  const octets = (text: string): string => Buffer.from(text, "latin1").toString("utf8");
  assert.equal(octets(octets(headers["x-utf8"] ?? "")), "é", "as the UTF-8 that it came in");
  assert.equal(headers.host, "server.foo");
  assert.match(answer.head, /^content-type: text\/x\r$/im);
  assert.doesNotMatch(answer.head, /application\/json/);
  assert.match(answer.head, /^x-checked: yes/im);
});

test("what cannot be carried out is refused with 500, also by a provider that fails open, and never sent in part", async (context) => {
  const { call, authorizer, lastFlow } = await running(context, { settings: { failOpen: true } });
  const headers: readonly (readonly [string, string])[] = [
    ["x-a", "1\r\nx-admin: true"],
    ["x-a\r\nx-admin", "1"],
    ["x a", "1"],
    [":path", "/free"],
    ["host", "other.foo"],
    ["content-length", "3"],
    ["transfer-encoding", "chunked"],
    ["x-wide", "\u0000"],
  ];
  for (const [name, value] of headers) {
    authorizer.grpc = () => ok({ headers: [{ name, value, action: "set" }] });
    assert.equal((await call("/checked")).status, 500, JSON.stringify([name, value]));
    assert.deepEqual([lastFlow().verdict, lastFlow().reason], ["deny", "ext-authz-failed"]);
  }
  authorizer.grpc = () => ok({ queryToSet: [["q", "a b"]] });
  assert.equal((await call("/checked")).status, 500);
});

test("a header that the authorizer sets is its own word; one that it does not set is the client's, as with Envoy", async (context) => {
  const { call, authorizer } = await running(context, {});
  const forged = {
    headers:
      "x-ext-authz-check-result: allowed\r\nx-envoy-auth-partial-body: false\r\nx-forwarded-client-cert: URI=spiffe://cluster.local/ns/foo/sa/admin\r\n",
  };
  const untouched = seenBy(await call("/checked", forged)).headers;
  assert.equal(untouched["x-ext-authz-check-result"], "allowed");
  const check = authorizer.grpcChecks.at(-1)?.http?.headers;
  assert.equal(check?.get("x-envoy-auth-partial-body"), undefined, "only a proxy says this");
  assert.doesNotMatch(check?.get("x-forwarded-client-cert") ?? "", /admin/);
  authorizer.grpc = () =>
    ok({ headers: [{ name: "x-ext-authz-check-result", value: "checked", action: "set" }] });
  assert.equal(seenBy(await call("/checked", forged)).headers["x-ext-authz-check-result"], "checked");
  authorizer.grpc = () => ok({ headersToRemove: ["x-ext-authz-check-result"] });
  assert.equal(seenBy(await call("/checked", forged)).headers["x-ext-authz-check-result"], undefined);
});

test("policies after CUSTOM judge the request as the authorizer leaves it: DENY outweighs its allow", async (context) => {
  const deny = `
  action: DENY
  rules: [{when: [{key: "request.headers[x-risk]", values: [high]}]}]`;
  const allow = `
  action: ALLOW
  rules: [{when: [{key: "request.headers[x-user]", values: [alice]}]}]`;
  const { call, authorizer, lastFlow } = await running(context, {}, [CUSTOM, deny, allow]);
  assert.equal((await call("/checked")).status, 403);
  assert.equal(lastFlow().reason, "no-allow-matched");
  authorizer.grpc = () => ok({ headers: [{ name: "x-user", value: "alice", action: "set" }] });
  assert.equal((await call("/checked")).status, 200);
  authorizer.grpc = () =>
    ok({
      headers: [
        { name: "x-user", value: "alice", action: "set" },
        { name: "x-risk", value: "high", action: "set" },
      ],
    });
  assert.equal((await call("/checked")).status, 403);
  assert.equal(lastFlow().policy, "AuthorizationPolicy foo/p1");
  authorizer.grpc = () => DENIED;
  assert.equal((await call("/checked", { headers: "x-risk: high\r\n" })).status, 403);
  assert.equal(lastFlow().reason, "ext-authz-denied", "CUSTOM comes before DENY");
});

test("an authorizer that does not answer in time, hangs up, or cannot be reached: closed, with statusOnError", async (context) => {
  const { call, authorizer, lastFlow } = await running(context, {
    settings: { timeout: "0.3s", statusOnError: "503" },
  });
  authorizer.grpc = () => new Promise(() => {});
  const started = performance.now();
  assert.equal((await call("/checked")).status, 503);
  assert.ok(performance.now() - started < 15_000);
  assert.deepEqual(
    [lastFlow().verdict, lastFlow().reason, lastFlow().status],
    ["deny", "ext-authz-failed", 503],
  );
  assert.match(lastFlow().explanation?.join(" ") ?? "", /did not answer within 300 ms/);
  assert.equal(lastFlow().authorizer?.answer, "error");
  authorizer.grpc = () => {
    for (const socket of authorizer.sockets) socket.destroy();
    return ALLOWED;
  };
  assert.equal((await call("/checked")).status, 503);
  authorizer.grpc = () => ({ ...DENIED, error: { status: 0, headers: [], body: "no database" } });
  assert.equal((await call("/checked")).status, 503, "it says itself that it failed");
  authorizer.grpc = () => ({ ...DENIED, error: { status: 500, headers: [], body: "no database" } });
  const own = await call("/checked");
  assert.deepEqual([own.status, own.body, lastFlow().reason], [500, "no database", "ext-authz-failed"]);
  authorizer.grpc = () => ALLOWED;
  assert.equal((await call("/checked")).status, 200, "and is asked again");
});

test("failOpen lets through what could not be asked, and the record says so; a denial stays one", async (context) => {
  const { call, authorizer, lastFlow } = await running(context, {
    settings: { timeout: "0.2s", failOpen: true },
  });
  authorizer.grpc = () => new Promise(() => {});
  const passed = await call("/checked", { headers: "x-user: mallory\r\n" });
  assert.equal(passed.status, 200);
  assert.equal(lastFlow().authorizer?.failedOpen, true);
  assert.match(lastFlow().explanation?.join(" ") ?? "", /unchecked/);
  authorizer.grpc = () => DENIED;
  assert.equal((await call("/checked")).status, 403);
  assert.equal(lastFlow().authorizer?.failedOpen, undefined);
});

test("the body is shown up to its limit, and goes on whole: by length, in chunks, octet by octet", async (context) => {
  const { call, authorizer } = await running(context, {
    settings: { includeRequestBodyInCheck: { maxRequestBytes: 8, allowPartialMessage: true } },
  });
  const shown = () => {
    const http = authorizer.grpcChecks.at(-1)?.http;
    return [http?.body, http?.headers.get("x-envoy-auth-partial-body")];
  };
  assert.equal(seenBy(await call("/checked", { body: "12345678" }, "POST")).body, "12345678");
  assert.deepEqual(shown(), ["12345678", "false"]);
  assert.equal(seenBy(await call("/checked", { body: "123456789abc" }, "POST")).body, "123456789abc");
  assert.deepEqual(shown(), ["12345678", "true"]);
  await call("/checked");
  assert.deepEqual(shown(), ["", undefined]);
  const big = "x".repeat(300_000);
  assert.equal(seenBy(await call("/checked", { body: big }, "POST")).body.length, big.length);
});

test("a body longer than the authorizer is to be shown: 413, whatever failOpen says, and it is not asked", async (context) => {
  const { call, authorizer, lastFlow } = await running(context, {
    settings: { failOpen: true, includeRequestBodyInCheck: { maxRequestBytes: 4 } },
  });
  assert.equal((await call("/checked", { body: "1234" }, "POST")).status, 200);
  assert.equal((await call("/checked", { body: "12345" }, "POST")).status, 413);
  assert.equal(authorizer.grpcChecks.length, 1);
  assert.deepEqual(
    [lastFlow().verdict, lastFlow().status, lastFlow().reason],
    ["deny", 413, "body-too-large"],
  );
});

test("HTTP: method, path behind the prefix, Host, Authorization, and listed headers; fixed ones replace the client's", async (context) => {
  const { call, authorizer } = await running(context, {
    http: true,
    settings: {
      pathPrefix: "/check",
      includeRequestHeadersInCheck: ["X-Role-*", "x-fixed"],
      includeAdditionalHeadersInCheck: { "X-Fixed": "ours" },
    },
  });
  const answer = await call(
    "/checked?a=1",
    {
      headers: "x-role-a: 1\r\nx-other: 2\r\nx-fixed: theirs\r\nauthorization: Basic abc\r\n",
      body: "hidden",
    },
    "POST",
  );
  assert.equal(answer.status, 200, answer.body);
  assert.equal(seenBy(answer).body, "hidden");
  const [check] = authorizer.httpChecks;
  assert.deepEqual([check?.method, check?.path, check?.body], ["POST", "/check/checked?a=1", ""]);
  const { headers = {} } = check ?? {};
  assert.deepEqual(
    ["host", "authorization", "x-role-a", "x-fixed", "x-other", "content-length"].map(
      (name) => headers[name],
    ),
    ["server.foo", "Basic abc", "1", "ours", undefined, "0"],
  );
});

test("HTTP: 200 allows and sets what is listed; anything else denies with all, or the listed, headers and the body", async (context) => {
  const lists = {
    headersToUpstreamOnAllow: ["x-user"],
    headersToDownstreamOnAllow: ["x-session"],
    headersToDownstreamOnDeny: ["x-why"],
  };
  const { call, authorizer, mesh } = await running(context, { http: true, settings: lists });
  authorizer.http = (_check, response) =>
    response
      .writeHead(200, {
        "x-user": "alice",
        "x-session": "1",
        "x-unlisted": "1",
        "x-envoy-auth-headers-to-remove": "x-secret, cookie",
      })
      .end("ignored");
  const allowed = await call("/checked", { headers: "x-user: mallory\r\nx-secret: s\r\ncookie: c\r\n" });
  const { headers } = seenBy(allowed);
  assert.deepEqual(
    ["x-user", "x-secret", "cookie", "x-unlisted"].map((name) => headers[name]),
    ["alice", undefined, undefined, undefined],
  );
  assert.match(allowed.head, /^x-session: 1/im);
  for (const status of [201, 204, 302, 401, 403, 404, 429]) {
    authorizer.http = (_check, response) =>
      response.writeHead(status, { location: "/login", "x-why": "no", "x-unlisted": "1" }).end();
    const denied = await call("/checked");
    assert.equal(denied.status, status);
    assert.match(denied.head, /^x-why: no/im);
    assert.match(denied.head, /^location: \/login/im);
    assert.doesNotMatch(denied.head, /x-unlisted/i);
  }
  authorizer.http = (_check, response) => response.writeHead(500).end();
  assert.equal((await call("/checked")).status, 403, "a failure of the authorizer's");
  await mesh.apply(meshYaml({ http: true }));
  authorizer.http = (_check, response) => response.writeHead(403, { "x-unlisted": "1" }).end("go away");
  const all = await call("/checked");
  assert.deepEqual([all.status, all.body], [403, "go away"]);
  assert.match(all.head, /^x-unlisted: 1/im);
});

test("HTTP: an authorizer whose port is declared HTTP/2 is asked in it, to the same effect", async (context) => {
  const settings = {
    includeRequestHeadersInCheck: ["x-role"],
    includeRequestBodyInCheck: { maxRequestBytes: 4, allowPartialMessage: true },
    headersToUpstreamOnAllow: ["x-user"],
  };
  const { call, authorizer, lastFlow } = await running(context, { http: true, portName: "http2", settings });
  authorizer.http = (_check, response) =>
    response.writeHead(200, { "x-user": "alice", "x-other": "1" }).end();
  const allowed = await call(
    "/checked?a=1",
    { headers: "x-role: dev\r\nx-user: mallory\r\n", body: "123456" },
    "POST",
  );
  assert.equal(allowed.status, 200, allowed.body);
  const seen = JSON.parse(allowed.body) as Seen;
  assert.deepEqual([seen.headers["x-user"], seen.headers["x-other"]], ["alice", undefined]);
  const [check] = authorizer.httpChecks;
  assert.deepEqual(
    [check?.method, check?.path, check?.body, check?.headers[":authority"], check?.headers["x-role"]],
    ["POST", "/checked?a=1", "1234", "server.foo", "dev"],
  );
  authorizer.http = (_check, response) =>
    response.writeHead(401, { "www-authenticate": "Basic" }).end("who?");
  const denied = await call("/checked");
  assert.deepEqual([denied.status, denied.body], [401, "who?"]);
  assert.match(denied.head, /^www-authenticate: Basic/im);
  authorizer.http = (_check, response) => response.destroy();
  assert.equal((await call("/checked")).status, 403);
  assert.deepEqual([lastFlow().reason, lastFlow().authorizer?.answer], ["ext-authz-failed", "error"]);
});

test("HTTP: an authorizer that hangs or is gone is closed by default, and open where its provider says so", async (context) => {
  const { call, authorizer, mesh, lastFlow } = await running(context, {
    http: true,
    settings: { timeout: "0.2s" },
  });
  authorizer.http = () => {};
  assert.equal((await call("/checked")).status, 403);
  assert.equal(lastFlow().reason, "ext-authz-failed");
  authorizer.http = (_check, response) => response.socket?.destroy();
  assert.equal((await call("/checked")).status, 403);
  await mesh.apply(meshYaml({ http: true, settings: { timeout: "0.2s", failOpen: true } }));
  assert.equal((await call("/checked")).status, 200);
});

test("TCP: a gRPC authorizer decides on connections; without its allow no byte reaches the application", async (context) => {
  const tcp = `
  action: CUSTOM
  provider: {name: authz}
  rules: [{to: [{operation: {ports: ["9500"]}}]}]`;
  const { mesh, authorizer } = await running(context, {}, [tcp]);
  const server = mesh.pod("foo/server");
  const dial = (): Promise<string> => dialThroughSidecar(mesh, "server.foo:9500");
  assert.match(await dial(), /^HTTP\/1.1 400|^$|HTTP/, "the application answered");
  const [check] = authorizer.grpcChecks;
  assert.equal(check?.http, null);
  assert.equal(check?.source.principal, "spiffe://cluster.local/ns/foo/sa/client");
  authorizer.grpc = () => DENIED;
  const before = authorizer.sockets.size;
  assert.equal(await dial(), "");
  assert.ok(authorizer.sockets.size <= before);
  const flow = server.flows.findLast(({ kind }) => kind === "connection");
  assert.deepEqual(
    [flow?.verdict, flow?.reason, flow?.authorizer?.provider, flow?.authorizer?.answer],
    ["deny", "ext-authz-denied", "authz", "deny"],
  );
});

/** Says something that is no HTTP through the client's sidecar (CONNECT), and returns what comes back. */
function dialThroughSidecar(mesh: RunningMesh, to: string): Promise<string> {
  const client = mesh.pod("foo/client");
  const secret = Buffer.from("bulwark:test-secret").toString("base64");
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect(15_001, client.pod.address);
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    if (text.endsWith("\r\n\r\n") && text.startsWith("HTTP/1.1 200")) socket.write("hello there\r\n\r\n");
  });
  socket.on("error", () => {});
  socket.on("close", () => resolve(text.replace(/^HTTP\/1.1 200[\s\S]*?\r\n\r\n/, "")));
  socket.write(`CONNECT ${to} HTTP/1.1\r\nhost: ${to}\r\nproxy-authorization: Basic ${secret}\r\n\r\n`);
  return promise;
}
