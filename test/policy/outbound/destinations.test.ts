import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Mesh } from "../../../src/model/mesh.ts";
import { compileOutbound } from "../../../src/policy/outbound/compile-outbound.ts";
import type { ClusterPlan, OutboundDecision } from "../../../src/policy/outbound/types.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const BASE = app("foo", "web", { version: "v1" }) + app("bar", "client");

function cluster(mesh: Mesh, name: string): ClusterPlan {
  const plan = compileOutbound(mesh, workloadOf(mesh, "bar/client")).clusters().get(name);
  if (plan === undefined) throw new Error(`no cluster ${name}`);
  return plan;
}

function http(mesh: Mesh, port: number, authority: string): OutboundDecision {
  const request = { host: authority, port, authority, method: "GET", path: "/", headers: [] };
  return compileOutbound(mesh, workloadOf(mesh, "bar/client")).routeHttp(request);
}

const rule = (spec: string): Mesh =>
  meshOf(`${BASE}
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: foo}
spec: ${spec}
`);

describe("settings of a DestinationRule", () => {
  const WEB = "outbound|80||web.foo.svc.cluster.local";
  const V1 = "outbound|80|v1|web.foo.svc.cluster.local";
  const TCP = "outbound|9000|v1|web.foo.svc.cluster.local";

  test("a subset's port settings hide the rule's TLS on that port, and only there", () => {
    const mesh = rule(`
  host: web
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: own.example}}
  subsets:
    - name: v1
      labels: {version: v1}
      trafficPolicy: {portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}`);
    assert.equal(cluster(mesh, WEB).tlsSettings?.sni, "own.example");
    assert.equal(cluster(mesh, TCP).tlsSettings?.sni, "own.example");
    assert.equal(cluster(mesh, V1).tlsSettings?.sni, "outbound_.80_.v1_.web.foo.svc.cluster.local");
  });

  test("names that are given are what is checked, and nothing by the Host beside them", () => {
    const settings = (tls: string): ClusterPlan["tlsSettings"] =>
      cluster(rule(`{host: web, trafficPolicy: {tls: ${tls}}}`), WEB).tlsSettings;
    const named = settings("{mode: SIMPLE, subjectAltNames: [own.example]}");
    assert.deepEqual(
      [named?.sniFromAuthority, named?.sansFromAuthority, named?.sans],
      [true, false, ["own.example"]],
    );
    const open = settings("{mode: SIMPLE}");
    assert.deepEqual([open?.sniFromAuthority, open?.sansFromAuthority, open?.sans], [true, true, undefined]);
    const insecure = settings("{mode: SIMPLE, insecureSkipVerify: true}");
    assert.deepEqual([insecure?.sansFromAuthority, insecure?.insecureSkipVerify], [false, true]);
  });
});

describe("names that several resources claim", () => {
  const SQUATTER = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: squatter, namespace: NAMESPACE}
spec:
  hosts: [web.foo.svc.cluster.local]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 203.0.113.66}]
---
`;
  const mutual = (decision: OutboundDecision): boolean =>
    decision.kind === "forward" && decision.targets.every((target) => target.cluster?.tls === "mtls");

  test("a ServiceEntry cannot take a Kubernetes service's name from clients elsewhere, even one that is older", () => {
    for (const namespace of ["foo", "baz"]) {
      const mesh = meshOf(SQUATTER.replace("NAMESPACE", namespace) + BASE);
      const decision = http(mesh, 80, "web.foo.svc.cluster.local");
      if (namespace === "baz") assert.ok(mutual(decision), `${namespace}: ${JSON.stringify(decision)}`);
      const target = decision.kind === "forward" ? decision.targets[0] : undefined;
      assert.equal(target?.cluster?.service.origin, "kubernetes", namespace);
    }
  });

  test("within its own namespace it does: what Istio lets it do there", () => {
    const decision = http(
      meshOf(BASE + SQUATTER.replace("NAMESPACE", "bar")),
      80,
      "web.foo.svc.cluster.local",
    );
    const target = decision.kind === "forward" ? decision.targets[0] : undefined;
    assert.equal(target?.cluster?.service.origin, "service-entry");
    assert.equal(target.cluster.tls, "plaintext");
  });
});

test("a port that a Sidecar declares serves what is listed for it, and the catch-all listener adds nothing there", () => {
  const mesh = meshOf(`${BASE}${app("foo", "other")}
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow, namespace: bar}
spec:
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  egress:
    - {port: {number: 9000, protocol: TCP, name: raw}, hosts: [foo/web.foo.svc.cluster.local]}
    - {hosts: ["foo/*"]}
`);
  const policy = compileOutbound(mesh, workloadOf(mesh, "bar/client"));
  assert.equal(policy.routeTcp({ host: "web.foo", port: 9000 }).reason, "ok");
  assert.equal(http(mesh, 80, "other.foo").reason, "ok", "other ports are as ever");
  const listed = meshOf(`${BASE}${app("foo", "other")}
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow, namespace: bar}
spec:
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  egress:
    - {port: {number: 80, protocol: HTTP, name: http}, hosts: [foo/web.foo.svc.cluster.local]}
    - {hosts: ["foo/*"]}
`);
  assert.equal(http(listed, 80, "web.foo").reason, "ok");
  assert.equal(http(listed, 80, "other.foo").reason, "blackhole");
});

test("a listener that a Sidecar declares on the wildcard is not joined by services without an address", () => {
  const external = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME, namespace: foo}
spec:
  hosts: [NAME.example]
  resolution: DNS
  ports: [{number: 7443, name: tls, protocol: TLS}]
---
`;
  const sidecar = (hosts: string): string => `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow, namespace: bar}
spec:
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  egress: ${hosts}
`;
  const services = BASE + external.replaceAll("NAME", "listed") + external.replaceAll("NAME", "unlisted");
  const reach = (mesh: Mesh, host: string): string =>
    compileOutbound(mesh, workloadOf(mesh, "bar/client")).routeTls({ host, port: 7443, sni: host }).reason;
  const locked = meshOf(
    services +
      sidecar(
        "[{port: {number: 7443, protocol: TLS, name: tls}, hosts: [foo/listed.example]}, {hosts: ['foo/*']}]",
      ),
  );
  assert.equal(reach(locked, "listed.example"), "ok");
  assert.equal(reach(locked, "unlisted.example"), "blackhole");
  assert.equal(reach(meshOf(services + sidecar("[{hosts: ['foo/*']}]")), "unlisted.example"), "ok");
});
