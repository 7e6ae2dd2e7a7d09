import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Mesh } from "../../../src/model/mesh.ts";
import { compileOutbound } from "../../../src/policy/outbound/compile-outbound.ts";
import { explainOutbound } from "../../../src/policy/outbound/explain-outbound.ts";
import type {
  ForwardDecision,
  OutboundDecision,
  OutboundHttpRequest,
} from "../../../src/policy/outbound/types.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const BASE = app("foo", "web") + app("foo", "client") + app("bar", "client");

function request(more: Partial<OutboundHttpRequest> = {}): OutboundHttpRequest {
  return { host: "web.foo", port: 80, authority: "web.foo", method: "GET", path: "/", headers: [], ...more };
}

function send(mesh: Mesh, client: string, more: Partial<OutboundHttpRequest> = {}): OutboundDecision {
  return compileOutbound(mesh, workloadOf(mesh, client)).routeHttp(request(more));
}

function forwarded(decision: OutboundDecision): ForwardDecision {
  assert.equal(decision.kind, "forward", JSON.stringify(decision));
  return decision as ForwardDecision;
}

describe("services whose resources carry no addresses", () => {
  const mesh = meshOf(BASE);

  test("HTTP is routed by Host, to the service's workloads on its target port", () => {
    const { targets, reason } = forwarded(send(mesh, "bar/client"));
    assert.equal(reason, "ok");
    assert.equal(targets[0]?.name, "outbound|80||web.foo.svc.cluster.local");
    assert.deepEqual(
      targets[0].cluster?.endpoints.map(({ endpoint, port, tls }) => [endpoint.workload?.key, port, tls]),
      [["foo/web", 8080, "mtls"]],
    );
  });

  test("TCP is routed by the name that was dialled, as by the address behind it", () => {
    const policy = compileOutbound(mesh, workloadOf(mesh, "bar/client"));
    const tcp = forwarded(policy.routeTcp({ host: "web.foo", port: 9000 }));
    assert.equal(tcp.targets[0]?.name, "outbound|9000||web.foo.svc.cluster.local");
    assert.equal(policy.listenerProtocol({ host: "web.foo", port: 9000 }), "tcp");
    assert.equal(policy.listenerProtocol({ host: "web.foo", port: 80 }), "auto");
    assert.equal(
      policy.routeTcp({ host: "web", port: 9000 }).reason,
      "passthrough",
      "short names are of one's own namespace",
    );
  });

  test("what passes says which service was dialled", () => {
    const hidden = meshOf(`${BASE}
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow, namespace: bar}
spec: {egress: [{hosts: ["./*"]}]}
`);
    const decision = forwarded(send(hidden, "bar/client"));
    assert.equal(decision.reason, "passthrough");
    assert.equal(decision.dialled?.hostname, "web.foo.svc.cluster.local");
    assert.deepEqual(decision.targets, []);
  });
});

describe("shared compilation", () => {
  test("workloads alike get the same policy, and those whom rules tell apart do not", () => {
    const plain = meshOf(BASE + app("bar", "other"));
    const policyOf = (mesh: Mesh, key: string): unknown => compileOutbound(mesh, workloadOf(mesh, key));
    assert.equal(policyOf(plain, "bar/client"), policyOf(plain, "bar/other"));
    assert.notEqual(policyOf(plain, "bar/client"), policyOf(plain, "foo/client"));
    const telling = meshOf(`${BASE}${app("bar", "other")}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: foo}
spec:
  hosts: [web]
  http: [{match: [{sourceLabels: {app: other}}], directResponse: {status: 418}}]
`);
    assert.notEqual(policyOf(telling, "bar/client"), policyOf(telling, "bar/other"));
    assert.equal(send(telling, "bar/other").code, 418);
    assert.equal(
      send(telling, "bar/client").reason,
      "ok",
      "a VirtualService without a route for a client is absent",
    );
  });
});

describe("faults", () => {
  const faulty = (percent: number): Mesh =>
    meshOf(`${BASE}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: foo}
spec:
  hosts: [web]
  http: [{fault: {abort: {httpStatus: 503, percentage: {value: ${percent}}}}, route: [{destination: {host: web}}]}]
`);

  test("one of 30 % happens for 30 % of the rolls, and never without a roll", () => {
    const mesh = faulty(30);
    assert.equal(send(mesh, "bar/client", { roll: 0.29 }).reason, "fault");
    assert.equal(send(mesh, "bar/client", { roll: 0.31 }).reason, "ok");
    const unknown = forwarded(send(mesh, "bar/client"));
    assert.equal(unknown.http?.fault?.abortPercent, 30, "the plan says what may happen");
  });

  test("one of 100 % happens always, one of 0 % never", () => {
    assert.equal(send(faulty(100), "bar/client").reason, "fault");
    assert.equal(send(faulty(0), "bar/client", { roll: 0 }).reason, "ok");
  });
});

