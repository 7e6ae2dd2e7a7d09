/** Heads of HTTP/2 that Node's own interface would not send, or would break a stream by. */
import assert from "node:assert/strict";
import { createServer as createHttp2Server } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { FRAME, frame, framesIn, requestFrame } from "./http2-frames.ts";
import { HTTP2_BEGINNING, HTTP2_SERVER_MESH } from "./http2-server-mesh.ts";
import { type RunningPod, startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const MESH = `${HTTP2_SERVER_MESH}---
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
  const socket = connect(8080, pod.address, () => socket.write(Buffer.concat([HTTP2_BEGINNING, request])));
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
