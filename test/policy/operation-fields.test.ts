import assert from "node:assert/strict";
import { test } from "node:test";
import type { Condition, ConditionContext, Field } from "../../src/policy/condition.ts";
import { compileCondition } from "../../src/policy/condition.ts";
import { NO_TOKEN } from "../../src/policy/jwt/jwt-result.ts";
import { HOSTS, headerField, METHODS, PATHS, PORTS, SNI } from "../../src/policy/operation-fields.ts";
import { HOST, METHOD, PATH, PORT, SERVER_NAME } from "../../src/policy/rule-index/dimension.ts";
import { connect, get } from "./inbound-fixture.ts";

const CONTEXT: ConditionContext = {
  semantics: "istio",
  action: "ALLOW",
  policyNamespace: "foo",
  trustDomains: ["cluster.local"],
  federated: [],
  forwardedFor: null,
  http: true,
};

function condition(field: Field, ...values: string[]): Condition {
  const compiled = compileCondition("field", field, values, [], CONTEXT);
  assert.ok(typeof compiled !== "string", "the values compile");
  return compiled;
}

const drops = (field: Field, ...values: string[]): boolean =>
  compileCondition("field", field, values, [], CONTEXT) === "drop-rule";

const CALL = connect({ sni: "Name.Example", destinationPort: 8080 });
const REQUEST = get("/p?q", ["x-role", "admin"], "PUT", "App.Example");

/** Field, values, and whether they match a PUT of /p?q on App.Example by CALL. */
const MATCHES: readonly (readonly [string, Field, string[], boolean])[] = [
  ["hosts", HOSTS, ["APP.example"], true],
  ["hosts", HOSTS, ["*.EXAMPLE"], true],
  ["hosts", HOSTS, ["App.*"], true],
  ["hosts", HOSTS, ["app"], false],
  ["methods", METHODS, ["PUT"], true],
  ["methods", METHODS, ["P*"], true],
  ["methods", METHODS, ["put"], false],
  ["paths", PATHS, ["/p"], true],
  ["paths", PATHS, ["/{*}"], true],
  ["paths", PATHS, ["/x", "/{**}"], true],
  ["paths", PATHS, ["/p?q"], false],
  ["paths", PATHS, ["/{*}/x", "/P"], false],
  ["ports", PORTS, ["80", "8080"], true],
  ["ports", PORTS, ["80"], false],
  ["connection.sni", SNI, ["name.example"], true],
  ["connection.sni", SNI, ["Name.Example"], false],
  ["request.headers[X-Role]", headerField("X-Role"), ["admin"], true],
  ["request.headers[x-role]", headerField("x-role"), ["*"], true],
  ["request.headers[x-role]", headerField("x-role"), ["user"], false],
  ["request.headers[x-none]", headerField("x-none"), ["*"], false],
];

for (const [name, field, values, expected] of MATCHES)
  test(`${name} ${JSON.stringify(values)} ${expected ? "matches" : "does not match"} the request`, () => {
    assert.equal(condition(field, ...values).matches(CALL, REQUEST), expected);
  });

test("without a request, what is of one is never matched, and its absence is told", () => {
  for (const field of [
    HOSTS,
    METHODS,
    PATHS,
    headerField("x-role"),
    headerField(":method"),
    headerField("via"),
  ]) {
    assert.ok(field.http);
    const own = condition(field, "*");
    assert.deepEqual([own.matches(CALL, null), own.seen(CALL, null)], [false, "nothing"]);
  }
  assert.deepEqual(
    [condition(PATHS, "/{*}").matches(CALL, null), PORTS.http, SNI.http],
    [false, false, false],
  );
});

test("what came is told as it was sent", () => {
  const seen = [HOSTS, METHODS, PATHS, PORTS, SNI].map((field) => field.seen(CALL, REQUEST, CONTEXT));
  assert.deepEqual(seen, ["`App.Example`", "`PUT`", "`/p`", "8080", "`name.example`"]);
  assert.equal(SNI.seen(connect(), null, CONTEXT), "no server name");
  const header = headerField("x-role");
  const of = (...headers: string[]) => header.seen(CALL, get("/", headers), CONTEXT);
  assert.equal(of("x-role", "a", "x", "x-role", "X-role", "c", "x-role", "b"), "`a`, `b`");
  assert.equal(of("x", "x-role"), "no such header");
  assert.equal(headerField("via").seen(CALL, get("/", ["via", "a", "via", "b"]), CONTEXT), "`a,b`");
  assert.equal(headerField("via").seen(CALL, get("/"), CONTEXT), "nothing");
});

