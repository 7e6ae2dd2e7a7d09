import assert from "node:assert/strict";
import { test } from "node:test";
import { decideConnection, decideRequest, observe, requiredAuthorizer } from "../../src/policy/inbound.ts";
import { assumedClaims } from "../../src/policy/jwt/verify-jwt.ts";
import { authorization, connect, get, meshConfig, policyOf, resource } from "./inbound-fixture.ts";

const tcp = { destinationPort: 9000, alpn: ["istio"] };
const CUSTOM = {
  action: "CUSTOM",
  provider: { name: "authz" },
  rules: [{ to: [{ operation: { paths: ["/x"] } }] }],
};
const PROVIDERS = `
extensionProviders:
- name: authz
  envoyExtAuthzGrpc: {service: foo/httpbin.foo.svc.cluster.local, port: 80}
- name: http
  envoyExtAuthzHttp: {service: httpbin.foo.svc.cluster.local, port: 80}
- name: broken
  envoyExtAuthzGrpc: {service: nowhere.example, port: 80}
`;

test("decideRequest() allows everything when no policy applies", () => {
  assert.equal(decideRequest(policyOf([]), connect(), get("/")).cause, "no-allow-policies");
});

test("decideRequest() denies when DENY and ALLOW both match", () => {
  const policy = policyOf([
    authorization("a", { rules: [{}] }),
    authorization("d", { action: "DENY", rules: [{}] }),
  ]);
  const verdict = decideRequest(policy, connect(), get("/"));
  assert.deepEqual(
    [verdict.allowed, verdict.code, verdict.policy, verdict.rule],
    [false, 403, "AuthorizationPolicy foo/d", 0],
  );
});

test("decideRequest(): ALLOW without rules denies all", () => {
  assert.equal(
    decideRequest(policyOf([authorization("a", {})]), connect(), get("/")).cause,
    "no-allow-matched",
  );
});

test("decideRequest(): policies of the root namespace hold everywhere, those of another one nowhere", () => {
  const deny = { action: "DENY", rules: [{}] };
  const root = policyOf([authorization("d", deny, { namespace: "istio-system" })]);
  const other = policyOf([authorization("d", deny, { namespace: "bar" })]);
  assert.ok(!decideRequest(root, connect(), get("/")).allowed);
  assert.ok(decideRequest(other, connect(), get("/")).allowed);
});

test("decideRequest(): a policy with targetRefs is ignored by sidecars", () => {
  const targetRefs = [{ group: "", kind: "Service", name: "httpbin" }];
  const policy = policyOf([authorization("d", { action: "DENY", rules: [{}], targetRefs })]);
  assert.ok(decideRequest(policy, connect(), get("/")).allowed);
});

test("decideRequest(): of several matching rules, Envoy's first by name is told", () => {
  const rules = Array.from({ length: 11 }, (_, index) => ({
    to: [{ operation: { ports: [index === 2 || index === 10 ? "8080" : "1"] } }],
  }));
  const verdict = decideRequest(
    policyOf([authorization("d", { action: "DENY", rules })]),
    connect(),
    get("/"),
  );
  assert.equal(verdict.rule, 10);
});

test("decideConnection(): HTTP attributes on TCP drop an ALLOW rule and widen a DENY rule", () => {
  const rules = [{ from: [{ source: { namespaces: ["foo"] } }], to: [{ operation: { paths: ["/x"] } }] }];
  const allow = policyOf([authorization("a", { rules })]);
  const deny = policyOf([authorization("d", { action: "DENY", rules })]);
  assert.equal(decideConnection(allow, connect(tcp)).cause, "no-allow-matched");
  assert.equal(decideConnection(deny, connect(tcp)).cause, "deny-matched");
  const bar = connect({ ...tcp, principal: "cluster.local/ns/bar/sa/x" });
  assert.ok(decideConnection(deny, bar).allowed);
});

test("decideConnection(): a negated HTTP attribute is dropped from a DENY rule on TCP, too", () => {
  const rules = [{ to: [{ operation: { notPaths: ["/x"] } }] }];
  assert.ok(
    !decideConnection(policyOf([authorization("d", { action: "DENY", rules })]), connect(tcp)).allowed,
  );
});

test("plaintext matches no positive identity and every negated one", () => {
  const deny = (source: object) =>
    decideRequest(
      policyOf([authorization("d", { action: "DENY", rules: [{ from: [{ source }] }] })]),
      connect({ principal: null }),
      get("/"),
    );
  assert.ok(deny({ principals: ["*"] }).allowed);
  assert.ok(deny({ namespaces: ["*"] }).allowed);
  assert.ok(deny({ trustDomains: ["*"] }).allowed);
  assert.ok(!deny({ notPrincipals: ["*"] }).allowed);
  assert.ok(!deny({ notNamespaces: ["*"] }).allowed);
  assert.ok(!deny({ notServiceAccounts: ["foo/x"] }).allowed);
  assert.ok(!deny({ notTrustDomains: ["*"] }).allowed);
});

