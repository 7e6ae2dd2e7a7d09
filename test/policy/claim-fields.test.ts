import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuthorizationAction } from "../../src/policy/authorization-spec.ts";
import { AUDIENCES, claimField, PRESENTER, REQUEST_PRINCIPALS } from "../../src/policy/claim-fields.ts";
import type { ConditionContext, Field } from "../../src/policy/condition.ts";
import { assumedClaims } from "../../src/policy/jwt/verify-jwt.ts";
import type { TextDimension } from "../../src/policy/rule-index/dimension.ts";
import type { TextPatterns } from "../../src/policy/text-pattern.ts";
import { connect, get } from "./inbound-fixture.ts";

const contextOf = (action: AuthorizationAction): ConditionContext => ({
  semantics: "istio",
  action,
  policyNamespace: "foo",
  trustDomains: ["cluster.local"],
  federated: [],
  forwardedFor: null,
  http: true,
});
const ALLOW = contextOf("ALLOW");
const CUSTOM = contextOf("CUSTOM");
const PEER = connect();

function requestWith(claims: Readonly<Record<string, unknown>>): ReturnType<typeof get> {
  const request = get("/");
  request.jwt = assumedClaims(claims);
  return request;
}

function matches(
  field: Field,
  value: string,
  claims: Readonly<Record<string, unknown>>,
  context = ALLOW,
): boolean {
  const predicate = field.compile([value], context);
  assert.ok(predicate !== undefined);
  return predicate(PEER, requestWith(claims));
}

type Case = readonly [value: string, matching: readonly unknown[], others: readonly unknown[]];

/** Issuer and subject of tokens. */
const PRINCIPALS: readonly Case[] = [
  [
    "*",
    [
      ["a", "b"],
      ["https://a/b", "c/d"],
    ],
    [
      ["", "b"],
      ["a", ""],
      ["", ""],
    ],
  ],
  [
    "a/b",
    [["a", "b"]],
    [
      ["a", "b/"],
      ["a", "bb"],
      ["aa", "b"],
      ["b", "a"],
      ["", "a/b"],
      ["a/b", ""],
    ],
  ],
  [
    "https://a/b/c",
    [["https://a/b", "c"]],
    [
      ["https://a", "b/c"],
      ["https:", "/a/b/c"],
    ],
  ],
  [
    "a",
    [["a", ""]],
    [
      ["a", "a"],
      ["", "a"],
      ["a", "b"],
    ],
  ],
  [
    "/b",
    [["", "b"]],
    [
      ["a", "b"],
      ["b", ""],
    ],
  ],
  [
    "a/",
    [["a", ""]],
    [
      ["a", "b"],
      ["a/", ""],
    ],
  ],
  [
    "*/b",
    [
      ["a", "b"],
      ["https://a/c", "b"],
    ],
    [
      ["a", "bb"],
      ["a", "c/b"],
      ["", "b"],
    ],
  ],
  [
    "*a/b",
    [
      ["a", "b"],
      ["xa", "b"],
    ],
    [
      ["ax", "b"],
      ["a", "xb"],
      ["a", "bx"],
    ],
  ],
  [
    "*b",
    [
      ["a", "b"],
      ["a", "xb"],
      ["a", "x/b"],
    ],
    [
      ["a", "bx"],
      ["b", "a"],
      ["", "b"],
    ],
  ],
  [
    "a/*",
    [
      ["a", "b"],
      ["a", "c/d"],
    ],
    [
      ["aa", "b"],
      ["x", "b"],
      ["a", ""],
    ],
  ],
  [
    "a/b*",
    [
      ["a", "b"],
      ["a", "bx"],
    ],
    [
      ["a", "xb"],
      ["ax", "b"],
      ["a/b", "x"],
    ],
  ],
  [
    "a*",
    [
      ["a", "b"],
      ["ax", "b"],
    ],
    [
      ["xa", "b"],
      ["a", ""],
    ],
  ],
  [
    "*/b*",
    [["a", "b*"]],
    [
      ["a", "b"],
      ["a", "bx"],
    ],
  ],
  ["a*c/d", [["a*c", "d"]], [["abc", "d"]]],
  ["abc*", [["abcd", "e"]], [["a", "e"]]],
  ["a/bcd*", [["a", "bcde"]], [["a", "b"]]],
  ["/b*", [["", "bx"]], [["/b", "x"]]],
];

for (const [value, matching, others] of PRINCIPALS) {
  test(`requestPrincipals ${value} takes issuer and subject, split at the last slash`, () => {
    const is = (pair: unknown): boolean => {
      const [iss, sub] = pair as readonly [string, string];
      return matches(REQUEST_PRINCIPALS, value, { iss, sub });
    };
    for (const pair of matching) assert.ok(is(pair), JSON.stringify(pair));
    for (const pair of others) assert.ok(!is(pair), JSON.stringify(pair));
  });
}

