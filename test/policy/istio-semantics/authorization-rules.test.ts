/** The rules of AuthorizationPolicy, each by its sentence. docs/semantics.md lists them with all tests that state one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectionInput } from "../../../src/policy/connection.ts";
import { HttpRequest } from "../../../src/policy/http-request.ts";
import { decideConnection, decideRequest, observe } from "../../../src/policy/inbound.ts";
import { assumedClaims } from "../../../src/policy/jwt/verify-jwt.ts";
import type { PathNormalization } from "../../../src/policy/normalize-path.ts";
import { jwtVerdict } from "../../../src/policy/verdict-catalogue.ts";
import { authorization, connect, get, meshConfig, policyOf, resource, SLEEP } from "../inbound-fixture.ts";

const ANY = [{}];
const PROVIDERS = meshConfig(
  "extensionProviders: [{name: authz, envoyExtAuthzGrpc: {service: httpbin.foo.svc.cluster.local, port: 80}}]",
);

/** What comes of it where one rule is all that there is: a policy that allows it, and one that denies it. */
function matches(rule: object, input: Partial<ConnectionInput> = {}, request = get("/")): boolean {
  const connection = connect(input);
  const allowed = decideRequest(
    policyOf([authorization("a", { rules: [rule] })]),
    connection,
    request,
  ).allowed;
  const deny = policyOf([authorization("d", { action: "DENY", rules: [rule] })]);
  assert.equal(decideRequest(deny, connection, request).allowed, !allowed, "DENY is the opposite of ALLOW");
  return allowed;
}
const source = (fields: object) => ({ from: [{ source: fields }] });
const operation = (fields: object) => ({ to: [{ operation: fields }] });

test("checks come in their order: transport, CUSTOM, tokens, DENY, ALLOW; AUDIT never decides", () => {
  const strict = resource("PeerAuthentication", "p", { mtls: { mode: "STRICT" } });
  const custom = authorization("c", { action: "CUSTOM", provider: { name: "authz" }, rules: ANY });
  const tokens = resource("RequestAuthentication", "t", { jwtRules: [{ issuer: "i", jwks: '{"keys":[]}' }] });
  const audit = authorization("u", { action: "AUDIT", rules: ANY });
  const deny = authorization("d", { action: "DENY", rules: ANY });
  const allow = authorization("a", { rules: [operation({ methods: ["PUT"] })] });
  const refused = get("/");
  refused.authorizer = "deny";
  refused.jwt = { ...assumedClaims({}), refusal: jwtVerdict("jwt-invalid", null) };
  const badToken = get("/");
  badToken.authorizer = "allow";
  badToken.jwt = refused.jwt;
  const good = get("/");
  good.authorizer = "allow";
  good.jwt = assumedClaims({ iss: "i", sub: "s" });
  const all = policyOf([PROVIDERS, strict, custom, tokens, audit, deny, allow]);
  const cause = (policy: typeof all, request: HttpRequest, input: Partial<ConnectionInput> = {}): string => {
    const connection = connect(input);
    const onConnection = decideConnection(policy, connection);
    return onConnection.allowed ? decideRequest(policy, connection, request).cause : onConnection.cause;
  };
  assert.equal(cause(all, refused, { principal: null }), "no-chain");
  assert.equal(cause(all, refused), "ext-authz-denied");
  assert.equal(cause(all, badToken), "jwt-invalid");
  assert.equal(cause(all, good), "deny-matched");
  const withoutDeny = policyOf([PROVIDERS, strict, custom, tokens, audit, allow]);
  assert.equal(cause(withoutDeny, good), "no-allow-matched");
  const open = policyOf([PROVIDERS, strict, custom, tokens, audit]);
  assert.equal(cause(open, good), "no-allow-policies");
  assert.deepEqual(
    observe(open, connect(), good).map(({ effect }) => effect),
    ["audit"],
  );
});

test("a rule `{}` matches everything", () => {
  assert.ok(matches({}));
  assert.ok(matches({}, { principal: null }));
  assert.ok(matches({}, {}, get("/x", [], "PUT", "other")));
});

test("values of one field are alternatives, fields of one source or operation hold together, entries are alternatives", () => {
  assert.ok(matches(source({ namespaces: ["bar", "foo"] })));
  assert.ok(!matches(source({ namespaces: ["foo"], ipBlocks: ["10.9.0.0/16"] })));
  assert.ok(matches({ from: [{ source: { namespaces: ["bar"] } }, { source: { namespaces: ["foo"] } }] }));
  assert.ok(!matches({ ...source({ namespaces: ["foo"] }), ...operation({ methods: ["PUT"] }) }));
  assert.ok(
    !matches({ ...source({ namespaces: ["foo"] }), when: [{ key: "source.ip", values: ["10.9.9.9"] }] }),
  );
});

