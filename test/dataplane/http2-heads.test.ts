/** Heads of HTTP/2 that Node's own interface would not send, or would break a stream by. */
import assert from "node:assert/strict";
import { createServer as createHttp2Server } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { FRAME, frame, framesIn, HTTP2_PREFACE, requestFrame } from "./http2-frames.ts";
import { type RunningPod, startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: a, labels: {app: server}}
spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec: {selector: {app: server}, ports: [{name: grpc, port: 8080}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed, namespace: a}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/closed]}}]}]}
`;

/** The frames that answer one request, by their types, once the stream has ended. */
async function answerTo(
  { pod }: RunningPod,
  fields: readonly (readonly [string, string])[],
): Promise<{ readonly types: readonly number[]; readonly ended: boolean }> {
  let received: Buffer = Buffer.alloc(0);
  const all: (readonly [string, string])[] = [...fields, [":scheme", "http"], [":authority", "server.a"]];
  const request = requestFrame(1, all.sort());
  const socket = connect(8080, pod.address, () =>
    socket.write(Buffer.concat([HTTP2_PREFACE, frame(FRAME.settings, 0, 0, Buffer.alloc(0)), request])),
  );
  socket
    .on("error", () => {})
    .on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
    });
  const own = () => framesIn(received).filter(({ stream }) => stream === 1);
  await until(() => own().length > 0, "an answer");
  // The answer's last frame comes before what is asked behind it is answered.
  const ping = Buffer.alloc(8);
  socket.write(frame(6, 0, 0, ping));
  await until(() => framesIn(received).some(({ type }) => type === 6), "the ping's answer");
  socket.destroy();
  const types = own().map(({ type }) => type);
  return { types, ended: !types.includes(FRAME.reset) };
}

const application = {
  httpServer: () =>
    createHttp2Server((request, response) => {
      seen.push(request.rawHeaders.filter((_name, at, all) => all[at - 1] === "authorization"));
      response.end();
    }) as never,
};
const seen: string[][] = [];

test("HEAD that is denied over HTTP/2 has its answer, and no broken stream", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 59, ...application });
  const server = mesh.pod("a/server");
  const { types, ended } = await answerTo(server, [
    [":method", "HEAD"],
    [":path", "/closed"],
  ]);
  assert.deepEqual(types, [FRAME.headers]);
  assert.ok(ended);
  assert.equal(server.flows.find(({ kind }) => kind === "request")?.status, 403);
});

test("a header that comes twice where Node knows it once goes on over HTTP/2 as it came", async (context) => {
  const mesh = await startMesh(context, MESH, { net: 59, ...application });
  const server = mesh.pod("a/server");
  await answerTo(server, [
    [":method", "GET"],
    [":path", "/open"],
    ["authorization", "Basic YTpi"],
    ["authorization", "Bearer x"],
  ]);
  await until(() => server.flows.some(({ kind }) => kind === "request"), "the record");
  assert.equal(server.flows.find(({ kind }) => kind === "request")?.status, 200);
  assert.equal(seen.length, 1);
});
