/** What gateways decide about connections that they forward as bytes, whole: https://istio.io/latest/docs/reference/config/networking/gateway/ */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type {
  ClusterPlan,
  GatewayPolicy,
  OutboundDecision,
  OutboundTarget,
} from "../../../src/policy/outbound/types.ts";
import { answer, FRONT, gateway, gatewayOf, virtualService } from "./gateway-fixture.ts";

const NO_OPS = { remove: [], set: [], add: [] };

const TCP_TO = (host: string): string =>
  `route: [{destination: {host: ${host}.foo.svc.cluster.local, port: {number: 9000}}}]`;

describe("opaque TCP", () => {
  const raw = gateway("[{port: {number: 9000, name: raw, protocol: TCP}, hosts: [foo/a.com, edge/b.com]}]");
  const tcp = (spec: string, namespace = "foo"): OutboundDecision =>
    gatewayOf(raw + virtualService("raw", spec, namespace)).routeTcp({ port: 9000 });

  test("goes by the first tcp route that concerns port and gateway; nothing else of a condition counts", () => {
    const by = (route: number): unknown => ({ resource: "VirtualService foo/raw", section: "tcp", route });
    const routes = `[{match: [{port: 1}], ${TCP_TO("other")}}, {match: [{gateways: [mesh]}], ${TCP_TO("other")}}, {match: [{port: 1}, {port: 9000, gateways: [edge/front], sourceLabels: {app: x}, sourceNamespace: x, destinationSubnets: [10.0.0.0/8]}], ${TCP_TO("web")}}]`;
    const decision = tcp(`{hosts: [a.com], gateways: [edge/front], tcp: ${routes}}`);
    assert.deepEqual(
      [decision.by, decision.kind, decision.code, decision.listener],
      [by(2), "forward", 0, "0.0.0.0_9000"],
    );
    assert.equal(answer(decision), "outbound|9000||web.foo.svc.cluster.local");
    assert.deepEqual(
      tcp(`{hosts: [a.com], gateways: [edge/front], tcp: [{match: [], ${TCP_TO("web")}}]}`).by,
      by(0),
    );
    assert.deepEqual(tcp(`{hosts: [a.com], gateways: [edge/front], tcp: [{${TCP_TO("web")}}]}`).by, by(0));
    assert.deepEqual(
      tcp(`{hosts: [a.com], gateways: [edge/front], tcp: [{route: []}, {}, {${TCP_TO("web")}}]}`).by,
      by(2),
    );
  });

  test("a VirtualService takes part only if it shares a host that its namespace may use", () => {
    const routed = (hosts: string, namespace = "foo", gateways = "edge/front"): string | undefined =>
      answer(tcp(`{hosts: [${hosts}], gateways: [${gateways}], tcp: [{${TCP_TO("web")}}]}`, namespace));
    assert.equal(routed("a.com"), "outbound|9000||web.foo.svc.cluster.local");
    assert.equal(routed("'*.com'"), "outbound|9000||web.foo.svc.cluster.local");
    assert.equal(routed("x.com, a.com"), "outbound|9000||web.foo.svc.cluster.local");
    assert.equal(routed("b.com"), "no-virtual-service");
    assert.equal(routed("b.com", "edge"), "outbound|9000||web.foo.svc.cluster.local");
    assert.equal(routed("a.com", "foo", "mesh"), "no-virtual-service");
    assert.equal(
      answer(tcp(`{hosts: [a.com], gateways: [edge/front], tcp: [{match: [{port: 1}], ${TCP_TO("web")}}]}`)),
      "no-virtual-service",
    );
  });
});