test("paths: a template that Envoy would not take drops the rule of an ALLOW, beside good ones too", () => {
  assert.ok(drops(PATHS, "/a", "/{**}/{*}"));
  assert.ok(drops(PATHS, "{*}"));
  assert.ok(!drops(PATHS, "/a/{*}", "/b/{**}"));
});

test("ports: numbers of at most five digits up to 65535", () => {
  for (const good of ["0", "1", "080", "65535", "00080"]) assert.ok(!drops(PORTS, good), good);
  for (const bad of ["65536", "99999", "", "a", "80a", "a80", "8 0", "-1", "000080", "80,81", "1e3"])
    assert.ok(drops(PORTS, "80", bad), bad);
});

const patterns = (exact: string[], prefixes: string[] = [], suffixes: string[] = [], any = false) => ({
  any,
  exact: new Set(exact),
  prefixes,
  suffixes,
});

test("keys: where hosts, methods, server names and ports can match, which is all that they ask", () => {
  const keys = (field: Field, ...values: string[]) => field.keys?.(values, CONTEXT);
  assert.deepEqual(keys(HOSTS, "A", "B.*", "*.C", "*"), {
    dimension: HOST,
    patterns: patterns(["a"], ["b."], [".c"], true),
    decisive: true,
  });
  assert.deepEqual(keys(METHODS, "GET", "P*"), {
    dimension: METHOD,
    patterns: patterns(["GET"], ["P"]),
    decisive: true,
  });
  assert.deepEqual(keys(SNI, "A", "*b"), {
    dimension: SERVER_NAME,
    patterns: patterns(["A"], [], ["b"]),
    decisive: true,
  });
  assert.deepEqual(keys(PORTS, "80", "080", "81"), { dimension: PORT, ports: [80, 81] });
});

test("keys: a path template is found by what stands before its first operator, which is not all that it asks", () => {
  const keys = (...values: string[]) => PATHS.keys?.(values, CONTEXT);
  assert.deepEqual(keys("/a", "/p*", "*.js"), {
    dimension: PATH,
    patterns: patterns(["/a"], ["/p"], [".js"]),
    decisive: true,
  });
  assert.deepEqual(keys("/a", "/b/{*}/c", "/p*", "/d/{**}"), {
    dimension: PATH,
    patterns: patterns(["/a"], ["/p", "/b/", "/d/"]),
    decisive: false,
  });
  assert.deepEqual(keys("/{**}"), { dimension: PATH, patterns: patterns([], ["/"]), decisive: false });
});

function dimensionOf(name: string) {
  const keys = headerField(name).keys?.(["a", "p*", "*s"], CONTEXT);
  assert.ok(keys && "patterns" in keys);
  assert.deepEqual(keys.patterns, patterns(["a"], ["p"], ["s"]));
  assert.equal(keys.decisive, false);
  return keys.dimension;
}

test("keys: a header is a dimension of its own, with a text for each time that it came", () => {
  const dimension = dimensionOf("X-Role");
  assert.deepEqual([dimension.kind, dimension.id, dimension.repeats], ["text", "header x-role", true]);
  const request = get("/", ["x", "x-role", "x-role", "a", "y", "1", "x-role", "b"]);
  assert.deepEqual(
    [-1, 2, 6].map((after) => dimension.next(CALL, request, after)),
    [2, 6, -1],
  );
  assert.equal(dimension.next(CALL, get("/", ["x-role", "z"]), -1), 0);
  assert.equal(dimension.next(CALL, get("/"), -1), -1);
  assert.equal(dimension.next(CALL, null, -1), -1);
  assert.deepEqual([dimension.textAt(CALL, request, 2), dimension.textAt(CALL, request, 6)], ["a", "b"]);
  assert.equal(dimension.textAt(CALL, null, 0), "");
});

