import assert from "node:assert/strict";
import { test } from "node:test";
import { buildMesh, findWorkload } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { withFederation } from "../../src/model/mesh-config.ts";
import type { Connection } from "../../src/policy/connection.ts";
import {
  asSeenBy,
  chainOf,
  compileInbound,
  decideConnection,
  decideRequest,
  detectsProtocol,
  type InboundPolicy,
  observe,
  requiredAuthorizer,
  type Semantics,
} from "../../src/policy/inbound.ts";
import { NO_TOKEN } from "../../src/policy/jwt/jwt-result.ts";
import {
  CHAIN_CHANGED,
  JWT_UNVERIFIED,
  NO_CLIENT_CERTIFICATE,
  NO_LISTENER,
  NO_PROXY,
  PER_REQUEST,
} from "../../src/policy/verdict-catalogue.ts";
import type { Resource } from "../../src/resources/resource.ts";
import {
  authorization,
  connect,
  get,
  meshConfig,
  meshOf,
  policyOf,
  resource,
  SLEEP,
} from "./inbound-fixture.ts";

const LABELS = { istio: "gw" };

function gatewayOf(annotations: Record<string, string>, ...more: readonly Resource[]): InboundPolicy {
  const metadata = {
    labels: LABELS,
    annotations: { "inject.istio.io/templates": "gateway", ...annotations },
  };
  const pod = resource("Pod", "gw", {}, { labels: LABELS, annotations, body: { metadata, spec: {} } });
  const server = { port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] };
  const mesh = buildMesh([
    pod,
    resource("Service", "gw", { selector: LABELS, ports: [{ name: "a", port: 80, targetPort: 8080 }] }),
    resource("Gateway", "gw", { selector: LABELS, servers: [server] }),
    ...more,
  ]);
  const workload = findWorkload(mesh, "foo/gw");
  assert.ok(workload !== undefined);
  return compileInbound(mesh, workload, { semantics: "istio" });
}

const REMOTE = authorization("a", { rules: [{ when: [{ key: "remote.ip", values: ["203.0.113.9"] }] }] });
const PLAIN = connect({ principal: null });

/** Which entry of X-Forwarded-For, from the right, a gateway takes for the client; "peer" for none. */
function entryOf(annotation: string | undefined, meshWide: number): number | "peer" {
  const config = meshConfig(`defaultConfig: {gatewayTopology: {numTrustedProxies: ${meshWide}}}`);
  const annotations = annotation === undefined ? {} : { "proxy.istio.io/config": annotation };
  const policy = gatewayOf(annotations, REMOTE, config);
  const fits = [0, 1, 2, 3].filter((entry) => {
    const addresses = ["10.0.0.3", "10.0.0.2", "10.0.0.1", "10.0.0.0"];
    addresses[3 - entry] = "203.0.113.9";
    return decideRequest(policy, PLAIN, get("/", ["x-forwarded-for", addresses.join(", ")])).allowed;
  });
  assert.ok(fits.length <= 1);
  return fits[0] ?? "peer";
}

/** ProxyConfig annotation of the pod, trusted proxies mesh-wide, and the entry that is taken. */
const TOPOLOGIES: readonly (readonly [string | undefined, number, number | "peer"])[] = [
  [undefined, 0, "peer"],
  [undefined, 1, 0],
  [undefined, 3, 2],
  ["gatewayTopology: {numTrustedProxies: 2}", 0, 1],
  ["gatewayTopology: {numTrustedProxies: 1}", 3, 0],
  ["gatewayTopology: {numTrustedProxies: 0}", 2, "peer"],
  ["gatewayTopology: {numTrustedProxies: -1}", 2, 1],
  ["gatewayTopology: {numTrustedProxies: 1.5}", 2, 1],
  ['gatewayTopology: {numTrustedProxies: "1"}', 2, 1],
  ["gatewayTopology: {}", 2, 1],
  ["gatewayTopology:", 2, 1],
  ["concurrency: 2", 2, 1],
  ["", 2, 1],
  ["{", 2, 1],
];

for (const [annotation, meshWide, entry] of TOPOLOGIES)
  test(`a gateway with ${annotation === undefined ? "no annotation" : JSON.stringify(annotation)} and ${meshWide} proxies mesh-wide takes ${entry}`, () => {
    assert.equal(entryOf(annotation, meshWide), entry);
  });

