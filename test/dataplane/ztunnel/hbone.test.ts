import assert from "node:assert/strict";
import { constants } from "node:http2";
import { test } from "node:test";
import { AmbientFixture, converse, eventually, isOver } from "./ambient-fixture.ts";
import { HboneClient } from "./hbone-client.ts";

const POD = (namespace: string, name: string, more = ""): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: {app: ${name}${more}}}
spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: [{containerPort: 9000}]}]}
---
`;
const NAMESPACES = `
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Namespace
metadata: {name: plain}
---
`;
const MESH = `${NAMESPACES}${POD("team-a", "client")}${POD("team-a", "server")}${POD("team-a", "other")}${POD("plain", "plain")}
apiVersion: v1
kind: Service
metadata: {name: server, namespace: team-a}
spec: {selector: {app: server}, ports: [{name: tcp, port: 80, targetPort: 9000}]}
---
`;
const ONLY_CLIENT = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-client, namespace: team-a}
spec: {selector: {matchLabels: {app: server}}, rules: [{from: [{source: {principals: [cluster.local/ns/team-a/sa/client]}}]}]}
---
`;
const ONLY_OTHER = ONLY_CLIENT.replace("only-client", "only-other").replace("sa/client", "sa/other");
const CLIENT = "cluster.local/ns/team-a/sa/client";
const net = 222;
const [client, server, other, plain] = [1, 2, 3, 4].map((n) => `127.222.0.${n}`) as [
  string,
  string,
  string,
  string,
];

test("what a pod dials of another ambient pod goes through HBONE, each end under its own identity, and leaves one record at each", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH + ONLY_CLIENT, {
    net,
    nodeOf: (key) => `node-of-${key}`,
  });
  const heard = await converse(fixture.dial("team-a/client", { ip: server, port: 9000 }), "hello");
  assert.equal(heard.bytes.toString(), "hello");
  assert.deepEqual(fixture.callers, [client]);
  const out = await fixture.flow(({ direction }) => direction === "outbound");
  const into = await fixture.flow(({ direction }) => direction === "inbound");
  assert.equal(fixture.flows.length, 2);
  assert.deepEqual(
    [out.reporter, into.reporter],
    ["ztunnel node-of-team-a/client", "ztunnel node-of-team-a/server"],
  );
  assert.deepEqual([out.verdict, out.layer, out.reason], ["allow", "client-route", "routed"]);
  assert.deepEqual(
    [into.verdict, into.policy, into.rule, into.source?.principal, into.source?.workload],
    ["allow", "AuthorizationPolicy team-a/only-client", 0, CLIENT, "team-a/client"],
  );
  assert.ok(out.traceId !== undefined && out.traceId === into.traceId);
  assert.deepEqual([out.bytesSent, into.bytesSent], [5, 5]);
  assert.deepEqual(
    fixture.sockets.dialled.map(({ pod, port }) => [pod, port]),
    [
      ["team-a/client", 15008],
      ["team-a/server", 9000],
    ],
  );
});

test("a service is dialled by its address: its container's port is what the tunnel leads to; connections share one session", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const to = { ip: fixture.virtualAddress("server.team-a.svc.cluster.local"), port: 80 };
  for (const word of ["one", "two", "three"])
    assert.equal((await converse(fixture.dial("team-a/client", to), word)).bytes.toString(), word);
  const out = await fixture.flow(({ direction }) => direction === "outbound");
  assert.deepEqual(out.destination, {
    workload: "team-a/server",
    service: "server.team-a.svc.cluster.local",
    ...to,
  });
  assert.equal(fixture.sockets.dialled.filter(({ port }) => port === 15008).length, 1);
  const unserved = await converse(fixture.dial("team-a/client", { ...to, port: 81 }), "x");
  assert.equal(unserved.bytes.length, 0);
  const refused = await fixture.flow(({ verdict }) => verdict === "deny");
  assert.deepEqual([refused.layer, refused.reason], ["client-route", "no-healthy-upstream"]);
});