test("keys: a header that is one text is a dimension of one", () => {
  const dimension = dimensionOf("Via");
  assert.deepEqual([dimension.id, dimension.repeats], ["header via", undefined]);
  const request = get("/", ["via", "a", "via", "b"]);
  assert.deepEqual([dimension.next(CALL, request, -1), dimension.textAt(CALL, request, 0)], [0, "a,b"]);
  assert.deepEqual([dimension.next(CALL, get("/"), -1), dimension.next(CALL, null, -1)], [-1, -1]);
});

/** Envoy 1.40 keeps these once: repeats make one text, which has to match whole. */
const JOINED = [
  "accept",
  "accept-encoding",
  "access-control-request-headers",
  "access-control-request-method",
  "authorization",
  "cache-control",
  "content-encoding",
  "content-type",
  "expect",
  "grpc-accept-encoding",
  "grpc-timeout",
  "if-modified-since",
  "if-none-match",
  "origin",
  "pragma",
  "referer",
  "te",
  "user-agent",
  "via",
  "x-client-trace-id",
  "x-envoy-decorator-operation",
  "x-envoy-external-address",
  "x-envoy-original-path",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
  "x-request-id",
];

for (const name of JOINED)
  test(`request.headers[${name}]: repeats are one text`, () => {
    const request = get("/", [name, "a", "other", "x", name, "b"]);
    const matches = (value: string) =>
      condition(headerField(name.toUpperCase()), value).matches(CALL, request);
    assert.deepEqual(["a,b", "a*", "*b", "a", "b"].map(matches), [true, true, true, false, false]);
  });

test("request.headers[x-role]: repeats match one by one; an empty one is present", () => {
  const request = get("/", ["x-role", "a", "x-role", "b", "x-none", ""]);
  const matches = (name: string, value: string) => condition(headerField(name), value).matches(CALL, request);
  assert.deepEqual(
    ["a", "b", "a,b", "x-role"].map((value) => matches("x-role", value)),
    [true, true, false, false],
  );
  assert.deepEqual([matches("x-none", "*"), matches("x-none", ""), matches("a", "*")], [true, true, false]);
});

/** Header, and what it reads of a TLS and of a plaintext connection where the request has no such field. */
const PSEUDO: readonly (readonly [string, string, string])[] = [
  [":method", "`PUT`", "`PUT`"],
  [":path", "`/p?q`", "`/p?q`"],
  [":authority", "`App.Example`", "`App.Example`"],
  ["Host", "`App.Example`", "`App.Example`"],
  ["x-request-id", "``", "``"],
  ["x-forwarded-proto", "`https`", "`http`"],
  ["connection", "nothing", "nothing"],
  ["x-envoy-internal", "nothing", "nothing"],
];

for (const [name, overTls, plain] of PSEUDO)
  test(`request.headers[${name}] is what the proxy makes of it: ${overTls}`, () => {
    const seen = (connection: typeof CALL) => headerField(name).seen(connection, REQUEST, CONTEXT);
    assert.deepEqual([seen(CALL), seen(connect({ principal: null }))], [overTls, plain]);
    const matches = (value: string) => condition(headerField(name), value).matches(CALL, REQUEST);
    const removed = overTls === "nothing";
    assert.deepEqual([matches("*"), matches(overTls.slice(1, -1))], [!removed, !removed]);
  });

test("request.headers: what the client sends of those that the proxy removes does not count, nor a Host field", () => {
  const request = get("/", ["connection", "a", "x-envoy-internal", "true", "host", "other"], "GET", "own");
  const seen = (name: string) => headerField(name).seen(CALL, request, CONTEXT);
  assert.deepEqual(["connection", "x-envoy-internal", "host"].map(seen), ["nothing", "nothing", "`own`"]);
});

test("request.headers[:path] is the path that goes on, without tokens that end here", () => {
  const request = get("/p?token=x&a=1");
  request.jwt = { ...NO_TOKEN, removeParams: ["token"] };
  assert.equal(headerField(":path").seen(CALL, request, CONTEXT), "`/p?a=1`");
});