test("strings are exact, `p*`, `*s`, or `*`, which is present and not empty", () => {
  const value = (pattern: string, text: string): boolean =>
    matches({ when: [{ key: "connection.sni", values: [pattern] }] }, { sni: text });
  assert.ok(value("ab", "ab") && !value("ab", "abc") && !value("ab", "xab"));
  assert.ok(value("ab*", "ab") && value("ab*", "abc") && !value("ab*", "xab"));
  assert.ok(value("*ab", "ab") && value("*ab", "xab") && !value("*ab", "abc"));
  assert.ok(value("*", "x") && !value("*", ""));
  assert.ok(!value("a*c", "abc"), "a star inside is a character");
});

test("hosts ignore case, methods and paths do not (GHSA-7774)", () => {
  for (const host of ["app.example", "APP.example", "App.Example"]) {
    assert.ok(matches(operation({ hosts: ["app.EXAMPLE"] }), {}, get("/", [], "GET", host)), host);
    assert.ok(!matches(operation({ notHosts: ["app.EXAMPLE"] }), {}, get("/", [], "GET", host)), host);
    assert.ok(matches(operation({ hosts: ["APP.*"] }), {}, get("/", [], "GET", host)), host);
  }
  assert.ok(!matches(operation({ paths: ["/Admin"] }), {}, get("/admin")));
  assert.ok(!matches(operation({ methods: ["get"] })));
});

test("paths exclude the query and the fragment (CVE-2021-39156)", () => {
  for (const path of ["/admin", "/admin?a=b", "/admin#x", "/admin#?x", "/admin?#x"]) {
    assert.ok(matches(operation({ paths: ["/admin"] }), {}, get(path)), path);
    assert.ok(!matches(operation({ notPaths: ["/admin"] }), {}, get(path)), path);
  }
  assert.ok(!matches(operation({ paths: ["/admin*"] }), {}, get("/?/admin")));
});

/** Template, paths that it is for, paths that it is not for. */
const TEMPLATES: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ["/a/{*}", ["/a/b", "/a/b.c"], ["/a", "/a/", "/a/b/c", "/b/b"]],
  ["/a/{*}/c", ["/a/b/c"], ["/a//c", "/a/b", "/a/b/c/d", "/a/b/d/c"]],
  ["/a/{**}", ["/a/", "/a/b", "/a/b/c"], ["/a", "/ab", "/b/a/"]],
  ["/{**}", ["/", "/a", "/a/b"], []],
  ["/a/{*}/{**}", ["/a/b/", "/a/b/c/d"], ["/a/b", "/a//c", "/a/"]],
  ["/{*}/a/{**}", ["/x/a/", "/x/a/b"], ["/a/b", "/x/y/a/b"]],
];
for (const [template, paths, others] of TEMPLATES) {
  test(`path template ${template}: {*} is one segment that is not empty, {**} is zero or more characters`, () => {
    for (const path of paths) assert.ok(matches(operation({ paths: [template] }), {}, get(path)), path);
    for (const path of others) assert.ok(!matches(operation({ paths: [template] }), {}, get(path)), path);
  });
}

test("serviceAccounts take no wildcard: a star is a character", () => {
  assert.ok(matches(source({ serviceAccounts: ["foo/sleep"] })));
  assert.ok(matches(source({ serviceAccounts: ["sleep"] })), "a name alone is of the policy's namespace");
  for (const value of ["*", "foo/*", "*/sleep", "foo/sl*", "bar/sleep"])
    assert.ok(!matches(source({ serviceAccounts: [value] })), value);
});

test("namespaces and serviceAccounts match any trust domain, principals their own or an alias", () => {
  const alias = { principal: "old.domain/ns/foo/sa/sleep" };
  assert.ok(matches(source({ namespaces: ["foo"] }), alias));
  assert.ok(matches(source({ serviceAccounts: ["foo/sleep"] }), alias));
  assert.ok(!matches(source({ principals: [SLEEP] }), alias), "no alias of this mesh");
  const aliased = policyOf([
    meshConfig("trustDomainAliases: [old.domain]"),
    authorization("a", { rules: [source({ principals: [SLEEP] })] }),
  ]);
  assert.ok(decideRequest(aliased, connect(alias), get("/")).allowed);
});

