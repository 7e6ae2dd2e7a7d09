import assert from "node:assert/strict";
import { test } from "node:test";
import { isPathTemplate, matchesPathTemplate, parsePathTemplate } from "../../src/policy/path-template.ts";

test("isPathTemplate(): what has an operator in braces; a bare star is none", () => {
  const texts = ["/a/{*}", "/{**}", "/a{*}b", "/a/*", "/a/**", "/{a}", "/{***}", "/{*", ""];
  assert.deepEqual(texts.filter(isPathTemplate), ["/a/{*}", "/{**}", "/a{*}b"]);
});

/** Template, and its parts: literals and segments (null), what follows `{**}` (null where it has none); undefined where Envoy would not take it. */
const TEMPLATES: readonly (readonly [string, readonly [(string | null)[], string | null] | undefined])[] = [
  ["/a/{*}", [["/a/", null], null]],
  ["/{*}/b/{*}", [["/", null, "/b/", null], null]],
  // Validation refuses it; Istio writes it down for Envoy as this.
  ["/{*}{*}", [["/"], ""]],
  ["/{**}", [["/"], ""]],
  ["/a/{**}/b.js", [["/a/"], "/b.js"]],
  ["/{*}/{**}", [["/", null, "/"], ""]],
  ["/a", [["/a"], null]],
  ["/a/*/{*}", [["/a/", null, "/", null], null]],
  ["/a/**", [["/a/"], ""]],
  ["/-._~%!$&'()+,;:@=9Zz/{*}", [["/-._~%!$&'()+,;:@=9Zz/", null], null]],
  ["/{**}/{*}", undefined],
  ["/{**}/{**}", undefined],
  ["/{**}/[", undefined],
  ["/{**}[", undefined],
  ["/[a/{*}", undefined],
  ["/a]/{*}", undefined],
  ["[/{*}", undefined],
  ["/{*}/{b}", undefined],
  ["/{*}\\", undefined],
  ["/{*}?a", undefined],
  ["//{*}", undefined],
  ["/a//{*}", undefined],
  ["a/{*}", undefined],
  ["{*}", undefined],
  ["", undefined],
];

for (const [template, expected] of TEMPLATES)
  test(`the path template ${JSON.stringify(template)} is ${expected === undefined ? "none" : JSON.stringify(expected)}`, () => {
    const made = parsePathTemplate(template);
    assert.deepEqual(made && [made.head, made.tail], expected);
  });

/** Template, paths that match, paths that do not. */
const MATCHES: readonly (readonly [string, string[], string[]])[] = [
  [
    "/a/{*}",
    ["/a/b", "/a/%41", "/a/-._~!$&'()+,;:@="],
    ["/a/", "/a", "/a/b/c", "/a/b/", "/b/a", "/a/[", "/a/b*", "/a/é"],
  ],
  ["/{*}/b", ["/a/b"], ["/b", "//b", "/a/b/", "/a/c", "/a/x/b", "/a"]],
  ["/a{*}b", [], ["/ab", "/axb", "/a/b"]],
  ["/{**}", ["/", "/a", "/a/b/", "//"], ["", "/[", "/a\\b", "/a*b", "/é", "/a/]"]],
  ["/a/{**}", ["/a/", "/a/b", "/a/b/c"], ["/a", "/b/a/", "/ab"]],
  ["/a/{**}/z", ["/a//z", "/a/b/z", "/a/b/c/z", "/a/z/z"], ["/a/z", "/a/b/zz", "/a/b", "/a/[/z", "/z"]],
  ["/a/{**}a/", ["/a/a/", "/a/xa/"], ["/a/", "/a/a"]],
  ["/{*}/{**}.js", ["/a/.js", "/a/b/c.js"], ["/a.js", "/a/b.jsx", "//.js"]],
  ["/a", ["/a"], ["/", "/ab", "/b"]],
];

for (const [text, yes, no] of MATCHES)
  test(`the path template ${text} matches ${yes.length} of the paths and not ${no.length}`, () => {
    const template = parsePathTemplate(text);
    assert.ok(template !== undefined);
    assert.deepEqual(
      [...yes, ...no].filter((path) => matchesPathTemplate(template, path)),
      yes,
    );
  });