for (const [semantics, allowed] of [
  ["istio", true],
  ["strict", false],
] as const) {
  test(`an odd identity ${allowed ? "passes for" : "is not of"} another namespace in ALLOW (${semantics})`, () => {
    const odd = connect({ principal: "cluster.local/ns/bar/sa/ns/foo/sa/sleep" });
    for (const source of [{ namespaces: ["foo"] }, { serviceAccounts: ["foo/sleep"] }]) {
      const policy = policyOf([authorization("a", { rules: [{ from: [{ source }] }] })], semantics);
      assert.equal(decideRequest(policy, odd, get("/")).allowed, allowed);
      assert.ok(decideRequest(policy, connect(), get("/")).allowed);
    }
  });
}

test("strict: an odd identity is denied by every DENY that asks for namespaces or accounts, negated or not", () => {
  const odd = connect({ principal: "cluster.local/ns/bar/sa/x/extra" });
  for (const source of [{ namespaces: ["foo"] }, { notNamespaces: ["bar"] }, { serviceAccounts: ["a/b"] }]) {
    const rules = [{ from: [{ source }] }];
    assert.ok(
      !decideRequest(policyOf([authorization("d", { action: "DENY", rules })], "strict"), odd, get("/"))
        .allowed,
    );
  }
});

test("a trust domain stands for its aliases, and cluster.local for the mesh's own", () => {
  const config = meshConfig("trustDomain: new.domain\ntrustDomainAliases: [old.domain]\n");
  const policy = policyOf([
    config,
    authorization("a", {
      rules: [{ from: [{ source: { principals: ["cluster.local/ns/foo/sa/sleep"] } }] }],
    }),
  ]);
  for (const trustDomain of ["new.domain", "old.domain"]) {
    const connection = connect({ principal: `${trustDomain}/ns/foo/sa/sleep` });
    assert.ok(decideConnection(policy, connection).allowed);
    assert.ok(decideRequest(policy, connection, get("/")).allowed);
  }
  assert.ok(!decideConnection(policy, connect()).allowed);
});

test("AUDIT and dry-run never block, and observe() tells them", () => {
  const policy = policyOf([
    authorization("audit", { action: "AUDIT", rules: [{}] }),
    authorization("deny", { action: "DENY", rules: [{}] }, { annotations: { "istio.io/dry-run": "true" } }),
    authorization("allow", {}, { annotations: { "istio.io/dry-run": "true" } }),
  ]);
  assert.ok(decideRequest(policy, connect(), get("/")).allowed);
  assert.deepEqual(observe(policy, connect(), get("/")), [
    { effect: "audit", policy: "AuthorizationPolicy foo/audit", rule: 0 },
    { effect: "would-deny", policy: "AuthorizationPolicy foo/deny", rule: 0 },
    { effect: "would-deny", policy: null, rule: null },
  ]);
  assert.equal(observe(policyOf([]), connect(), get("/")), observe(policyOf([]), connect(), get("/")));
});

test("CUSTOM: unknown until the authorizer answers, then as it says; what it does not match is not asked", () => {
  const policy = policyOf([meshConfig(PROVIDERS), authorization("c", CUSTOM)]);
  const request = get("/x");
  const demand = requiredAuthorizer(policy, connect(), request);
  assert.deepEqual(
    [demand?.provider.name, demand?.policy, demand?.rule],
    ["authz", "AuthorizationPolicy foo/c", 0],
  );
  assert.equal(decideRequest(policy, connect(), request).reason, "unknown");
  assert.ok(!decideRequest(policy, connect(), request).allowed);
  request.authorizer = "deny";
  assert.equal(decideRequest(policy, connect(), request).cause, "ext-authz-denied");
  request.authorizer = "error";
  assert.equal(decideRequest(policy, connect(), request).cause, "ext-authz-failed");
  request.authorizer = "allow";
  assert.ok(decideRequest(policy, connect(), request).allowed);
  assert.equal(requiredAuthorizer(policy, connect(), get("/y")), null);
  assert.ok(decideRequest(policy, connect(), get("/y")).allowed);
});

test("CUSTOM: an authorizer's allow does not outweigh DENY", () => {
  const policy = policyOf([
    meshConfig(PROVIDERS),
    authorization("c", CUSTOM),
    authorization("d", { action: "DENY", rules: [{}] }),
  ]);
  const request = get("/x");
  request.authorizer = "allow";
  assert.equal(decideRequest(policy, connect(), request).cause, "deny-matched");
});

