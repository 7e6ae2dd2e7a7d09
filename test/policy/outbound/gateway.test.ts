import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compileGateway } from "../../../src/policy/outbound/compile-gateway.ts";
import type { GatewayPolicy, OutboundDecision } from "../../../src/policy/outbound/types.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const GATEWAY = `${app("foo", "web")}${app("foo", "other")}
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: edge}
spec: {selector: {app: gw}, ports: [{name: http, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: edge}
spec:
  template:
    metadata: {labels: {app: gw}, annotations: {inject.istio.io/templates: gateway}}
    spec: {serviceAccountName: gw, containers: [{name: istio-proxy, image: auto}]}
---
`;

function compile(yaml: string): GatewayPolicy {
  const mesh = meshOf(GATEWAY + yaml);
  return compileGateway(mesh, workloadOf(mesh, "edge/gw"));
}

function targetOf(decision: OutboundDecision): string | undefined {
  return decision.kind === "forward" ? decision.targets[0]?.name : decision.reason;
}

const get = (
  policy: GatewayPolicy,
  port: number,
  authority: string,
  path = "/",
  sni?: string,
): OutboundDecision =>
  policy.routeHttp({
    port,
    authority,
    method: "GET",
    path,
    headers: [],
    ...(sni === undefined ? {} : { sni }),
  });

describe("HTTP servers", () => {
  const policy = compile(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: edge}
spec:
  selector: {app: gw}
  servers:
    - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["foo/*.example.com", "./only.example.org"]}
    - {port: {number: 80, name: redirect, protocol: HTTP}, hosts: [secure.example.net], tls: {httpsRedirect: true}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: foo}
spec:
  hosts: [web.example.com, only.example.org]
  gateways: [edge/front]
  http:
    - {match: [{gateways: [mesh]}], route: [{destination: {host: other}}]}
    - {route: [{destination: {host: web, port: {number: 80}}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: thief, namespace: bar}
spec:
  hosts: [web.example.com]
  gateways: [edge/front]
  http: [{match: [{uri: {prefix: /stolen}}], directResponse: {status: 200}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: unbound, namespace: foo}
spec:
  hosts: [web.example.com]
  http: [{match: [{uri: {prefix: /mesh}}], directResponse: {status: 200}}]
`);

  test("a VirtualService serves the hosts that both it and the server are for", () => {
    assert.equal(targetOf(get(policy, 8080, "web.example.com")), "outbound|80||web.foo.svc.cluster.local");
    assert.equal(targetOf(get(policy, 8080, "WEB.example.com:80")), "outbound|80||web.foo.svc.cluster.local");
    assert.equal(targetOf(get(policy, 8080, "other.example.com")), "no-route");
  });

  test("one of another namespace than a host is for takes no part", () => {
    assert.equal(
      targetOf(get(policy, 8080, "web.example.com", "/stolen")),
      "outbound|80||web.foo.svc.cluster.local",
    );
    assert.equal(targetOf(get(policy, 8080, "only.example.org")), "no-route");
  });

  test("one that is bound to the mesh only takes no part", () => {
    assert.equal(
      targetOf(get(policy, 8080, "web.example.com", "/mesh")),
      "outbound|80||web.foo.svc.cluster.local",
    );
  });

  test("the path is the one that was judged: it is not made normal once more", () => {
    const decision = get(policy, 8080, "web.example.com", "/.;admin");
    assert.equal(targetOf(decision), "outbound|80||web.foo.svc.cluster.local");
    assert.equal(decision.kind === "forward" ? decision.path : "", undefined);
  });

  test("httpsRedirect answers every path of its hosts", () => {
    const decision = get(policy, 8080, "secure.example.net", "/x?y");
    assert.equal(decision.kind === "respond" ? decision.location : "", "https://secure.example.net/x?y");
    assert.equal(decision.code, 301);
  });

  test("a port without server refuses", () => {
    assert.equal(get(policy, 9999, "web.example.com").kind, "refuse");
  });
});