describe("PASSTHROUGH", () => {
  const server = "{port: {number: 443, name: p, protocol: TLS}, hosts: ['*.com'], tls: {mode: PASSTHROUGH}}";
  const tls = (routes: string, more = "", hosts = "'*.com'"): GatewayPolicy =>
    gatewayOf(
      gateway(`[${server}]`) +
        virtualService("p", `{hosts: [${hosts}], gateways: [edge/front], tls: ${routes}}`) +
        more,
    );
  const names = (policy: GatewayPolicy, ...snis: (string | undefined)[]): unknown =>
    snis.map((sni) => answer(policy.routeTls({ port: 8443, ...(sni === undefined ? {} : { sni }) })));
  const WEB = "outbound|9000||web.foo.svc.cluster.local";
  const OTHER = "outbound|9000||other.foo.svc.cluster.local";

  test("a route has the names of its conditions, in any case; a name once given is not given again", () => {
    const second = virtualService(
      "q",
      `{hosts: [a.com], gateways: [edge/front], tls: [{match: [{sniHosts: [a.com]}, {sniHosts: [c.com, b.com]}, {sniHosts: [d.com]}], ${TCP_TO("other")}}]}`,
    );
    const policy = tls(`[{match: [{sniHosts: [A.com, B.com]}], ${TCP_TO("web")}}]`, second);
    assert.deepEqual(names(policy, "a.com", "B.COM", "c.com", "d.com", undefined), [
      WEB,
      WEB,
      "no-server",
      OTHER,
      "no-server",
    ]);
    const decision = policy.routeTls({ port: 8443, sni: "d.com" });
    assert.deepEqual(decision.by, { resource: "VirtualService foo/q", section: "tls", route: 0 });
    assert.deepEqual([decision.code, decision.listener], [0, "0.0.0.0_8443"]);
    assert.equal(policy.selectServer(8443, "a.com")?.gateway, FRONT);
  });

  test("conditions are for their port and gateway; a route without destinations, or without conditions, is none", () => {
    const policy = tls(
      `[{match: [{port: 1, sniHosts: [a.com]}, {gateways: [mesh], sniHosts: [b.com]}, {port: 443, gateways: [edge/front], sniHosts: [c.com]}], ${TCP_TO("web")}}, {match: [{sniHosts: [d.com]}], route: []}, {match: [{sniHosts: [d.com]}]}, {${TCP_TO("other")}}]`,
    );
    assert.deepEqual(names(policy, "a.com", "b.com", "c.com", "d.com"), [
      "no-server",
      "no-server",
      WEB,
      "no-server",
    ]);
  });

  test("a condition without names is for all of them, and for connections without one", () => {
    const policy = tls(
      `[{match: [{sniHosts: [a.com]}], ${TCP_TO("web")}}, {match: [{port: 443}], ${TCP_TO("other")}}]`,
    );
    assert.deepEqual(names(policy, "a.com", "b.com", undefined), [WEB, OTHER, OTHER]);
  });

  test("is not AUTO_PASSTHROUGH: a cluster's name is a name like any other", () => {
    const open = gateway(`[${server.replace("'*.com'", "'*'")}]`);
    const sni = "outbound_.80_._.web.foo.svc.cluster.local";
    assert.equal(answer(gatewayOf(open).routeTls({ port: 8443, sni })), "no-server");
  });

  test("a VirtualService that shares no host with the server has no route there", () => {
    const routes = `[{match: [{sniHosts: [a.com]}], ${TCP_TO("web")}}]`;
    assert.deepEqual(names(tls(routes, "", "a.org"), "a.com"), ["no-server"]);
    assert.deepEqual(names(tls(routes, "", "a.com"), "a.com"), [WEB]);
  });

  test("bytes that go to names that are resolved take them from the SNI", () => {
    const wild = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: foo}
spec: {hosts: ["*.wild.com"], resolution: DYNAMIC_DNS, location: MESH_EXTERNAL, ports: [{number: 443, name: tls, protocol: TLS}]}
---
`;
    const route = "route: [{destination: {host: '*.wild.com', port: {number: 443}}}]";
    const decision = tls(`[{match: [{sniHosts: ['*.wild.com']}], ${route}}]`, wild).routeTls({
      port: 8443,
      sni: "a.wild.com",
    });
    assert.equal(decision.kind === "forward" ? decision.dynamicHost : answer(decision), "a.wild.com");
  });
});

describe("AUTO_PASSTHROUGH", () => {
  const external = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: foo}
spec: {hosts: [out.foo.svc.cluster.local], resolution: STATIC, location: MESH_EXTERNAL, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 203.0.113.1}]}
---
`;
  const bare = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: bare, namespace: foo}
spec:
  template:
    metadata: {labels: {app: web, version: bare}, annotations: {sidecar.istio.io/inject: "false"}}
    spec: {serviceAccountName: web, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: foo}
spec:
  host: web
  subsets: [{name: v1, labels: {app: web}}, {name: bare, labels: {version: bare}}]
---
`;
  const auto =
    "{port: {number: 15443, name: auto, protocol: TLS}, hosts: ['*.foo.svc.cluster.local'], tls: {mode: AUTO_PASSTHROUGH}}";
  const pass = "{port: {number: 15443, name: pass, protocol: TLS}, hosts: [a.com], tls: {mode: PASSTHROUGH}}";
  const policy = gatewayOf(
    external +
      bare +
      gateway(`[${pass}, ${auto}]`) +
      virtualService(
        "p",
        `{hosts: [a.com], gateways: [edge/front], tls: [{match: [{sniHosts: [a.com]}], ${TCP_TO("other")}}]}`,
      ),
  );
  const route = (sni?: string): OutboundDecision =>
    policy.routeTls({ port: 15443, ...(sni === undefined ? {} : { sni }) });
  const clusterOf = (decision: OutboundDecision): ClusterPlan | undefined =>
    decision.kind === "forward" ? decision.targets[0]?.cluster : undefined;

  test("leads to the named cluster, in the client's own TLS, to endpoints that take mutual TLS only", () => {
    const sni = "outbound_.80_._.web.foo.svc.cluster.local";
    const decision = route(sni);
    const cluster = clusterOf(decision);
    const [target, ...others]: readonly (OutboundTarget | undefined)[] =
      decision.kind === "forward" ? decision.targets : [];
    assert.deepEqual(others, []);
    assert.deepEqual(target, {
      name: sni,
      cluster,
      weight: 1,
      requestHeaders: NO_OPS,
      responseHeaders: NO_OPS,
    });
    assert.equal(cluster?.tlsSettings, undefined);
    assert.deepEqual(
      [cluster?.name, cluster?.tls, cluster?.host, cluster?.port],
      [sni, "plaintext", "web.foo.svc.cluster.local", 80],
    );
    assert.deepEqual(
      cluster?.endpoints.map(({ endpoint, tls, port }) => [endpoint.workload?.key, tls, port]),
      [["foo/web", "plaintext", 8080]],
    );
    assert.deepEqual(
      { ...decision, targets: [] },
      {
        kind: "forward",
        allowed: true,
        code: 0,
        reason: "ok",
        by: { resource: FRONT, section: "default", route: null },
        listener: "0.0.0.0_15443",
        targets: [],
        weighted: false,
      },
    );
    assert.deepEqual(clusterOf(route(sni.toUpperCase())), cluster, "case does not count");
  });

  const SNIS: readonly [sni: string | undefined, answer: string][] = [
    ["outbound_.80_.v1_.web.foo.svc.cluster.local", "outbound_.80_.v1_.web.foo.svc.cluster.local"],
    ["outbound_.80_.bare_.web.foo.svc.cluster.local", "no-healthy-upstream"],
    ["outbound_.80_.v2_.web.foo.svc.cluster.local", "no-server"],
    ["outbound_.81_._.web.foo.svc.cluster.local", "no-server"],
    ["outbound_.80_._.gw.edge.svc.cluster.local", "no-server"],
    ["outbound_.80_._.out.foo.svc.cluster.local", "no-server"],
    ["outbound_.80_._.absent.foo.svc.cluster.local", "no-server"],
    ["xoutbound_.80_._.web.foo.svc.cluster.local", "no-server"],
    ["outbound_.x_._.web.foo.svc.cluster.local", "no-server"],
    ["outbound_._._.web.foo.svc.cluster.local", "no-server"],
    ["outbound_.80_._.", "no-server"],
    ["web.foo.svc.cluster.local", "no-server"],
    ["a.com", "outbound|9000||other.foo.svc.cluster.local"],
    ["", "no-server"],
    [undefined, "no-server"],
  ];
  for (const [sni, expected] of SNIS)
    test(`the server name ${sni} gets ${expected}`, () => {
      assert.equal(answer(route(sni)), expected);
      assert.equal(policy.selectServer(15443, sni) !== undefined, expected !== "no-server");
    });

  test("is told by its own server, and of two the one whose hosts the name is within", () => {
    const two = gatewayOf(gateway(`[${auto.replace("*.foo", "*.bar")}, ${auto}]`));
    assert.equal(two.selectServer(15443, "outbound_.80_._.web.foo.svc.cluster.local")?.index, 1);
    assert.equal(two.selectServer(15443, "outbound_.80_._.web.bar.svc.cluster.local"), undefined);
  });
});