test("pods without ambient mode are dialled in clear, from the pod's own network; so is what is nobody's", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  assert.equal(
    (await converse(fixture.dial("team-a/client", { ip: plain, port: 9000 }), "x")).bytes.toString(),
    "x",
  );
  assert.deepEqual(fixture.callers, [client]);
  await converse(fixture.dial("team-a/client", { ip: "127.222.8.8", port: 9000 }), "x");
  const outside = await fixture.flow(({ reason }) => reason === "ECONNREFUSED");
  assert.deepEqual([outside.verdict, outside.layer, outside.upstream], ["error", "upstream", undefined]);
  for (const ip of ["127.0.0.1", client]) {
    fixture.flows.length = 0;
    assert.equal((await converse(fixture.dial("team-a/client", { ip, port: 15001 }), "x")).bytes.length, 0);
    assert.equal((await fixture.flow(() => true)).reason, "not-captured");
  }
});

test("the far end's policy refuses the tunnel: the caller is cut off, and both records say who", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH + ONLY_OTHER, { net });
  assert.equal(
    (await converse(fixture.dial("team-a/client", { ip: server, port: 9000 }), "x")).bytes.length,
    0,
  );
  const into = await fixture.flow(({ direction }) => direction === "inbound");
  assert.deepEqual([into.verdict, into.layer, into.reason], ["deny", "authorization", "no-allow-matched"]);
  const out = await fixture.flow(({ direction }) => direction === "outbound");
  assert.deepEqual([out.verdict, out.layer, out.reason], ["error", "upstream", "BW_TUNNEL_REFUSED"]);
  assert.deepEqual(fixture.callers, []);
  assert.equal(
    (await converse(fixture.dial("team-a/other", { ip: server, port: 9000 }), "x")).bytes.toString(),
    "x",
  );
});

test("a tunnel leads to an address of the pod's own, and to no port of ztunnel's", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const svid = (await fixture.source(fixture.pod("team-a/client").spiffeId)).current;
  assert.ok(svid !== undefined);
  const hbone = await HboneClient.connect(context, svid, { host: server, from: client });
  const refusals: readonly (readonly [authority: string, status: number, reason: string])[] = [
    ["127.0.0.1:9000", 400, "wrong-destination"],
    [`${other}:9000`, 400, "wrong-destination"],
    [`${client}:9000`, 400, "wrong-destination"],
    ["0.0.0.0:9000", 400, "wrong-destination"],
    ["[::1]:9000", 400, "wrong-destination"],
    [`${server}:15001`, 503, "no-listener"],
    [`${server}:15006`, 503, "no-listener"],
    [`${server}:15008`, 503, "no-listener"],
    [`${server}:15053`, 503, "no-listener"],
    ["server.team-a.svc.cluster.local:80", 400, "authority-malformed"],
    [`${server}`, 400, "authority-malformed"],
    [`${server}:0`, 400, "authority-malformed"],
    [`${server}:65536`, 400, "authority-malformed"],
  ];
  for (const [authority, status, reason] of refusals) {
    fixture.flows.length = 0;
    assert.equal((await hbone.ask(authority)).status, status, authority);
    const flow = await fixture.flow(() => true);
    assert.deepEqual(
      [flow.verdict, flow.reason, flow.source?.principal],
      ["deny", reason, CLIENT],
      authority,
    );
  }
  assert.deepEqual(fixture.callers, []);
  const { status, stream } = await hbone.ask(`${server}:9000`);
  assert.equal(status, 200);
  assert.equal((await converse(stream as never, "hello")).bytes.toString(), "hello");
});

test("without a CONNECT, with a protocol of its own, or with a dead application nothing is relayed, and the status says so", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, {
    net,
    hasApplication: (workload) => workload !== "team-a/server",
  });
  const svid = (await fixture.source(fixture.pod("team-a/client").spiffeId)).current;
  assert.ok(svid !== undefined);
  const hbone = await HboneClient.connect(context, svid, { host: server, from: client });
  const get = await hbone.request({
    ":method": "GET",
    ":path": "/",
    ":authority": `${server}:9000`,
    ":scheme": "https",
  });
  assert.equal(get.status, constants.HTTP_STATUS_BAD_REQUEST);
  assert.equal((await fixture.flow(() => true)).reason, "not-connect");
  fixture.flows.length = 0;
  assert.equal((await hbone.ask(`${server}:9000`)).status, constants.HTTP_STATUS_SERVICE_UNAVAILABLE);
  const flow = await fixture.flow(() => true);
  assert.deepEqual([flow.verdict, flow.layer, flow.reason], ["error", "upstream", "ECONNREFUSED"]);
});

