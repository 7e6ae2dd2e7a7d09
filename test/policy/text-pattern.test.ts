import assert from "node:assert/strict";
import { test } from "node:test";
import { joinedField } from "../../src/policy/joined-field.ts";
import { compileTextPatterns, matchesPresentText, matchesText } from "../../src/policy/text-pattern.ts";
import { expandPrincipals, expandTrustDomains } from "../../src/policy/trust-domain-alias.ts";

test("compileTextPatterns() takes strings apart: `*`, `*suffix`, `prefix*`, else exact", () => {
  assert.deepEqual(compileTextPatterns(["a", "b*", "*c", "*", "*d*", "e*f", "", "**"]), {
    any: true,
    exact: new Set(["a", "e*f", ""]),
    prefixes: ["b"],
    suffixes: ["c", "d*", "*"],
  });
  assert.deepEqual(compileTextPatterns([]), { any: false, exact: new Set(), prefixes: [], suffixes: [] });
});

/** Patterns, text, and whether it matches as a text, and as one that has to be present. */
const TEXTS: readonly (readonly [string[], string, boolean, boolean])[] = [
  [["a"], "a", true, true],
  [["a"], "A", false, false],
  [["a"], "ab", false, false],
  [["a*"], "a", true, true],
  [["a*"], "ab", true, true],
  [["a*"], "ba", false, false],
  [["*a"], "a", true, true],
  [["*a"], "ba", true, true],
  [["*a"], "ab", false, false],
  [["*"], "a", true, true],
  [["*"], "", false, true],
  [["*"], "a\nb", false, true],
  [["*", "a*"], "a\nb", true, true],
  [[""], "", true, true],
  [[], "", false, false],
  [["x", "y*", "*z"], "w", false, false],
];

for (const [values, text, asText, present] of TEXTS)
  test(`${JSON.stringify(values)} and ${JSON.stringify(text)}: ${asText}, and ${present} where presence counts`, () => {
    const patterns = compileTextPatterns(values);
    assert.deepEqual([matchesText(patterns, text), matchesPresentText(patterns, text)], [asText, present]);
  });

const HEADERS = [
  "a",
  "1",
  "b",
  "",
  "a",
  "2",
  "c",
  "",
  "c",
  "3",
  "b",
  "",
  "1",
  "x",
  "d",
  "4",
  "d",
  "",
  "d",
  "5",
];

test("joinedField() joins what is not empty by commas, and is null where there is no such field", () => {
  assert.deepEqual(
    ["a", "b", "c", "d", "1", "e", "5"].map((name) => joinedField(HEADERS, name)),
    ["1,2", "", "3", "4,5", "x", null, null],
  );
  assert.equal(joinedField([], "a"), null);
});

const MESH = ["my.domain", "old.domain", "older"];
const principals = (value: string, domains: readonly string[] = MESH) => expandPrincipals([value], domains);
const REST = "ns/foo/sa/a";

/** Principal as written, and what it stands for in a mesh of `my.domain`, formerly `old.domain` and `older`. */
const EXPANDED: readonly (readonly [string, string[]])[] = [
  [`my.domain/${REST}`, MESH.map((domain) => `${domain}/${REST}`)],
  [`older/${REST}`, MESH.map((domain) => `${domain}/${REST}`)],
  [`cluster.local/${REST}`, MESH.map((domain) => `${domain}/${REST}`)],
  [`other/${REST}`, [`other/${REST}`]],
  [`*/${REST}`, [`*/${REST}`]],
  ["*", ["*"]],
  ["my.domain/ns/foo", ["my.domain/ns/foo"]],
  [`my.domain/${REST}/more`, [`my.domain/${REST}/more`]],
  ["my.domain/*", ["my.domain/*"]],
  ["", [""]],
  [`my*/${REST}`, MESH.map((domain) => `${domain}/${REST}`)],
  [`your*/${REST}`, [`your*/${REST}`]],
  // A domain that the pattern fits already stays with it.
  [`*.domain/${REST}`, [`*.domain/${REST}`, `older/${REST}`]],
  [`*main/${REST}`, [`*main/${REST}`, `older/${REST}`]],
  [`*else/${REST}`, [`*else/${REST}`]],
];

for (const [written, expected] of EXPANDED)
  test(`the principal ${JSON.stringify(written)} stands for ${expected.length}`, () => {
    assert.deepEqual(principals(written), expected);
  });

test("trust domains of the mesh that are patterns themselves overlap with what they fit", () => {
  assert.deepEqual(principals(`a.b/${REST}`, ["a.*"]), [`a.*/${REST}`]);
  assert.deepEqual(principals(`a.b/${REST}`, ["*.b"]), [`*.b/${REST}`]);
  assert.deepEqual(principals(`a.b/${REST}`, ["*"]), [`*/${REST}`]);
  assert.deepEqual(principals(`a.b/${REST}`, ["a.c*", "*.c"]), [`a.b/${REST}`]);
});

test("expandPrincipals() expands each in its place; expandTrustDomains() the mesh's own, each once", () => {
  assert.deepEqual(expandPrincipals(["*", `b/${REST}`, "x"], ["a", "b"]), [
    "*",
    `a/${REST}`,
    `b/${REST}`,
    "x",
  ]);
  assert.deepEqual(expandTrustDomains(["x", "older", "my.domain", "old*", "x"], MESH), [
    "x",
    ...MESH,
    "old*",
  ]);
  assert.deepEqual(expandTrustDomains(["cluster.local"], MESH), ["cluster.local"]);
});