test("CUSTOM: an unknown provider, a provider without a service, and two providers deny what is matched", () => {
  const named = (name: string, provider: string) =>
    authorization(name, { ...CUSTOM, provider: { name: provider } });
  const broken = [[named("c", "nobody")], [named("c", "broken")], [named("c", "authz"), named("e", "http")]];
  for (const policies of broken) {
    const policy = policyOf([meshConfig(PROVIDERS), ...policies]);
    const request = get("/x");
    request.authorizer = "allow";
    assert.equal(decideRequest(policy, connect(), request).cause, "ext-authz-misconfigured");
    assert.equal(requiredAuthorizer(policy, connect(), request), null);
    assert.ok(decideRequest(policy, connect(), get("/y")).allowed);
  }
});

for (const semantics of ["istio", "strict"] as const)
  test(`CUSTOM with istio.io/dry-run denies what it matches, asked or not; with an unusable or HTTP provider (on TCP) nothing (${semantics})`, () => {
    const dryRun = { annotations: { "istio.io/dry-run": "true" } };
    const tried = policyOf([meshConfig(PROVIDERS), authorization("c", CUSTOM, dryRun)], semantics);
    const request = get("/x");
    request.authorizer = "allow";
    assert.equal(requiredAuthorizer(tried, connect(), request), null);
    const { allowed, cause, code, policy } = decideRequest(tried, connect(), request);
    assert.deepEqual(
      [allowed, cause, code, policy],
      [false, "ext-authz-dry-run", 403, "AuthorizationPolicy foo/c"],
    );
    assert.ok(decideRequest(tried, connect(), get("/y")).allowed);
    assert.equal(decideConnection(tried, connect(tcp)).cause, "ext-authz-dry-run");
    const of = (provider: string) =>
      policyOf(
        [meshConfig(PROVIDERS), authorization("c", { ...CUSTOM, provider: { name: provider } }, dryRun)],
        semantics,
      );
    assert.ok(decideRequest(of("nobody"), connect(), get("/x")).allowed);
    assert.equal(decideRequest(of("http"), connect(), get("/x")).cause, "ext-authz-dry-run");
    assert.ok(decideConnection(of("http"), connect(tcp)).allowed);
  });

test("CUSTOM: a dry-run policy's provider counts among several, and of several the first by name denies", () => {
  const named = (name: string, provider: string, metadata = {}) =>
    authorization(name, { ...CUSTOM, provider: { name: provider } }, metadata);
  const dryRun = { annotations: { "istio.io/dry-run": "true" } };
  const mixed = policyOf([meshConfig(PROVIDERS), named("c", "authz"), named("a", "http", dryRun)]);
  const verdict = decideRequest(mixed, connect(), get("/x"));
  assert.deepEqual([verdict.cause, verdict.policy], ["ext-authz-misconfigured", "AuthorizationPolicy foo/c"]);
  const several = policyOf([meshConfig(PROVIDERS), named("a", "http"), named("c", "authz")]);
  assert.equal(decideRequest(several, connect(), get("/x")).policy, "AuthorizationPolicy foo/c");
});

test("CUSTOM on TCP: a gRPC provider is asked (its HTTP attributes dropped), an HTTP one has no say", () => {
  const grpc = policyOf([meshConfig(PROVIDERS), authorization("c", CUSTOM)]);
  assert.equal(requiredAuthorizer(grpc, connect(tcp), undefined)?.provider.name, "authz");
  assert.equal(decideConnection(grpc, connect(tcp)).reason, "unknown");
  const http = policyOf([
    meshConfig(PROVIDERS),
    authorization("c", { ...CUSTOM, provider: { name: "http" } }),
  ]);
  assert.equal(requiredAuthorizer(http, connect(tcp), undefined), null);
  assert.ok(decideConnection(http, connect(tcp)).allowed);
});

test("CUSTOM knows no claims, even where the token is verified already", () => {
  const rules = [{ from: [{ source: { requestPrincipals: ["*"] } }] }];
  const policy = policyOf([meshConfig(PROVIDERS), authorization("c", { ...CUSTOM, rules })]);
  const request = get("/x");
  request.jwt = assumedClaims({ iss: "a", sub: "b" });
  assert.equal(requiredAuthorizer(policy, connect(), request), null);
});

test("a value that cannot be compiled never widens: ALLOW loses the rule, DENY the condition", () => {
  const rules = [{ from: [{ source: { ipBlocks: ["10.1.0.0/99"] } }] }];
  assert.ok(!decideRequest(policyOf([authorization("a", { rules })]), connect(), get("/")).allowed);
  assert.ok(
    !decideRequest(policyOf([authorization("d", { action: "DENY", rules })]), connect(), get("/")).allowed,
  );
});

test("a workload without a proxy is not protected", () => {
  const noProxy = resource("Namespace", "foo", undefined, {
    namespace: "",
    labels: { "istio-injection": "disabled" },
  });
  const policy = policyOf([noProxy, authorization("d", { action: "DENY", rules: [{}] })]);
  assert.equal(decideConnection(policy, connect({ principal: null })).cause, "no-proxy");
});