describe("requests as they are sent on", () => {
  test("the path is normalized before it is matched, and the normalized one is sent", () => {
    const mesh = meshOf(`${BASE}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: foo}
spec:
  hosts: [web]
  http:
    - {match: [{uri: {prefix: /admin}}], directResponse: {status: 403}}
    - {route: [{destination: {host: web}}], rewrite: {authority: inner.example}}
`);
    assert.equal(send(mesh, "bar/client", { path: "/x/../admin" }).code, 403);
    const decision = forwarded(send(mesh, "bar/client", { path: "/a/./b?q=/../" }));
    assert.equal(decision.path, "/a/b?q=/../");
    assert.equal(decision.authority, "inner.example");
    assert.equal(decision.originalAuthority, "web.foo");
  });

  test("TLS of a rule without names takes both from the Host that is sent, and no SNI for an address", () => {
    const mesh = meshOf(`${BASE}
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: foo}
spec: {host: web, trafficPolicy: {tls: {mode: SIMPLE}}}
`);
    const [target] = forwarded(send(mesh, "bar/client", { authority: "web.foo:80" })).targets;
    assert.deepEqual([target?.sni, target?.sans], ["web.foo", ["web.foo"]]);
    assert.equal(target?.cluster?.tls, "simple");
  });
});

describe("explainOutbound()", () => {
  const explain = (mesh: Mesh, client: string, more: Partial<OutboundHttpRequest> = {}): string =>
    explainOutbound(mesh, workloadOf(mesh, client), { protocol: "http", ...request(more) }).join("\n");

  test("names the condition that a route wanted, and the route that took the request", () => {
    const mesh = meshOf(`${BASE}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: foo}
spec:
  hosts: [web]
  http:
    - {match: [{uri: {prefix: /api}, method: {exact: POST}}], route: [{destination: {host: web}}]}
    - {name: rest, match: [{uri: {prefix: /}, headers: {x-a: {exact: b}}}], route: [{destination: {host: web}}]}
`);
    const taken = explain(mesh, "bar/client", { path: "/api", headers: ["x-a", "b"] });
    assert.match(taken, /VirtualService foo\/web http route 0 does not: it wants method = `POST`/);
    assert.match(taken, /VirtualService foo\/web http route 1 \(rest\) takes it/);
    assert.match(taken, /TLS mtls, expecting spiffe:\/\/cluster.local\/ns\/foo\/sa\/web/);
    const missed = explain(mesh, "bar/client");
    assert.match(missed, /route 0 does not: it wants path under `\/api`/);
    assert.match(missed, /route 1 \(rest\) does not: it wants header x-a = `b`/);
    assert.match(missed, /no route takes it/);
  });

  test("says that a host is registered but hidden, by exportTo or by which Sidecar", () => {
    const narrow = meshOf(`${BASE}
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow, namespace: bar}
spec: {egress: [{hosts: ["./*"]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
`);
    const text = explain(narrow, "bar/client");
    assert.match(text, /Service foo\/web .* is exported, but Sidecar bar\/narrow does not import it/);
    assert.match(text, /outboundTrafficPolicy REGISTRY_ONLY \(Sidecar bar\/narrow\)/);
    const hidden = meshOf(
      BASE.replace(
        "{name: web, namespace: foo}",
        '{name: web, namespace: foo, annotations: {networking.istio.io/exportTo: "."}}',
      ),
    );
    assert.match(
      explain(hidden, "bar/client"),
      /Service foo\/web .* is not exported to namespace bar \(exportTo: \.\)/,
    );
  });

  test("says which subset no rule defines, and which delegate is missing", () => {
    const mesh = meshOf(`${BASE}
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: mine, namespace: bar}
spec: {host: web.foo.svc.cluster.local}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: foo}
spec:
  hosts: [web]
  http:
    - {match: [{uri: {prefix: /d}}], delegate: {name: absent}}
    - {match: [{uri: {prefix: /s}}], route: [{destination: {host: web, subset: v9}}]}
`);
    const subset = explain(mesh, "bar/client", { path: "/s" });
    assert.match(subset, /subset `v9` of web\.foo\.svc\.cluster\.local, which DestinationRule bar\/mine/);
    assert.match(
      explain(mesh, "bar/client", { path: "/d" }),
      /route 0 takes no part: its delegate VirtualService foo\/absent does not exist/,
    );
  });
});
