import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HttpRequest, requestRefusal } from "../../src/policy/http-request.ts";
import { normalizePath, type PathNormalization } from "../../src/policy/normalize-path.ts";

const MODES: readonly PathNormalization[] = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];

/** What Envoy 1.40 sent upstream, or its status: target, then one for each mode (null: 400). */
const RECORDED: readonly (readonly [string, ...(string | null)[]])[] = [
  ["/", "/", "/", "/", "/"],
  ["/admin?x=1", "/admin?x=1", "/admin?x=1", "/admin?x=1", "/admin?x=1"],
  ["/admin#frag", "/admin", "/admin", "/admin", "/admin"],
  ["/admin/..", "/admin/..", "/", "/", "/"],
  ["/../admin", "/../admin", "/admin", "/admin", "/admin"],
  ["/a/./b/.", "/a/./b/.", "/a/b/", "/a/b/", "/a/b/"],
  ["/foo/%2e%2E/admin", "/foo/%2e%2E/admin", "/admin", "/admin", "/admin"],
  ["/info/..;/admin", "/info/..;/admin", "/admin", "/admin", "/admin"],
  ["/info/..;x=1/admin", "/info/..;x=1/admin", "/admin", "/admin", "/admin"],
  ["/a/.;x/b", "/a/.;x/b", "/a/b", "/a/b", "/a/b"],
  ["/a/b/..;p", "/a/b/..;p", "/a/", "/a/", "/a/"],
  ["/a/%2e%2e;/b", "/a/%2e%2e;/b", "/a/..;/b", "/a/..;/b", "/a/..;/b"],
  ["/%61dmin", "/%61dmin", "/admin", "/admin", "/admin"],
  ["/a%2Db%7E", "/a%2Db%7E", "/a-b~", "/a-b~", "/a-b~"],
  ["/admin%2fusers", "/admin%2fusers", "/admin%2fusers", "/admin%2fusers", "/admin/users"],
  ["/admin%5Cusers", "/admin%5Cusers", "/admin%5Cusers", "/admin%5Cusers", "/admin/users"],
  ["/admin\\users", "/admin\\users", "/admin/users", "/admin/users", "/admin/users"],
  ["/a\\..\\b", "/a\\..\\b", "/b", "/b", "/b"],
  ["//a//b/", "//a//b/", "//a//b/", "/a/b/", "/a/b/"],
  ["//", "//", "//", "//", "//"],
  ["///", "///", "///", "//", "//"],
  ["/a%00b", "/a%00b", null, null, null],
  ["/a%01", "/a%01", "/a%01", "/a%01", "/a%01"],
  ["/%%30%30", "/%%30%30", "/%2500", "/%2500", "/%2500"],
  ["/admin%zz%", "/admin%zz%", "/admin%zz%", "/admin%zz%", "/admin%zz%"],
  [
    '/a^|"<>`{}',
    '/a^|"<>`{}',
    "/a%5E%7C%22%3C%3E%60%7B%7D",
    "/a%5E%7C%22%3C%3E%60%7B%7D",
    "/a%5E%7C%22%3C%3E%60%7B%7D",
  ],
  ["/a?//%61/../", "/a?//%61/../", "/a?//%61/../", "/a?//%61/../", "/a?//%61/../"],
  ["/a?x#y", "/a?x", "/a?x", "/a?x", "/a?x"],
  ["/é", null, null, null, null],
  ["/a b", null, null, null, null],
  ["/a\tb", null, null, null, null],
  ["/a\u0000b", null, null, null, null],
  ["/a?é", null, null, null, null],
  ["a", null, null, null, null],
  ["", null, null, null, null],
];

for (const [target, ...expected] of RECORDED) {
  test(`normalizePath(${JSON.stringify(target)}) is what Envoy makes of it in all four modes`, () => {
    assert.deepEqual(
      MODES.map((mode) => normalizePath(mode, target)),
      expected,
    );
  });
}