test("a sidecar takes the last entry of X-Forwarded-For, whatever proxies are trusted", () => {
  for (const meshWide of [0, 3]) {
    const config = meshConfig(`defaultConfig: {gatewayTopology: {numTrustedProxies: ${meshWide}}}`);
    const allows = (forwarded: string) =>
      decideRequest(policyOf([REMOTE, config]), connect(), get("/", ["x-forwarded-for", forwarded])).allowed;
    assert.deepEqual([allows("10.0.0.1, 203.0.113.9"), allows("203.0.113.9, 10.0.0.1")], [true, false]);
  }
});

function policyOfMesh(mesh: Mesh, semantics: Semantics): InboundPolicy {
  const workload = findWorkload(mesh, "foo/httpbin");
  assert.ok(workload !== undefined);
  return compileInbound(mesh, workload, { semantics });
}

test("compileInbound(): the mesh's trust domains, each once; others' under strict semantics alone", () => {
  const plain = meshOf(meshConfig("trustDomain: td\ntrustDomainAliases: [old, td, old]\n"));
  const mesh: Mesh = { ...plain, config: withFederation(plain.config, ["partner"]) };
  const [istio, strict] = [policyOfMesh(mesh, "istio"), policyOfMesh(mesh, "strict")];
  assert.deepEqual([istio.trustDomains, istio.federated], [["td", "old"], []]);
  assert.deepEqual([strict.trustDomains, strict.federated], [["td", "old"], ["partner"]]);
  const verdict = (policy: InboundPolicy, principal: string) =>
    decideConnection(policy, connect({ principal, destinationPort: 9000, alpn: ["istio"] })).cause;
  const causes = (principal: string) => [istio, strict].map((policy) => verdict(policy, principal));
  assert.deepEqual(causes("td/ns/a/sa/b"), ["no-allow-policies", "no-allow-policies"]);
  assert.deepEqual(causes("old/ns/a/sa/b"), ["no-allow-policies", "no-allow-policies"]);
  assert.deepEqual(causes("partner/ns/a/sa/b"), ["foreign-trust-domain", "no-allow-policies"]);
  assert.deepEqual(causes("other/ns/a/sa/b"), ["foreign-trust-domain", "foreign-trust-domain"]);
  assert.deepEqual(causes("td"), ["foreign-trust-domain", "foreign-trust-domain"]);
});

test("nobody is meant to dial the port that a sidecar itself listens on; a gateway has no such port", () => {
  const chain = chainOf(policyOf([]), connect({ destinationPort: 15006 }));
  assert.deepEqual(chain, { tls: "none", protocol: "tcp", inspectsTls: true, refusal: NO_LISTENER });
  assert.ok(Object.isFrozen(chain));
  assert.equal(chainOf(policyOf([]), connect({ destinationPort: 15007 })).refusal, null);
});

test("detectsProtocol(): never at a gateway", () => {
  const policy = gatewayOf({});
  assert.deepEqual(
    [detectsProtocol(policy, 8080), detectsProtocol(policy, 1), policy.ports.size],
    [false, false, 0],
  );
  assert.equal(chainOf(policy, PLAIN).protocol, "http");
});

test("decideConnection(): where the mesh's TLS ends, only a certificate of the mesh is an identity", () => {
  const strict = policyOf([resource("PeerAuthentication", "p", { mtls: { mode: "STRICT" } })]);
  const cause = (input: Parameters<typeof connect>[0]) => decideConnection(strict, connect(input));
  assert.equal(cause({ tls: "simple", principal: SLEEP }), NO_CLIENT_CERTIFICATE);
  assert.equal(cause({ tls: "mtls", principal: null }), NO_CLIENT_CERTIFICATE);
  assert.equal(cause({ tls: "simple", principal: null }), NO_CLIENT_CERTIFICATE);
  assert.equal(cause({}), PER_REQUEST);
});