test("requestPrincipals: without issuer, subject or token nothing matches, not even the star", () => {
  for (const claims of [{}, { iss: "a" }, { sub: "b" }, { iss: 1, sub: "b" }, { iss: "a", sub: ["b"] }])
    assert.ok(!matches(REQUEST_PRINCIPALS, "*", claims), JSON.stringify(claims));
  const any = REQUEST_PRINCIPALS.compile(["*"], ALLOW);
  assert.ok(any !== undefined && !any(PEER, get("/")) && !any(PEER, null));
});

test("requestPrincipals: one of several values is enough", () => {
  const several = REQUEST_PRINCIPALS.compile(["x/y", "a/b", "c/d"], ALLOW);
  assert.ok(several?.(PEER, requestWith({ iss: "a", sub: "b" })));
  assert.ok(several?.(PEER, requestWith({ iss: "c", sub: "d" })));
  assert.ok(!several?.(PEER, requestWith({ iss: "a", sub: "d" })));
});

/** Pattern, values of the claim that match, values that do not. */
const CLAIMS: readonly Case[] = [
  ["dev", ["dev", ["dev"], ["ops", "dev"]], ["Dev", "devs", "", ["ops"], [], [["dev"]], { dev: true }, null]],
  ["d*", ["dev", "d", ["ops", "dev"]], ["xd", ["xd"], [1]]],
  ["*v", ["dev", "v", [1, "dev"]], ["vx"]],
  ["*", ["x", ["", "x"], [1, "x"]], ["", [""], [], 1, true, null, {}, [1], [true]]],
  ["1", ["1", ["1"]], [1, [1]]],
  ["true", ["true"], [true, [true]]],
  ["null", ["null"], [null]],
];

for (const [value, matching, others] of CLAIMS) {
  test(`a claim asked for ${value}: strings and lists of strings match, numbers and truths never do`, () => {
    for (const claim of matching)
      assert.ok(matches(claimField(["groups"]), value, { groups: claim }), JSON.stringify(claim));
    for (const claim of others)
      assert.ok(!matches(claimField(["groups"]), value, { groups: claim }), JSON.stringify(claim));
    assert.ok(!matches(claimField(["groups"]), value, {}));
  });
}

test("a claim is found by its path through objects alone: not in lists, not in what every object has", () => {
  const at = (path: readonly string[], claims: Readonly<Record<string, unknown>>): boolean =>
    matches(claimField(path), "*", claims);
  assert.ok(at(["a", "b"], { a: { b: "x" } }));
  assert.ok(at(["a", "b", "c"], { a: { b: { c: ["x"] } } }));
  assert.ok(!at(["a", "b"], { a: "b" }));
  assert.ok(!at(["a", "b"], { a: null }));
  assert.ok(!at(["a", "b"], { "a.b": "x", b: "x" }));
  assert.ok(!at(["a", "0"], { a: ["x"] }));
  assert.ok(!at(["a", "length"], { a: "xy" }));
  assert.ok(!at(["a", "0"], { a: "xy" }));
  assert.ok(!at(["constructor", "name"], {}));
  assert.ok(!at(["a", "constructor", "name"], { a: {} }));
});

test("request.auth.audiences is the claim aud, request.auth.presenter the claim azp", () => {
  const claims = { aud: ["x", "app"], azp: "cli" };
  assert.ok(matches(AUDIENCES, "app", claims) && !matches(AUDIENCES, "cli", claims));
  assert.ok(matches(PRESENTER, "cli", claims) && !matches(PRESENTER, "app", claims));
});

test("CUSTOM rules know no claims, even where a token is verified; other actions do", () => {
  const claims = { iss: "a", sub: "b", aud: "app" };
  for (const action of ["ALLOW", "DENY", "AUDIT"] as const) {
    assert.ok(matches(AUDIENCES, "app", claims, contextOf(action)), action);
    assert.ok(matches(REQUEST_PRINCIPALS, "*", claims, contextOf(action)), action);
  }
  assert.ok(!matches(AUDIENCES, "app", claims, CUSTOM));
  assert.ok(!matches(REQUEST_PRINCIPALS, "*", claims, CUSTOM));
  for (const field of [AUDIENCES, REQUEST_PRINCIPALS]) {
    assert.equal(field.keys?.(["a/b"], CUSTOM), null);
    assert.equal(field.seen(PEER, requestWith(claims), CUSTOM), "no verified token");
    assert.ok(field.http, "asks for HTTP");
  }
});