test("slashes are merged where the mode says so, also in a path that has more to be undone", () => {
  const of = (target: string) => MODES.map((mode) => normalizePath(mode, target));
  assert.deepEqual(of("/a//%61~"), ["/a//%61~", "/a//a~", "/a/a~", "/a/a~"]);
  assert.deepEqual(of("/%61//"), ["/%61//", "/a//", "/a/", "/a/"]);
  assert.deepEqual(of("/a//"), ["/a//", "/a//", "/a/", "/a/"]);
});

const arbitraryTarget = fc
  .array(
    fc.constantFrom(
      "/",
      "/",
      ".",
      "..",
      ";",
      "%2e",
      "%2f",
      "%5c",
      "%61",
      "%00",
      "%",
      "\\",
      "a",
      "?",
      "#",
      "^",
      "é",
      "%30",
    ),
    { maxLength: 12 },
  )
  .map((parts) => `/${parts.join("")}`);

test("a normal path is normal: BASE normalises in one go what it can, and never returns a target that it would refuse", () => {
  fc.assert(
    fc.property(arbitraryTarget, fc.constantFrom(...MODES), (target, mode) => {
      const once = normalizePath(mode, target);
      if (once === null) return;
      assert.ok(once.startsWith("/"));
      assert.ok(!once.includes("#"));
      if (mode === "BASE" || mode === "MERGE_SLASHES") {
        const segments = once.replace(/\?.*/, "").split("/");
        assert.ok(!segments.includes("..") && !segments.includes("."), once);
      }
      assert.notEqual(normalizePath("NONE", once), null);
    }),
    { seed: 20260822, numRuns: 3000 },
  );
});

test("a path of any length that a head may have is normalised: HTTP/2 brings 64 KiB, which escapes make three times as long", () => {
  const long = 64 * 1024;
  assert.equal(normalizePath("BASE", `/${"^".repeat(long)}`), `/${"%5E".repeat(long)}`);
  assert.equal(normalizePath("MERGE_SLASHES", `/${"%61".repeat(long)}`), `/${"a".repeat(long)}`);
  assert.equal(normalizePath("BASE", `/${"a/../".repeat(long)}`), "/");
});

test("a path that is normal already comes back as it is", () => {
  for (const mode of MODES) {
    for (const target of ["/", "/accounts/7?x=%2e%2e/", "/a-b_c~d/e.f;g=h,i", "/a/b/"])
      assert.equal(normalizePath(mode, target), target);
  }
});

const read = (target: string, method = "GET", version: 1 | 2 = 1) =>
  HttpRequest.read("BASE", method, target, "Own.Example", [], version);

test("HttpRequest.read() takes an absolute target's authority and path, and nothing of the Host field", () => {
  const request = read("HTTP://user@Evil.Example:8080/admin/..?x");
  assert.deepEqual(
    [request?.authority, request?.host, request?.path, request?.pathOnly],
    ["Evil.Example:8080", "evil.example:8080", "/?x", "/"],
  );
  assert.equal(read("http://evil.example")?.path, "/");
});

test("HttpRequest.read() refuses what is neither a path nor an absolute http target", () => {
  for (const target of [
    "*",
    "a",
    "ftp://x/",
    "http:///x",
    "http://e_x/",
    "http://x:99999/",
    "//",
    "http://x/é",
  ]) {
    if (target === "//") continue;
    assert.equal(read(target), null, target);
    assert.equal(requestRefusal("GET", target).code, 400, target);
  }
  assert.equal(read("*", "OPTIONS"), null);
  assert.equal(requestRefusal("OPTIONS", "*").code, 404);
});

test("HttpRequest.read() knows HTTP/1 methods by name, in upper case, and takes any of HTTP/2", () => {
  assert.equal(read("/", "get"), null);
  assert.equal(read("/", "FOO"), null);
  assert.equal(read("/", "CONNECT"), null);
  assert.notEqual(read("/", "M-SEARCH"), null);
  assert.notEqual(read("/", "FOO", 2), null);
});
