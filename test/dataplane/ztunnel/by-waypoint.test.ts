import assert from "node:assert/strict";
import { test } from "node:test";
import { AmbientFixture, converse, eventually, isOver } from "./ambient-fixture.ts";

const POD = (name: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: m, labels: {app: ${name}}}
spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: [{containerPort: 9000}]}]}
---
`;
const PODS = `
apiVersion: v1
kind: Namespace
metadata: {name: m, labels: {istio.io/dataplane-mode: ambient}}
---
${POD("client")}${POD("server")}
apiVersion: v1
kind: Pod
metadata:
  name: wp
  namespace: m
  labels:
    gateway.networking.k8s.io/gateway-name: wp
    gateway.istio.io/managed: istio.io-mesh-controller
    istio.io/dataplane-mode: none
    sidecar.istio.io/inject: "false"
spec: {serviceAccountName: wp, containers: [{name: istio-proxy, image: auto}]}
---
`;
const GATEWAY = (traffic: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: m, labels: {istio.io/waypoint-for: ${traffic}}}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
`;
const SERVICE = (labels: string): string => `
apiVersion: v1
kind: Service
metadata: {name: s, namespace: m, labels: {${labels}}}
spec: {selector: {app: server}, ports: [{name: tcp, port: 80, targetPort: 9000}]}
---
`;
const PAST = PODS + GATEWAY("service") + SERVICE("");
const BOUND = PODS + GATEWAY("service") + SERVICE("istio.io/use-waypoint: wp");
const HOST = "s.m.svc.cluster.local";
const net = 224;
const server = { ip: "127.224.0.2", port: 9000 };

test("what is dialled by a service's address goes by its waypoint, under the pod's own identity; the pod's ztunnel sees the waypoint's", async (context) => {
  const fixture = await AmbientFixture.start(context, BOUND, { net });
  const to = { ip: fixture.virtualAddress(HOST), port: 80 };
  assert.equal((await converse(fixture.dial("m/client", to), "hello")).bytes.toString(), "hello");
  await eventually(() => fixture.flows.length >= 3, "three records");
  const byReporter = (reporter: string, direction: string) =>
    fixture.flows.find((flow) => flow.reporter === reporter && flow.direction === direction);
  const out = byReporter("ztunnel node-a", "outbound");
  const into = byReporter("ztunnel node-a", "inbound");
  const between = fixture.flows.find(({ reporter }) => reporter === "m/wp");
  assert.equal(out?.upstream?.cluster, `waypoint m/wp of ${HOST}:80`);
  assert.equal(between?.source?.principal, "cluster.local/ns/m/sa/client");
  assert.equal(into?.source?.principal, "cluster.local/ns/m/sa/wp");
  assert.deepEqual([into?.destination?.ip, into?.destination?.port], [server.ip, server.port]);
});

test("a pod is dialled by its own address past the service's waypoint, and by the workload's where there is one", async (context) => {
  const fixture = await AmbientFixture.start(context, BOUND, { net });
  assert.equal((await converse(fixture.dial("m/client", server), "x")).bytes.toString(), "x");
  const direct = await fixture.flow(({ direction }) => direction === "inbound");
  assert.equal(direct.source?.principal, "cluster.local/ns/m/sa/client");
  fixture.flows.length = 0;
  const forAll = BOUND.replace("waypoint-for: service", "waypoint-for: all").replace(
    "labels: {app: server}",
    "labels: {app: server, istio.io/use-waypoint: wp}",
  );
  await fixture.apply(forAll);
  assert.equal((await converse(fixture.dial("m/client", server), "y")).bytes.toString(), "y");
  const into = await fixture.flow(
    ({ direction, reporter }) => direction === "inbound" && reporter === "ztunnel node-a",
  );
  assert.equal(into.source?.principal, "cluster.local/ns/m/sa/wp");
});

test("a connection that passed by no waypoint is cut when one comes to stand there, and one to another service is not", async (context) => {
  const other = SERVICE("").replace("name: s,", "name: t,");
  const fixture = await AmbientFixture.start(context, PAST + other, { net });
  const open = async (host: string) => {
    const socket = fixture.dial("m/client", { ip: fixture.virtualAddress(host), port: 80 });
    let heard = 0;
    socket.on("data", (chunk: Buffer) => (heard += chunk.length)).on("error", () => {});
    socket.write("a");
    await eventually(() => heard === 1, `a connection to ${host}`);
    return { socket, heard: () => heard };
  };
  const [past, kept] = [await open(HOST), await open("t.m.svc.cluster.local")];
  await fixture.apply(BOUND + other);
  await eventually(() => isOver(past.socket), "the connection past the waypoint to be cut");
  const flow = await fixture.flow(({ verdict }) => verdict === "deny");
  assert.deepEqual([flow.layer, flow.reason, flow.direction], ["route", "route-changed", "outbound"]);
  kept.socket.write("b");
  await eventually(() => kept.heard() === 2, "the other to go on");
  kept.socket.destroy();
});

test("where it cannot be told which waypoint takes it, nothing is sent anywhere", async (context) => {
  const labels = "labels: {istio.io/waypoint-for: service}";
  const binding = 'annotations: {ambient.istio.io/waypoint-inbound-binding: "PROXY/15088"}';
  const fixture = await AmbientFixture.start(context, BOUND.replace(labels, `${labels}, ${binding}`), {
    net,
  });
  const to = { ip: fixture.virtualAddress(HOST), port: 80 };
  assert.equal((await converse(fixture.dial("m/client", to), "x")).bytes.length, 0);
  const flow = await fixture.flow(() => true);
  assert.deepEqual([flow.verdict, flow.layer, flow.reason], ["deny", "client-route", "waypoint-unknown"]);
  assert.deepEqual(fixture.sockets.dialled, []);
});

test("a waypoint that shows another identity than its own is sent nothing", async (context) => {
  const impostors = { "m/wp": "spiffe://cluster.local/ns/m/sa/server" };
  const fixture = await AmbientFixture.start(context, BOUND, { net, impostors });
  const to = { ip: fixture.virtualAddress(HOST), port: 80 };
  assert.equal((await converse(fixture.dial("m/client", to), "x")).bytes.length, 0);
  const flow = await fixture.flow(({ direction }) => direction === "outbound");
  assert.deepEqual([flow.verdict, flow.layer, flow.reason], ["error", "upstream", "BW_UPSTREAM_IMPOSTOR"]);
  assert.deepEqual(fixture.callers, []);
});