test("what came of a token is told to a person: the claim as JSON, the principal as issuer and subject", () => {
  const request = requestWith({ iss: "https://a", sub: "b", aud: ["x", "y"], n: 1, realm: { role: "r" } });
  const seen = (field: Field): string => field.seen(PEER, request, ALLOW);
  assert.equal(seen(AUDIENCES), '["x","y"]');
  assert.equal(seen(claimField(["n"])), "1");
  assert.equal(seen(claimField(["realm"])), '{"role":"r"}');
  assert.equal(seen(claimField(["realm", "role"])), '"r"');
  assert.equal(seen(PRESENTER), "no such claim");
  assert.equal(seen(claimField(["__proto__"])), "no such claim");
  assert.equal(seen(REQUEST_PRINCIPALS), "https://a/b");
  assert.equal(REQUEST_PRINCIPALS.seen(PEER, requestWith({ iss: "a" }), ALLOW), "a/undefined");
  for (const field of [AUDIENCES, REQUEST_PRINCIPALS]) {
    assert.equal(field.seen(PEER, get("/"), ALLOW), "no verified token");
    assert.equal(field.seen(PEER, null, ALLOW), "no verified token");
  }
});

interface TextKeys {
  readonly dimension: TextDimension;
  readonly patterns: TextPatterns;
  readonly decisive: boolean;
}

function keysOf(field: Field, values: readonly string[]): TextKeys {
  const keys = field.keys?.(values, ALLOW);
  assert.ok(keys !== null && keys !== undefined && "patterns" in keys);
  return keys;
}

/** All texts that an index finds under the dimension. */
function textsOf(dimension: TextDimension, claims: Readonly<Record<string, unknown>> | null): string[] {
  const request = claims === null ? null : requestWith(claims);
  const texts: string[] = [];
  for (let at = -1; ; ) {
    at = dimension.next(PEER, request, at);
    if (at < 0) return texts;
    texts.push(dimension.textAt(PEER, request, at));
    assert.ok(texts.length < 10, "the cursor comes to an end");
  }
}

test("a claim is indexed by its texts: one string, or the strings of a list; the keys alone decide nothing", () => {
  const { dimension, patterns, decisive } = keysOf(claimField(["a", "b"]), ["x", "y*", "*z", "*"]);
  assert.deepEqual(patterns, { any: true, exact: new Set(["x"]), prefixes: ["y"], suffixes: ["z"] });
  assert.deepEqual(
    [dimension.kind, dimension.id, dimension.repeats, decisive],
    ["text", 'claim ["a","b"]', true, false],
  );
  const texts = (b: unknown): string[] => textsOf(dimension, { a: { b } });
  assert.deepEqual(texts("x"), ["x"]);
  assert.deepEqual(texts(["x", 1, "y", null, ["z"], "w"]), ["x", "y", "w"]);
  for (const none of [[], [1], 1, null, {}, undefined]) assert.deepEqual(texts(none), []);
  assert.deepEqual(textsOf(dimension, {}), []);
  assert.deepEqual(textsOf(dimension, null), []);
  assert.equal(dimension.textAt(PEER, requestWith({ a: { b: [1] } }), 0), "");
  assert.equal(dimension.textAt(PEER, null, 0), "");
});

test("request principals are indexed by the token's subject, which the issuer may still refuse", () => {
  const { dimension, patterns, decisive } = keysOf(REQUEST_PRINCIPALS, [
    "a/b",
    "a/c*",
    "*d",
    "*e/f",
    "https://x/y/g",
  ]);
  assert.deepEqual(patterns, {
    any: false,
    exact: new Set(["b", "f", "g"]),
    prefixes: ["c"],
    suffixes: ["d"],
  });
  assert.deepEqual([dimension.id, decisive], ["token subject", false]);
  assert.deepEqual(textsOf(dimension, { iss: "a", sub: "b" }), ["b"]);
  assert.deepEqual(textsOf(dimension, { sub: "" }), [""]);
  for (const none of [{}, { sub: 1 }, { sub: ["b"] }, null]) assert.deepEqual(textsOf(dimension, none), []);
});

for (const value of ["*", "a/*", "x*", "*/*"]) {
  test(`request principal ${value} is indexed as one of any subject`, () => {
    const { patterns } = keysOf(REQUEST_PRINCIPALS, ["a/b", value]);
    const star = value === "*/*";
    assert.deepEqual(patterns, {
      any: !star,
      exact: new Set(star ? ["b", "*"] : ["b"]),
      prefixes: [],
      suffixes: [],
    });
  });
}
