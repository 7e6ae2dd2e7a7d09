import assert from "node:assert/strict";
import { test } from "node:test";
import { AmbientFixture, converse, eventually, isOver } from "./ambient-fixture.ts";

const POD = (namespace: string, name: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: {app: ${name}}}
spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: [{containerPort: 9000}]}]}
---
`;
const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {istio.io/dataplane-mode: ambient}}
---
${POD("team-a", "client")}${POD("team-a", "server")}
`;
const STRICT = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: team-a}
spec: {mtls: {mode: STRICT}}
---
`;
const DENY_OUTSIDER = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-outsider, namespace: team-a}
spec: {selector: {matchLabels: {app: server}}, action: DENY, rules: [{from: [{source: {ipBlocks: [127.221.5.0/24]}}]}]}
---
`;
const OUTSIDER = "127.221.5.1";
const net = 221;
const server = { ip: "127.221.0.2", port: 9000 };

test("plaintext to a captured pod is relayed, from its client's own address, and leaves one record", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const heard = await converse(fixture.dialInClear(OUTSIDER, server), "hello");
  assert.equal(heard.bytes.toString(), "hello");
  assert.deepEqual(fixture.callers, [OUTSIDER]);
  const flow = await fixture.flow(({ direction }) => direction === "inbound");
  assert.equal(fixture.flows.length, 1);
  assert.equal(flow.verdict, "allow");
  assert.equal(flow.reporter, "ztunnel node-a");
  assert.equal(flow.reason, "no-allow-policies");
  assert.deepEqual(flow.destination, { workload: "team-a/server", service: undefined, ...server });
  assert.deepEqual([flow.source?.ip, flow.source?.principal], [OUTSIDER, null]);
  assert.deepEqual([flow.bytesSent, flow.bytesReceived], [5, 5]);
});

test("plaintext is refused where PeerAuthentication or a rule says so, with both in the record, and the application sees nobody", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH + STRICT, { net });
  const refused = await converse(fixture.dialInClear(OUTSIDER, server), "hello");
  assert.equal(refused.bytes.length, 0);
  const byMode = await fixture.flow(({ verdict }) => verdict === "deny");
  assert.deepEqual(
    [byMode.layer, byMode.reason, byMode.policy],
    ["transport", "plaintext-refused", "PeerAuthentication team-a/strict"],
  );
  assert.ok(byMode.explanation?.[0]?.includes("plaintext"));
  fixture.flows.length = 0;
  await fixture.apply(MESH + DENY_OUTSIDER);
  await converse(fixture.dialInClear(OUTSIDER, server), "hello");
  const byRule = await fixture.flow(({ verdict }) => verdict === "deny");
  assert.deepEqual(
    [byRule.layer, byRule.reason, byRule.policy, byRule.rule],
    ["authorization", "deny-matched", "AuthorizationPolicy team-a/no-outsider", 0],
  );
  assert.equal((await converse(fixture.dialInClear("127.221.6.1", server), "hi")).bytes.toString(), "hi");
  assert.deepEqual(fixture.callers, ["127.221.6.1"]);
});

test("a connection that a change of policy forbids is cut, and one that it does not goes on", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const [forbidden, allowed] = [
    fixture.dialInClear(OUTSIDER, server),
    fixture.dialInClear("127.221.6.1", server),
  ];
  const heard = { forbidden: 0, allowed: 0 };
  forbidden.on("data", (chunk: Buffer) => (heard.forbidden += chunk.length)).on("error", () => {});
  allowed.on("data", (chunk: Buffer) => (heard.allowed += chunk.length));
  forbidden.write("a");
  allowed.write("a");
  await eventually(() => heard.forbidden === 1 && heard.allowed === 1, "both to be through");
  await fixture.apply(MESH + DENY_OUTSIDER);
  await eventually(() => isOver(forbidden), "the forbidden one to be cut");
  const flow = await fixture.flow(({ verdict }) => verdict === "deny");
  assert.deepEqual([flow.reason, flow.policy], ["deny-matched", "AuthorizationPolicy team-a/no-outsider"]);
  assert.ok(flow.explanation?.[0]?.includes("cut when the policies changed"));
  allowed.write("b");
  await eventually(() => heard.allowed === 2, "the allowed one to go on");
  allowed.destroy();
});

test("ztunnel's own ports, what nothing redirected, and addresses that are not the pod's are never sent on", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const target = { ip: "127.221.0.2", port: 15006 };
  for (const meant of [
    undefined,
    ...[15001, 15006, 15008, 15053].map((port) => ({ ip: "127.221.0.2", port })),
    { ip: "127.0.0.1", port: 9000 },
    { ip: "127.221.0.1", port: 9000 },
  ]) {
    fixture.flows.length = 0;
    const heard = await converse(fixture.sockets.redirected(OUTSIDER, target, meant), "hello");
    assert.equal(heard.bytes.length, 0, JSON.stringify(meant));
    const flow = await fixture.flow(() => true);
    assert.deepEqual([flow.verdict, flow.layer, flow.reason], ["deny", "protocol", "not-captured"]);
  }
  assert.deepEqual(fixture.sockets.dialled, []);
});

test("an application that does not listen is an error and no refusal; a half-closed client hears the rest", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, {
    net,
    hasApplication: (workload) => workload !== "team-a/server",
    application: (socket) => {
      socket.resume().once("end", () => socket.end("after the end"));
    },
  });
  await converse(fixture.dialInClear(OUTSIDER, server), "hello");
  const flow = await fixture.flow(() => true);
  assert.deepEqual([flow.verdict, flow.layer, flow.reason], ["error", "upstream", "ECONNREFUSED"]);
  const late = await converse(fixture.dialInClear(OUTSIDER, { ip: "127.221.0.1", port: 9000 }), "x");
  assert.equal(late.bytes.toString(), "after the end");
});

test("without a configuration nobody is listened to; pods that the mesh has not in ambient mode are left alone, and said", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const unmeshed = MESH.replace("istio.io/dataplane-mode: ambient", "istio.io/dataplane-mode: none");
  const open = fixture.dialInClear(OUTSIDER, server);
  open.on("error", () => {}).resume();
  open.write("a");
  await eventually(() => fixture.callers.length === 1, "the connection to be through");
  await fixture.apply(unmeshed, fixture.pods);
  await eventually(() => isOver(open), "the pod's connections to end");
  assert.equal((await converse(fixture.dialInClear(OUTSIDER, server), "x")).error, "ECONNREFUSED");
  assert.ok(
    fixture.warnings.some(
      (line) =>
        line.includes("team-a/server is not served") || line.includes("team-a/server-0 is not served"),
    ),
  );
  await fixture.apply(MESH);
  assert.equal((await converse(fixture.dialInClear(OUTSIDER, server), "x")).bytes.toString(), "x");
});