test("ipBlocks is the direct peer, remoteIpBlocks the original client by X-Forwarded-For or PROXY protocol", () => {
  const forwarded = get("/", ["x-forwarded-for", "198.51.100.7, 203.0.113.9"]);
  assert.ok(matches(source({ ipBlocks: ["10.1.0.5"] }), {}, forwarded));
  assert.ok(!matches(source({ ipBlocks: ["203.0.113.9"] }), {}, forwarded));
  assert.ok(matches(source({ remoteIpBlocks: ["203.0.113.9"] }), {}, forwarded));
  assert.ok(!matches(source({ remoteIpBlocks: ["10.1.0.5", "198.51.100.7"] }), {}, forwarded));
  assert.ok(matches(source({ remoteIpBlocks: ["10.1.0.5"] })), "nobody told of another");
  const proxied = { remoteIp: "192.0.2.1", destinationPort: 9000, alpn: ["istio"] };
  const tcp = policyOf([authorization("a", { rules: [source({ remoteIpBlocks: ["192.0.2.1"] })] })]);
  assert.ok(decideConnection(tcp, connect(proxied)).allowed);
  assert.ok(decideConnection(tcp, connect({ ...proxied, alpn: ["h2"] })).allowed, "TLS passed through, too");
  assert.ok(!decideConnection(tcp, connect({ ...proxied, remoteIp: "192.0.2.2" })).allowed);
});

test("ports are the container's, not the Service's, and a port in the Host counts for nothing (ISTIO-SECURITY-2021-002)", () => {
  // The Service's port 80 leads to 8080.
  assert.ok(matches(operation({ ports: ["8080"] })));
  assert.ok(!matches(operation({ ports: ["80"] })));
  assert.ok(matches(operation({ ports: ["8080"] }), {}, get("/", [], "GET", "app:80")));
  assert.ok(!matches(operation({ ports: ["80"] }), {}, get("/", [], "GET", "app:80")));
});

test("DENY and ALLOW without a client certificate: positive names never match, negated ones do (ISTIO-SECURITY-2021-004)", () => {
  for (const field of ["principals", "namespaces", "trustDomains"])
    assert.ok(!matches(source({ [field]: ["*"] }), { principal: null }), field);
  for (const field of ["notPrincipals", "notNamespaces", "notTrustDomains"]) {
    assert.ok(matches(source({ [field]: ["*"] }), { principal: null }), field);
    assert.ok(!matches(source({ [field]: ["*"] })), field);
  }
});

test("root namespace policies hold in every namespace, with their selector", () => {
  const root = (selector: object) =>
    policyOf([
      authorization("d", { action: "DENY", rules: ANY, ...selector }, { namespace: "istio-system" }),
    ]);
  const isDenied = (selector: object): boolean => !decideRequest(root(selector), connect(), get("/")).allowed;
  assert.ok(isDenied({}));
  assert.ok(isDenied({ selector: { matchLabels: { app: "httpbin" } } }));
  assert.ok(!isDenied({ selector: { matchLabels: { app: "other" } } }));
});

/** Spellings of /admin/users, and the modes under which they are it (CVE-2021-31920). */
const SPELLINGS: readonly (readonly [string, readonly PathNormalization[]])[] = [
  ["/admin/users", ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]],
  ["/x/../admin/users", ["BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]],
  ["/admin\\users", ["BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]],
  ["//admin///users", ["MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]],
  ["/admin%2fusers", ["DECODE_AND_MERGE_SLASHES"]],
  ["/admin%5Cusers", ["DECODE_AND_MERGE_SLASHES"]],
  ["/admin%252fusers", []],
];
for (const mode of ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES", undefined] as const) {
  test(`paths are normalised by the mesh's setting: ${mode ?? "BASE where nothing is said"}`, () => {
    const config = mode === undefined ? "{}" : `pathNormalization: {normalization: ${mode}}`;
    const rules = [operation({ paths: ["/admin/users"] })];
    const policy = policyOf([meshConfig(config), authorization("d", { action: "DENY", rules })]);
    for (const [path, modes] of SPELLINGS) {
      const request = HttpRequest.read(policy.pathNormalization, "GET", path, "app", []);
      assert.ok(request !== null);
      const isDenied = !decideRequest(policy, connect(), request).allowed;
      assert.equal(isDenied, modes.includes(mode ?? "BASE"), path);
    }
  });
}
