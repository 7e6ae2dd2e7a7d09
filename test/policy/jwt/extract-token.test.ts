/** Where Envoy's jwt_authn filter finds tokens, in which order, and what is left of a request without them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { extractTokens, withoutParameters } from "../../../src/policy/jwt/extract-token.ts";
import type { JwtLocations } from "../../../src/policy/jwt/jwt-policy.ts";
import { headersAfterToken, NO_TOKEN, withoutFields } from "../../../src/policy/jwt/jwt-result.ts";

const NOWHERE: JwtLocations = { headers: [], params: [], cookies: [] };

function textsAt(locations: Partial<JwtLocations>, headers: readonly string[], path = "/"): string[] {
  return extractTokens({ ...NOWHERE, ...locations }, { headers, path }).map(({ text }) => text);
}

describe("headers", () => {
  for (const [prefix, value, expected] of [
    ["Bearer ", "Bearer a.b.c", ["a.b.c"]],
    ["Bearer ", "bearer a.b.c", []],
    ["Bearer ", "Basic x", []],
    ["Bearer ", "", []],
    // The prefix is found anywhere, what cannot begin a token is skipped, and the rest is passed entirely.
    ["Bearer ", "x Bearer a.b.c", ["a.b.c"]],
    ["Bearer ", 'Bearer  "a.b.c" d', ['a.b.c" d']],
    ["Bearer ", "Bearer _x", ["_x"]],
    ["Bearer ", "Bearer -x", ["-x"]],
    ["Bearer ", "Bearer .x", [".x"]],
    ["Bearer ", "Bearer 0", ["0"]],
    ["Bearer ", 'Bearer ""', ['Bearer ""']],
    // Without a prefix the value is the token, whatever it begins with.
    ["", "a.b.c", ["a.b.c"]],
    ["", "!a.b.c", ["!a.b.c"]],
    ["", "", [""]],
  ] as const)
    test(`after ${JSON.stringify(prefix)} in ${JSON.stringify(value)}: ${JSON.stringify(expected)}`, () =>
      assert.deepEqual(textsAt({ headers: [{ name: "x-jwt", prefix }] }, ["x-jwt", value]), expected));

  test("each value of a repeated header is one; those of authorization are one list", () => {
    const at = (name: string) => ({ headers: [{ name, prefix: "" }] });
    assert.deepEqual(textsAt(at("x-jwt"), ["x-jwt", "a", "y", "b", "x-jwt", "c"]), ["a", "c"]);
    assert.deepEqual(textsAt(at("authorization"), ["authorization", "a", "authorization", "c"]), ["a,c"]);
    assert.deepEqual(textsAt(at("authorization"), ["x", "y"]), []);
  });

  test("a value that reads like a header's name is no header", () =>
    assert.deepEqual(textsAt({ headers: [{ name: "x-jwt", prefix: "" }] }, ["a", "x-jwt", "b", "c"]), []));

  test("locations are asked in the order of name and prefix", () => {
    const headers = [
      { name: "x-c", prefix: "" },
      { name: "x-a", prefix: "T " },
      { name: "x-b", prefix: "" },
      { name: "x-a", prefix: "S " },
    ];
    const request = ["x-c", "4", "x-b", "3", "x-a", "T 2", "x-a", "S 1"];
    assert.deepEqual(textsAt({ headers }, request), ["1", "2", "3", "4"]);
  });
});

describe("query parameters", () => {
  for (const [name, path, expected] of [
    ["t", "/?t=a", ["a"]],
    ["t", "/?x=1&t=a&t=b", ["a"]],
    ["t", "?t=a", ["a"]],
    ["t", "/?t=a=b", ["a=b"]],
    ["t", "/?%74=%61%2Eb", ["a.b"]],
    ["t", "/?t=%4", ["%4"]],
    ["t", "/?t=%4x%zz", ["%4x%zz"]],
    ["t", "/?t", [""]],
    ["t", "/?t=", [""]],
    ["t", "/?tx", []],
    ["t", "/?xt=a", []],
    ["t", "/t=a", []],
    ["t", "/&t=a", []],
    ["", "/?=a", ["a"]],
    ["t", "/?", []],
  ] as const)
    test(`${name} of ${path}: ${JSON.stringify(expected)}`, () =>
      assert.deepEqual(textsAt({ params: [name] }, [], path), expected));

  for (const [path, names, expected] of [
    ["/x?a=1&t=2&b", ["t"], "/x?a=1&b"],
    ["/x?t=1&t=2", ["t"], "/x"],
    ["/x?t", ["t"], "/x"],
    ["/x?%74=1&a=%41", ["t"], "/x?a=%41"],
    ["/x?t=1&u=2&v=3", ["t", "v"], "/x?u=2"],
    ["/x?tx&ty=1", ["t"], "/x?tx&ty=1"],
    ["/x&t=1", ["t"], "/x&t=1"],
    ["/t", ["t"], "/t"],
    ["?t=1", ["t"], ""],
    ["/x?=1&a=2", [""], "/x?a=2"],
    ["/x?a=1", [], "/x?a=1"],
    ["/x?", ["t"], "/x?"],
  ] as const)
    test(`${path} without ${JSON.stringify(names)} is ${JSON.stringify(expected)}`, () =>
      assert.equal(withoutParameters(path, names), expected));
});

describe("cookies", () => {
  for (const [headers, expected] of [
    [["cookie", "jwt=a"], ["a"]],
    [["cookie", "x=1; jwt= a ; y=2"], ["a"]],
    [["cookie", "x=1", "cookie", "jwt=a"], ["a"]],
    [["cookie", "jwt=a; jwt=b"], ["a"]],
    [["cookie", 'jwt="a"'], ["a"]],
    [["cookie", 'jwt=""'], [""]],
    [["cookie", 'jwt="'], ['"']],
    [["cookie", 'jwt=x"a"'], ['x"a"']],
    [["cookie", 'jwt="a"x'], ['"a"x']],
    [["cookie", "jwt=a=b"], ["a=b"]],
    [["cookie", "jwt="], [""]],
    [["cookie", "jwtx; jwt"], []],
    [["cookie", "JWT=a"], []],
    [["x", "jwt=a"], []],
    [["x", "cookie", "jwt=a", "y"], []],
    [["jwt=a", "cookie"], []],
    [[], []],
  ] as const)
    test(`jwt of ${JSON.stringify(headers)}: ${JSON.stringify(expected)}`, () =>
      assert.deepEqual(textsAt({ cookies: ["jwt"] }, headers), expected));

  test("a cookie without a name is one", () =>
    assert.deepEqual(textsAt({ cookies: [""] }, ["cookie", "=a"]), ["a"]));
});

test("headers come before parameters and cookies; each token says what to remove with it, a cookie nothing", () => {
  const locations = { headers: [{ name: "x-jwt", prefix: "" }], params: ["t", "u"], cookies: ["c", "d"] };
  const headers = ["cookie", "c=4", "x-jwt", "1"];
  assert.deepEqual(extractTokens(locations, { headers, path: "/?u=3&t=2" }), [
    { text: "1", headers: ["x-jwt"], params: [] },
    { text: "2", headers: [], params: ["t"] },
    { text: "3", headers: [], params: ["u"] },
    { text: "4", headers: [], params: [] },
  ]);
});

describe("what is left", () => {
  const headers = ["a", "1", "b", "a", "a", "2", "c", "3"];

  test("fields go with all their values; the same list comes back where none is there", () => {
    assert.deepEqual(withoutFields(headers, ["a"]), ["b", "a", "c", "3"]);
    assert.deepEqual(withoutFields(headers, ["a", "c"]), ["b", "a"]);
    assert.equal(withoutFields(headers, ["1", "x"]), headers);
    assert.equal(withoutFields(headers, []), headers);
  });

  test("removed and set headers; the same list comes back where nothing changes", () => {
    const result = {
      ...NO_TOKEN,
      removeHeaders: ["a"],
      setHeaders: [
        ["a", "new"],
        ["d", "4"],
      ] as const,
    };
    assert.deepEqual(headersAfterToken(headers, result), ["b", "a", "c", "3", "a", "new", "d", "4"]);
    assert.equal(headersAfterToken(headers, NO_TOKEN), headers);
  });

  test("no token comes to nothing at all", () =>
    assert.deepEqual(NO_TOKEN, {
      refusal: null,
      claims: null,
      setHeaders: [],
      removeHeaders: [],
      removeParams: [],
    }));
});