describe("TLS servers", () => {
  const policy = compile(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: edge}
spec:
  selector: {app: gw}
  servers:
    - port: {number: 443, name: a, protocol: HTTPS}
      hosts: [a.example.com]
      tls: {mode: SIMPLE, credentialName: a-cert}
    - port: {number: 443, name: b, protocol: HTTPS}
      hosts: [b.example.com]
      tls: {mode: MUTUAL, credentialName: b-cert}
    - port: {number: 443, name: pass, protocol: TLS}
      hosts: ["*.pass.example.com"]
      tls: {mode: PASSTHROUGH}
    - port: {number: 443, name: again, protocol: HTTPS}
      hosts: [a.example.com]
      tls: {mode: SIMPLE, credentialName: evil-cert}
    - port: {number: 15443, name: auto, protocol: TLS}
      hosts: ["*.foo.svc.cluster.local"]
      tls: {mode: AUTO_PASSTHROUGH}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: foo}
spec:
  hosts: [a.example.com, b.example.com]
  gateways: [edge/front]
  http: [{route: [{destination: {host: web, port: {number: 80}}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pass, namespace: foo}
spec:
  hosts: ["*.pass.example.com"]
  gateways: [edge/front]
  tls: [{match: [{port: 443, sniHosts: [x.pass.example.com]}], route: [{destination: {host: other, port: {number: 9000}}}]}]
`);

  test("the SNI selects the server, and with it certificate and mode; the first to claim a host keeps it", () => {
    assert.deepEqual(policy.selectServer(8443, "a.example.com")?.tls?.credentials[0]?.name, "a-cert");
    assert.equal(policy.selectServer(8443, "b.example.com")?.tls?.mode, "MUTUAL");
    assert.equal(policy.selectServer(8443, "c.example.com"), undefined);
  });

  test("a Host of another server than the SNI selected is not found: domain fronting", () => {
    assert.equal(
      targetOf(get(policy, 8443, "a.example.com", "/", "a.example.com")),
      "outbound|80||web.foo.svc.cluster.local",
    );
    assert.equal(targetOf(get(policy, 8443, "b.example.com", "/", "a.example.com")), "no-route");
    assert.equal(get(policy, 8443, "a.example.com", "/", "c.example.com").kind, "refuse");
  });

  test("PASSTHROUGH routes by the names that tls routes list", () => {
    const known = policy.routeTls({ port: 8443, sni: "x.pass.example.com" });
    assert.equal(targetOf(known), "outbound|9000||other.foo.svc.cluster.local");
    assert.equal(policy.routeTls({ port: 8443, sni: "y.pass.example.com" }).kind, "refuse");
    assert.equal(policy.routeTls({ port: 8443 }).kind, "refuse");
    assert.equal(
      policy.routeTls({ port: 8443, sni: "a.example.com" }).kind,
      "refuse",
      "that one is terminated",
    );
  });

  test("AUTO_PASSTHROUGH leads to the cluster that the SNI names, untouched, within the server's hosts", () => {
    const decision = policy.routeTls({ port: 15443, sni: "outbound_.80_._.web.foo.svc.cluster.local" });
    assert.equal(targetOf(decision), "outbound_.80_._.web.foo.svc.cluster.local");
    assert.equal(decision.kind === "forward" ? decision.targets[0]?.cluster?.tls : "", "plaintext");
    assert.equal(
      policy.routeTls({ port: 15443, sni: "outbound_.80_._.gw.edge.svc.cluster.local" }).kind,
      "refuse",
    );
    assert.equal(policy.routeTls({ port: 15443, sni: "web.foo.svc.cluster.local" }).kind, "refuse");
  });
});

test("an opaque TCP server forwards by the first VirtualService's tcp route for its port", () => {
  const policy = compile(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: raw, namespace: edge}
spec: {selector: {app: gw}, servers: [{port: {number: 9000, name: raw, protocol: TCP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: raw, namespace: edge}
spec:
  hosts: ["*"]
  gateways: [raw]
  tcp:
    - {match: [{port: 1}], route: [{destination: {host: other.foo.svc.cluster.local, port: {number: 9000}}}]}
    - {match: [{port: 9000}], route: [{destination: {host: web.foo.svc.cluster.local, port: {number: 9000}}}]}
`);
  assert.deepEqual(
    policy.listeners.map(({ port, protocol }) => [port, protocol]),
    [[9000, "tcp"]],
  );
  assert.equal(targetOf(policy.routeTcp({ port: 9000 })), "outbound|9000||web.foo.svc.cluster.local");
});
