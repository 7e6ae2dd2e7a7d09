import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type AuthorizerEvent, startAuthorizer } from "../../src/authorizer/run-authorizer.ts";
import {
  CHECK_METHOD,
  type CheckResponse,
  decodeCheckResponse,
  encodeCheckRequest,
} from "../../src/dataplane/ext-authz/check-message.ts";
import { frame, unframe } from "../../src/dataplane/ext-authz/grpc-call.ts";
import { until } from "../control/until.ts";

const RULES = `
context: {file: context.yaml, maxAge: 200ms}
subjects:
  device: {table: devices, key: principal}
  named: {table: devices, key: {header: x-device}}
rules:
- {name: healthy, effect: allow, when: [{value: device.healthy, is: true}]}
- {name: named, effect: allow, when: [{value: named.healthy, is: true}]}
setHeaders: {x-os: device.os}
`;

async function authorizer(context: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-authorizer-"));
  const rules = join(folder, "rules.yaml");
  const facts = join(folder, "context.yaml");
  writeFileSync(rules, RULES);
  writeFileSync(facts, "devices: {laptop: {healthy: true, os: linux}}");
  const events: AuthorizerEvent[] = [];
  const running = await startAuthorizer({
    rulesPath: rules,
    address: { host: "127.0.0.1", port: 0 },
    onEvent: (event) => events.push(event),
  });
  const session = connectHttp2(`http://127.0.0.1:${running.port}`);
  session.on("error", () => {});
  context.after(async () => {
    session.destroy();
    await running.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { port: running.port, rules, facts, events, session };
}

interface GrpcAnswer {
  readonly status: number;
  readonly response: CheckResponse | undefined;
}

function call(session: ClientHttp2Session, body: Buffer, path = CHECK_METHOD): Promise<GrpcAnswer> {
  const { promise, resolve } = Promise.withResolvers<GrpcAnswer>();
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  const chunks: Buffer[] = [];
  let status = -1;
  const note = (headers: Record<string, unknown>): void => {
    if (headers["grpc-status"] !== undefined) status = Number(headers["grpc-status"]);
  };
  stream
    .on("response", note)
    .on("trailers", note)
    .on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("error", () => {});
  stream.on("close", () => {
    const message = unframe(Buffer.concat(chunks));
    resolve({ status, response: message === undefined ? undefined : decodeCheckResponse(message) });
  });
  stream.end(body);
  return promise;
}

function check(principal: string, path = "/p?q=1"): Buffer {
  const peer = { ip: "127.0.0.1", port: 1, principal };
  return frame(
    encodeCheckRequest({
      source: peer,
      destination: peer,
      timeMs: 0,
      http: {
        id: "1",
        method: "GET",
        path,
        host: "h",
        scheme: "http",
        protocol: "HTTP/1.1",
        headers: new Map([["authorization", "Bearer s3cret"]]),
        size: 0,
        body: "",
        rawBody: Buffer.alloc(0),
      },
    }),
  );
}

test("gRPC: allows with headers, denies with 403 and the rule's message, by the caller's principal", async (context) => {
  const { session, events } = await authorizer(context);
  const { response } = await call(session, check("spiffe://laptop"));
  assert.equal(response?.code, 0);
  assert.deepEqual(response?.ok?.headers, [{ name: "x-os", value: "linux", action: "set" }]);
  const denied = (await call(session, check("spiffe://phone"))).response;
  assert.deepEqual([denied?.code, denied?.denied?.status, denied?.denied?.body], [7, 403, "access denied"]);
  assert.equal((await call(session, check("laptop"))).response?.code, 7, "no SPIFFE identity");
  const decisions = events.filter(({ kind }) => kind === "decision");
  assert.deepEqual(decisions[0], {
    kind: "decision",
    allowed: true,
    rule: "healthy",
    reason: "rule",
    subjects: { device: "laptop" },
    principal: "laptop",
    method: "GET",
    path: "/p",
  });
  assert.ok(!JSON.stringify(events).includes("s3cret"));
});

test("HTTP: by a header; no header of the client's that it owns comes through", async (context) => {
  const { port } = await authorizer(context);
  const url = `http://127.0.0.1:${port}/check/p`;
  const allowed = await fetch(url, { headers: { "x-device": "laptop" } });
  assert.equal(allowed.status, 200);
  assert.equal(allowed.headers.get("x-envoy-auth-headers-to-remove"), "x-os", "no device by principal here");
  const forged = "By=spiffe://x;URI=spiffe://laptop";
  for (const headers of [{}, { "x-device": "phone" }, { "x-forwarded-client-cert": forged }]) {
    const denied = await fetch(url, { headers });
    assert.deepEqual([denied.status, await denied.text()], [403, "access denied"]);
  }
});

test("a change of the context decides at once; a context that is lost is a failure, not an answer", async (context) => {
  const { session, facts, port, events } = await authorizer(context);
  writeFileSync(facts, "devices: {laptop: {healthy: false, os: linux}}");
  await until(async () => (await call(session, check("spiffe://laptop"))).response?.code === 7, 5000);
  rmSync(facts);
  await until(async () => (await call(session, check("spiffe://laptop"))).status === 14, 5000);
  assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 503);
  assert.ok(
    events.some((event) => event.kind === "decision" && event.reason === "no-context" && !event.allowed),
  );
});

test("changed rules decide at once; wrong ones are told and the old stay", async (context) => {
  const { session, rules, events } = await authorizer(context);
  writeFileSync(rules, "rules: nonsense");
  await until(() => events.some(({ kind }) => kind === "rules-refused"), 5000);
  assert.equal((await call(session, check("spiffe://laptop"))).response?.code, 0);
  writeFileSync(rules, RULES.replace("effect: allow", "effect: deny"));
  await until(async () => (await call(session, check("spiffe://laptop"))).response?.code === 7, 5000);
});

test("what is no check is refused, and harms nobody", async (context) => {
  const { session, port } = await authorizer(context);
  assert.equal(
    (await call(session, check("spiffe://laptop"), "/envoy.service.auth.v2.Authorization/Check")).status,
    12,
  );
  assert.equal((await call(session, Buffer.from("rubbish"))).status, 3);
  assert.equal((await call(session, frame(Buffer.from([0xff, 0xff])))).status, 3);
  assert.equal((await call(session, frame(Buffer.alloc(5 << 20)))).status, 8);
  for (const bytes of [
    "PRI",
    "\0\0\0",
    "GET / HTTP/9\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff",
  ]) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.resume().end(bytes, "latin1");
    await new Promise((resolve) => socket.once("close", resolve));
  }
  assert.equal((await call(session, check("spiffe://laptop"))).response?.code, 0);
});

test("rules that cannot be used start nothing", async () => {
  await assert.rejects(
    startAuthorizer({
      rulesPath: "/nonexistent/rules.yaml",
      address: { host: "127.0.0.1", port: 0 },
      onEvent: () => {},
    }),
    { code: "BW_AUTHORIZER_RULES" },
  );
});