test("asSeenBy(): TLS that is passed through shows no identity, and where nobody looks for TLS no server name", () => {
  const call = connect({ sni: "name" });
  const seen = (tls: "pass" | "terminate" | "none", inspectsTls: boolean) =>
    asSeenBy({ tls, inspectsTls, protocol: "tcp", refusal: null }, call);
  assert.deepEqual([seen("terminate", true) === call, seen("none", false) === call], [true, true]);
  const facts = ({ principal, sni }: Connection) => [principal, sni];
  assert.deepEqual(
    [facts(seen("pass", true)), facts(seen("pass", false))],
    [
      [null, "name"],
      [null, ""],
    ],
  );
});

const PROVIDER = meshConfig(`
extensionProviders:
- name: authz
  envoyExtAuthzGrpc: {service: foo/httpbin.foo.svc.cluster.local, port: 80}
`);
const CUSTOM = authorization("c", { action: "CUSTOM", provider: { name: "authz" }, rules: [{}] });
const AUDIT_HTTP = authorization("h", {
  action: "AUDIT",
  rules: [{ to: [{ operation: { paths: ["/x"] } }] }],
});
const AUDIT_TCP = authorization("t", {
  action: "AUDIT",
  rules: [{ to: [{ operation: { ports: ["9000"] } }] }],
});
const TCP = { destinationPort: 9000, alpn: ["istio"] };

test("requiredAuthorizer(): asked of requests on HTTP chains, of connections on TCP ones that are not refused", () => {
  const policy = policyOf([PROVIDER, CUSTOM]);
  const asked = (connection: Connection, request?: ReturnType<typeof get>, of = policy) =>
    requiredAuthorizer(of, connection, request) !== null;
  assert.ok(asked(connect(), get("/")));
  assert.ok(!asked(connect()));
  assert.ok(asked(connect(TCP)));
  const strict = policyOf([
    PROVIDER,
    CUSTOM,
    resource("PeerAuthentication", "p", { mtls: { mode: "STRICT" } }),
  ]);
  assert.ok(!asked(connect({ ...TCP, principal: null }), undefined, strict));
  assert.ok(asked(connect(TCP), undefined, strict));
  assert.ok(!asked(connect(), undefined, strict));
});

test("a workload without a proxy: everything is allowed, nobody is asked", () => {
  const policy: InboundPolicy = {
    ...policyOf([PROVIDER, CUSTOM, authorization("d", { action: "DENY", rules: [{}] })]),
    unprotected: true,
  };
  assert.equal(decideConnection(policy, connect(TCP)), NO_PROXY);
  assert.equal(decideRequest(policy, connect(), get("/")), NO_PROXY);
  assert.equal(requiredAuthorizer(policy, connect(), get("/")), null);
  assert.equal(requiredAuthorizer(policy, connect(TCP), undefined), null);
});

test("observe(): AUDIT rules of HTTP for requests, of TCP for connections, as their chain sees them", () => {
  const policy = policyOf([AUDIT_HTTP, AUDIT_TCP]);
  const observed = (connection: Connection, request?: ReturnType<typeof get>) =>
    observe(policy, connection, request).map(({ policy, effect }) => `${effect} ${policy}`);
  assert.deepEqual(observed(connect(), get("/x")), ["audit AuthorizationPolicy foo/h"]);
  assert.deepEqual(observed(connect(), get("/y")), []);
  assert.deepEqual(observed(connect(TCP)), ["audit AuthorizationPolicy foo/h"]);
  const named = policyOf([
    authorization("n", { action: "AUDIT", rules: [{ from: [{ source: { principals: ["*"] } }] }] }),
  ]);
  assert.equal(observe(named, connect(TCP), undefined).length, 1);
  assert.equal(observe(named, connect({ ...TCP, alpn: ["http/1.1"] }), undefined).length, 0);
});

test("decideRequest(): where tokens have rules, a request whose tokens nobody verified is refused", () => {
  const rules = resource("RequestAuthentication", "r", { jwtRules: [{ issuer: "i", jwks: '{"keys":[]}' }] });
  const policy = policyOf([rules]);
  const request = get("/");
  assert.equal(decideRequest(policy, connect(), request), JWT_UNVERIFIED);
  request.jwt = { ...NO_TOKEN, refusal: CHAIN_CHANGED };
  assert.equal(decideRequest(policy, connect(), request), CHAIN_CHANGED);
  request.jwt = NO_TOKEN;
  assert.equal(decideRequest(policy, connect(), request).cause, "no-allow-policies");
});