test("whoever shows no certificate, or one that is not the mesh's, gets no tunnel", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  for (const attempt of [
    HboneClient.without(server, client),
    HboneClient.foreign(server, client, "spiffe://cluster.local/ns/team-a/sa/client"),
  ]) {
    fixture.flows.length = 0;
    await assert.rejects(attempt);
    const flow = await fixture.flow(() => true);
    assert.deepEqual([flow.kind, flow.verdict, flow.direction], ["handshake", "deny", "inbound"]);
  }
  assert.deepEqual(fixture.callers, []);
});

test("an open tunnel is cut when policy forbids it, when its client is revoked, and when its pod goes", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const open = async () => {
    const socket = fixture.dial("team-a/client", { ip: server, port: 9000 });
    let heard = 0;
    socket.on("data", (chunk: Buffer) => (heard += chunk.length)).on("error", () => {});
    socket.write("a");
    await eventually(() => heard === 1, "the tunnel to be through");
    return socket;
  };
  const first = await open();
  await fixture.apply(MESH + ONLY_OTHER);
  await eventually(() => isOver(first), "the forbidden tunnel to be cut");
  const flow = await fixture.flow(({ direction, verdict }) => direction === "inbound" && verdict === "deny");
  assert.deepEqual([flow.reason, flow.source?.principal], ["no-allow-matched", CLIENT]);
  await fixture.apply(MESH);
  const second = await open();
  const svid = fixture.sources.get(fixture.pod("team-a/client").spiffeId)?.current;
  const cut = fixture.ztunnels.get("node-a")?.takeRevocations({
    revoked: [],
    identities: [{ spiffeId: svid?.identity ?? "", beforeMs: Date.now() + 1000 }],
    maxAgeMs: 0,
  });
  assert.ok((cut ?? 0) > 0, "nothing was cut");
  await eventually(() => isOver(second), "the revoked client's tunnel to be cut");
  const revoked = await fixture.flow(({ kind }) => kind === "revocation");
  assert.equal(revoked.reporter, "ztunnel node-a");
  assert.ok(["team-a/client", "team-a/server"].includes(revoked.destination?.workload ?? ""));
});

test("pods that go take their listeners, connections and keys along; the others of the node do not notice", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const toServer = fixture.dial("team-a/client", { ip: server, port: 9000 });
  const toOther = fixture.dial("team-a/client", { ip: other, port: 9000 });
  const heard = { server: 0, other: 0 };
  toServer.on("data", (chunk: Buffer) => (heard.server += chunk.length)).on("error", () => {});
  toOther.on("data", (chunk: Buffer) => (heard.other += chunk.length));
  toServer.write("a");
  toOther.write("a");
  await eventually(() => heard.server === 1 && heard.other === 1, "both to be through");
  await fixture.apply(
    MESH,
    fixture.ambientPods.filter(({ workload }) => workload !== "team-a/server"),
  );
  await eventually(() => isOver(toServer), "the connection to end");
  assert.equal(fixture.ztunnels.get("node-a")?.stats().pods, 2);
  const gone = await converse(fixture.dialInClear("127.222.5.1", { ip: server, port: 9000 }), "x");
  assert.equal(gone.error, "ECONNREFUSED");
  toOther.write("b");
  await eventually(() => heard.other === 2, "the other to go on");
  toOther.destroy();
});

test("without a certificate tunnels are refused at both ends, and nothing goes in clear instead", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const source = fixture.sources.get(fixture.pod("team-a/client").spiffeId);
  const serial = source?.current?.serial ?? "";
  source?.stop();
  source?.discard(serial);
  assert.equal(
    (await converse(fixture.dial("team-a/client", { ip: server, port: 9000 }), "x")).bytes.length,
    0,
  );
  const out = await fixture.flow(({ direction }) => direction === "outbound");
  assert.deepEqual([out.verdict, out.reason], ["error", "BW_UPSTREAM_NO_CERTIFICATE"]);
  assert.deepEqual(fixture.sockets.dialled, []);
  assert.equal(
    (await converse(fixture.dial("team-a/other", { ip: client, port: 9000 }), "x")).bytes.length,
    0,
  );
  const into = await fixture.flow(({ kind }) => kind === "handshake");
  assert.equal(into.reason, "no-certificate");
  assert.deepEqual(fixture.callers, []);
});
