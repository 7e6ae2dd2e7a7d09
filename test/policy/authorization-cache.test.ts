import assert from "node:assert/strict";
import { test } from "node:test";
import { findWorkload } from "../../src/model/build-mesh.ts";
import type { Authorization } from "../../src/policy/authorization.ts";
import { AuthorizationCache } from "../../src/policy/authorization-cache.ts";
import { compileInbound, type InboundPolicy, type Semantics } from "../../src/policy/inbound.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { authorization, meshConfig, meshOf, policyOf, resource } from "./inbound-fixture.ts";

/** A new one each time: what was found is told from what was made by identity. */
const made = (): Authorization => ({ ...policyOf([]).http });
const policy = (name: string, rest: Parameters<typeof authorization>[2] = {}): Resource =>
  authorization(name, { action: "DENY", rules: [{}] }, rest);

test("AuthorizationCache.of() compiles once for the same policies and settings, read again or not", () => {
  const cache = new AuthorizationCache();
  const first = cache.of([policy("a"), policy("b")], "s", made);
  assert.equal(
    cache.of([policy("a"), policy("b")], "s", () => assert.fail("it is known")),
    first,
  );
  assert.equal(cache.compiled, 1);
});

test("AuthorizationCache.of() compiles anew for other policies, another order, other settings, and other texts", () => {
  const cache = new AuthorizationCache();
  const variants: readonly (readonly [readonly Resource[], string])[] = [
    [[], ""],
    [[], "s"],
    [[policy("a")], "s"],
    [[policy("a")], "t"],
    [[policy("b")], "s"],
    [[policy("a"), policy("b")], "s"],
    [[policy("b"), policy("a")], "s"],
    [[policy("a", { namespace: "bar" })], "s"],
    [[policy("a", { annotations: { "istio.io/dry-run": "true" } })], "s"],
    [[authorization("a", { action: "ALLOW", rules: [{}] })], "s"],
    [[resource("RequestAuthentication", "a", { action: "DENY", rules: [{}] })], "s"],
  ];
  const found = new Set(variants.map(([policies, settings]) => cache.of(policies, settings, made)));
  assert.equal(found.size, variants.length);
  assert.equal(cache.compiled, variants.length);
  for (const [policies, settings] of variants) assert.ok(found.has(cache.of(policies, settings, made)));
  assert.equal(cache.compiled, variants.length);
});

test("AuthorizationCache.of() tells many policies apart: their numbers do not run into one another", () => {
  const cache = new AuthorizationCache();
  const many = Array.from({ length: 12 }, (_, index) => policy(`p${index}`));
  cache.of(many, "", made);
  const [, one, eleven] = [many[0], many[1], many[11]] as const;
  assert.ok(one !== undefined && eleven !== undefined);
  assert.notEqual(cache.of([one, eleven], "", made), cache.of([eleven, one], "", made));
});

test("AuthorizationCache reads a policy once, however often it is asked for, and its successor once more", () => {
  let reads = 0;
  const rules = { toJSON: () => String(reads++) && [] };
  const counted = authorization("a", { rules });
  const cache = new AuthorizationCache();
  for (const settings of ["s", "t", "s"]) cache.of([counted], settings, made);
  assert.equal(reads, 1);
  const { spec } = authorization("b", { rules: { toJSON: () => String(reads++) && [] } });
  const other = authorization("a", spec as Record<string, unknown>);
  const next = cache.successor([other]);
  assert.equal(reads, 2);
  for (const settings of ["s", "u"]) next.of([other], settings, made);
  assert.equal(reads, 2);
});

test("AuthorizationCache.successor() keeps what is compiled from policies that are still there, and nothing else", () => {
  const cache = new AuthorizationCache();
  const [a, b, c] = [policy("a"), policy("b"), policy("c")];
  const ofA = cache.of([a], "s", made);
  const ofAB = cache.of([a, b], "s", made);
  const ofNone = cache.of([], "s", made);
  assert.equal(cache.size, 3);
  const next = cache.successor([policy("a"), c]);
  assert.equal(next.size, 2, "what needs b is gone");
  assert.equal(next.of([policy("a")], "s", made), ofA);
  assert.equal(next.of([], "s", made), ofNone);
  assert.equal(next.compiled, 0);
  assert.notEqual(next.of([policy("a"), b], "s", made), ofAB);
  assert.equal(next.compiled, 1);
  assert.equal(cache.of([a, b], "s", made), ofAB, "the former is as it was");
});

test("AuthorizationCache.successor() gives no policy the number of one that is gone", () => {
  const cache = new AuthorizationCache();
  cache.of([policy("a")], "s", made);
  const ofB = cache.of([policy("b")], "s", made);
  const next = cache.successor([policy("b")]);
  const ofC = next.of([policy("c")], "s", made);
  assert.notEqual(ofC, ofB);
  assert.equal(next.of([policy("b")], "s", made), ofB);
});

const PROVIDERS = (port: number): Resource =>
  meshConfig(`
extensionProviders:
- name: grpc
  envoyExtAuthzGrpc: {service: httpbin.foo.svc.cluster.local, port: ${port}}
`);

const LATE = meshConfig(`
extensionProviders:
- name: grpc
  envoyExtAuthzGrpc: {service: late.foo.svc.cluster.local, port: 80}
`);

function compiled(
  cache: AuthorizationCache,
  resources: readonly Resource[],
  semantics: Semantics = "istio",
): InboundPolicy {
  const mesh = meshOf(...resources);
  const workload = findWorkload(mesh, "foo/httpbin");
  assert.ok(workload !== undefined);
  return compileInbound(mesh, workload, { semantics, cache });
}

test("compileInbound(): with a cache HTTP and TCP chains are compiled once each, and again where what they depend on differs", () => {
  const cache = new AuthorizationCache();
  const deny = policy("a");
  const asks = authorization("c", { action: "CUSTOM", provider: { name: "grpc" }, rules: [{}] });
  const steps: readonly (readonly [what: string, compiled: number, readonly Resource[], Semantics?])[] = [
    ["at first", 2, [deny]],
    ["the same", 0, [deny]],
    ["read again", 0, [policy("a")]],
    ["other semantics", 2, [deny], "strict"],
    ["another trust domain", 2, [deny, meshConfig("trustDomain: other")]],
    ["providers that nobody asks", 0, [deny, PROVIDERS(80)]],
    ["a policy that asks", 2, [asks, PROVIDERS(80)]],
    ["the provider elsewhere", 2, [asks, PROVIDERS(9000)]],
    ["the provider as before", 0, [asks, PROVIDERS(80)]],
    ["one that asks and one that does not", 2, [deny, asks, PROVIDERS(80)]],
    ["beside it the provider elsewhere", 2, [deny, asks, PROVIDERS(9000)]],
    ["a provider whose service is not there", 2, [asks, LATE]],
    ["its service", 2, [asks, LATE, resource("Service", "late", { ports: [{ port: 80 }] })]],
    ["no longer its service", 0, [asks, LATE]],
  ];
  for (const [what, expected, resources, semantics] of steps) {
    const before = cache.compiled;
    compiled(cache, resources, semantics);
    assert.equal(cache.compiled - before, expected, what);
  }
});

test("compileInbound(): what the cache has is what is compiled without it", () => {
  const cache = new AuthorizationCache();
  const { http, tcp } = compiled(cache, [policy("a")]);
  const again = compiled(cache, [policy("a")]);
  assert.equal(again.http, http);
  assert.equal(again.tcp, tcp);
  assert.notEqual(http, tcp);
  assert.equal(http.closed.code, 403);
  assert.equal(tcp.closed.code, 0);
});
