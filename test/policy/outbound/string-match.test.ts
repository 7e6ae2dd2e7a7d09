/** Strings of conditions: https://istio.io/latest/docs/reference/config/networking/virtual-service/#StringMatch */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StringMatch } from "../../../src/policy/outbound/resource-shapes.ts";
import {
  compilePattern,
  compileStringMatch,
  isPresenceMatch,
  parsePattern,
} from "../../../src/policy/outbound/string-match.ts";

/** The texts of a list that a condition takes. */
function taken(match: StringMatch, texts: readonly string[], ignoreCase?: boolean): readonly string[] {
  return texts.filter(compileStringMatch(match, ignoreCase));
}

describe("compileStringMatch()", () => {
  const PATHS = ["", "/", "/a", "/A", "/a/", "/a/b", "/A/B", "/ab", "/b", "x/a"];

  const CASES: readonly [name: string, match: StringMatch, ignoreCase: boolean, taken: readonly string[]][] =
    [
      ["exact takes that text", { exact: "/a" }, false, ["/a"]],
      ["exact takes any case of it where case is ignored", { exact: "/A" }, true, ["/a", "/A"]],
      ["exact of nothing takes nothing but the empty text", { exact: "" }, false, [""]],
      ["prefix takes what starts so", { prefix: "/a" }, false, ["/a", "/a/", "/a/b", "/ab"]],
      [
        "prefix takes any case of it where case is ignored",
        { prefix: "/A" },
        true,
        ["/a", "/A", "/a/", "/a/b", "/A/B", "/ab"],
      ],
      ["a longer prefix with case ignored does not take its own beginning", { prefix: "/AB" }, true, ["/ab"]],
      ["prefix of nothing takes all", { prefix: "" }, false, PATHS],
      ["a path prefix takes whole segments", { pathPrefix: "/a" }, false, ["/a", "/a/", "/a/b"]],
      ["a path prefix minds case", { pathPrefix: "/a" }, true, ["/a", "/a/", "/a/b"]],
      ["a regular expression is of the whole text", { regex: "/[ab]" }, false, ["/a", "/b"]],
      ["a regular expression minds case", { regex: "/[ab]" }, true, ["/a", "/b"]],
      ["a pattern that is none takes nothing", { regex: "/(a" }, false, []],
      ["what RE2 does not know takes nothing", { regex: "(?=/a).*" }, false, []],
      ["no condition takes all", {}, false, PATHS],
      ["exact stands before the others", { exact: "/a", prefix: "/b", pathPrefix: "/b" }, false, ["/a"]],
      ["prefix before path prefix", { prefix: "/b", pathPrefix: "/a" }, false, ["/b"]],
      ["path prefix before a regular expression", { pathPrefix: "/b", regex: "/a" }, false, ["/b"]],
    ];
  for (const [name, match, ignoreCase, expected] of CASES)
    test(name, () => assert.deepEqual(taken(match, PATHS, ignoreCase), expected));

  test("case is minded unless the caller says otherwise", () => {
    assert.deepEqual(taken({ exact: "/a" }, PATHS), ["/a"]);
    assert.deepEqual(taken({ prefix: "/A" }, PATHS), ["/A", "/A/B"]);
  });

  test("what folds to a different length is not the same text", () => {
    assert.deepEqual(taken({ exact: "İ" }, ["i\u0307", "İ"], true), ["i\u0307"]);
  });
});

test("isPresenceMatch(): no condition, or the regular expression `*`, which stands before the others", () => {
  const CASES: readonly [StringMatch, boolean][] = [
    [{}, true],
    [{ regex: "*" }, true],
    [{ regex: "*", exact: "a" }, true],
    [{ regex: ".*" }, false],
    [{ regex: "" }, false],
    [{ exact: "*" }, false],
    [{ exact: "" }, false],
    [{ prefix: "" }, false],
    [{ pathPrefix: "" }, false],
  ];
  for (const [match, expected] of CASES)
    assert.equal(isPresenceMatch(match), expected, JSON.stringify(match));
});

test("compilePattern() and parsePattern(): RE2, or nothing", () => {
  assert.deepEqual(["a", "aa", "ab", ""].filter(compilePattern("a+")), ["a", "aa"]);
  assert.deepEqual(["a", "a(", ""].filter(compilePattern("a(")), []);
  assert.equal(compilePattern("a(")("a("), false);
  assert.equal(parsePattern("a("), undefined);
  assert.equal(parsePattern("(a)(b)")?.groupCount(), 2);
});
