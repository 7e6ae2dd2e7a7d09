import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalizePath, isCanonicalCode } from "../../src/policy/canonicalize-path.ts";

const same = (...paths: readonly string[]): readonly (readonly [string, string])[] =>
  paths.map((path) => [path, path] as const);

/** Path as it came, and its canonical form; null for none. */
const TABLES: Readonly<Record<string, readonly (readonly [path: string, canonical: string | null])[]>> = {
  "a path begins with one slash more only where it had none": [
    ["", "/"],
    ["a", "/a"],
    ["/", "/"],
    ["//", "//"],
    ["\\", "/"],
    ["\\a", "/a"],
    ["a/", "/a/"],
    ["%61", "/a"],
  ],
  "`.` is dropped with the slash behind it, as a whole segment only": [
    [".", "/"],
    ["./a", "/a"],
    ["/.", "/"],
    ["/./", "/"],
    ["/a/.", "/a/"],
    ["/a/./", "/a/"],
    ["/a/./b", "/a/b"],
    ["/a/././b", "/a/b"],
    ["/a/.\\b", "/a/b"],
    ...same("/.a", "/a.", "/a./b", "/a.b", "/a../b", "/...", "/.../a", "/a/.b/c"),
  ],
  "`..` drops the segment before it, and never the first slash": [
    ["..", "/"],
    ["/..", "/"],
    ["/../", "/"],
    ["/../a", "/a"],
    ["/../../a", "/a"],
    ["/a/..", "/"],
    ["/a/../", "/"],
    ["/a/../b", "/b"],
    ["/a/..\\b", "/b"],
    ["/a/b/..", "/a/"],
    ["/a/b/../c", "/a/c"],
    ["/a/b/../../c", "/c"],
    ["/a//../b", "/a/b"],
    ["//..", "/"],
    ["//../a", "/a"],
    ...same("/..a", "/a..", "/a/..b", "/a..b/c", "/..a/b"),
  ],
  "an escaped dot is a dot": [
    ["/%2e", "/"],
    ["/%2E/a", "/a"],
    ["/a/%2e%2e", "/"],
    ["/a/%2e%2E/b", "/b"],
    ["/a/.%2e/b", "/b"],
    ["/a/%2e./b", "/b"],
    ["/a%2eb", "/a.b"],
    ["/%2eb", "/.b"],
    ["/%2e%2eb", "/..b"],
    ["/%2e%2e%2e", "/..."],
    ["/a/b/%2e%2e/%2e%2e/c", "/c"],
    ["/a/x%2e%2e/b", "/a/x../b"],
  ],
  "a backslash is a slash, an escaped one is not": [
    ["/a\\b", "/a/b"],
    ["\\\\a", "//a"],
    ["/a\\..\\b", "/b"],
    ...same("/a%5Cb", "/a%5cb", "/a%2Fb", "/a%2fb", "/a%2F..%2Fb"),
  ],
  "escapes of unreserved characters are undone, others stay as they are written": [
    ["/%41%5A%61%7a%30%39", "/AZaz09"],
    ["/%2D%5f%7e", "/-_~"],
    ...same(
      "/%21%24%26%27%28%29%2A%2B%2C%3A%3B%3D%40%5B%5D",
      "/%20%22%3c%3E%7f%80%fF",
      "/%25",
      "/%2541",
      "/%01",
    ),
  ],
  "broken escapes stay": [
    ...same("/%", "/%4", "/%zz", "/%4g", "/%g4", "/a%", "/%%", "/%-1", "/%+1"),
    ["/%.", "/%."],
    ["/%%41", "/%A"],
    ["/%4%31", "/%2541"],
    ["/%%34%31", "/%2541"],
    ["/%%341", "/%2541"],
    ["/%%34g", "/%4g"],
    ["/%%34", "/%4"],
    ["/%%34\u00e9", "/%4%E9"],
    ["/%%67%31", "/%g1"],
    ["/%4%67", "/%4g"],
    ["/%a%62%63", "/%25abc"],
    ["/%x%34%31", "/%x41"],
    ["/%/%34%31", "/%/41"],
    ["/%x/../%34%31", "/41"],
    ["/a/%/../b%34%31", "/a/b41"],
    ["/%/b/../%34%31", "/%/41"],
    ["/%b/c/../%34%31", "/%b/41"],
  ],
  "what may not stand for itself is escaped in capitals": [
    ['/"<>^`{|}', "/%22%3C%3E%5E%60%7B%7C%7D"],
    ["/ ", "/%20"],
    ["/\t\n\u007f", "/%09%0A%7F"],
    ["/#?", "/%23%3F"],
    ["/\u0080\u00e9\u00ff", "/%80%E9%FF"],
  ],
  "what may stand for itself does": same("/!$&'()*+,:;=@[]", "/-._~", "/ABCXYZabcxyz0189", "/a;x=1,y/b:c@d"),
  "a path with a NUL has no canonical form, escaped or not": [
    ["/\u0000", null],
    ["/a\u0000b", null],
    ["/%00", null],
    ["/a/%00/../b", null],
    ["/a\u0000/../b", null],
  ],
};

for (const [law, table] of Object.entries(TABLES)) {
  test(`canonicalizePath(): ${law}`, () => {
    for (const [path, canonical] of table)
      assert.equal(canonicalizePath(path), canonical, JSON.stringify(path));
  });
}

test("canonicalizePath() of a path that is longer than a call takes arguments keeps every character, in order", () => {
  for (const length of [4094, 4095, 4096, 4097, 8191, 8192, 200_000]) {
    const path = `/${Array.from({ length }, (_, index) => "abcdefghijk"[index % 11]).join("")}`;
    assert.ok(canonicalizePath(path) === path, `${length}`);
  }
});

test("isCanonicalCode(): exactly the characters that stand for themselves, the slash and the dot among them", () => {
  const canonical = Array.from({ length: 70_000 }, (_, code) => code).filter(isCanonicalCode);
  assert.equal(
    String.fromCharCode(...canonical),
    "!$&'()*+,-./0123456789:;=@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz~",
  );
});
