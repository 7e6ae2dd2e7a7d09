/** Claims and tokens where no RequestAuthentication applies: Envoy looks at none, and whoever gave one is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decide } from "../../../src/policy/decide.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import { authorizationText, podText, resourceText, serviceText } from "./journey-text.ts";

const MESH =
  podText("a", "c", { ip: "10.0.0.1" }) + podText("a", "s", { ip: "10.0.0.2" }) + serviceText("a", "s");
const PRINCIPAL = authorizationText("a", "p", {
  rules: [{ from: [{ source: { requestPrincipals: ["iss/sub"] } }] }],
});
const REQUEST_AUTHENTICATION = resourceText("security.istio.io/v1", "RequestAuthentication", "a", "r", {
  jwtRules: [{ issuer: "iss", jwks: '{"keys":[]}' }],
});
const request = {
  from: { workload: "a/c" },
  to: { service: "s", port: 80 },
  jwt: { claims: { iss: "iss", sub: "sub" } },
} as const;
const told = async (text: string, ask: Parameters<typeof decide>[1] = request) => {
  const { allowed, explanation } = await decide(meshOf(MESH + text), ask);
  return { allowed, isTold: explanation.some((line) => line.includes("count for nothing here")) };
};

test("claims make no request principal where no RequestAuthentication applies, which is told", async () => {
  assert.deepEqual(await told(PRINCIPAL), { allowed: false, isTold: true });
  assert.deepEqual(await told(PRINCIPAL + REQUEST_AUTHENTICATION), { allowed: true, isTold: false });
});

test("a token is told of as well, and a request without any is not", async () => {
  assert.deepEqual(await told(PRINCIPAL, { ...request, jwt: "a.b.c" }), { allowed: false, isTold: true });
  const { jwt: _jwt, ...plain } = request;
  assert.deepEqual(await told(PRINCIPAL, plain), { allowed: false, isTold: false });
});

test("a decision that comes in by a gateway has the gateway's cluster and TLS", async () => {
  const gateway = `---
apiVersion: v1
kind: Pod
metadata: {name: in, namespace: gw, labels: {istio: in, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: in, containers: [{name: istio-proxy, image: auto}]}
`;
  const listener = resourceText("networking.istio.io/v1", "Gateway", "gw", "g", {
    selector: { istio: "in" },
    servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
  });
  const route = resourceText("networking.istio.io/v1", "VirtualService", "a", "v", {
    hosts: ["s.example"],
    gateways: ["gw/g"],
    http: [{ route: [{ destination: { host: "s", port: { number: 80 } } }] }],
  });
  const mesh = meshOf(MESH + gateway + listener + route);
  const ask = { via: "gw/in", from: { ip: "192.0.2.1" }, to: { host: "s.example", port: 80 } };
  const { allowed, cluster, tls, sans } = await decide(mesh, ask);
  assert.deepEqual(
    { allowed, cluster, tls, sans },
    {
      allowed: true,
      cluster: "outbound|80||s.a.svc.cluster.local",
      tls: "mtls",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
    },
  );
});
