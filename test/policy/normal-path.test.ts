import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isNormalPath } from "../../src/policy/normal-path.ts";
import { normalizePath, type PathNormalization } from "../../src/policy/normalize-path.ts";

const MODES: readonly PathNormalization[] = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];

/** Target, and the number of modes, in the order above, in which it is known to be normal without being taken apart. */
const TARGETS: readonly (readonly [string, 0 | 2 | 4])[] = [
  ["/", 4],
  ["/accounts/7", 4],
  ["/a-b_c~d/e.f;g=h,i@j:k!$&'()*+[]", 4],
  ["/a./b..c/d.", 4],
  ["/a/", 4],
  ["/a?", 4],
  ["/a?b=%2e%2e/../x?y", 4],
  ["/a?!~", 4],
  ["/?a//b/./c", 4],
  ["/a//b", 2],
  ["//", 2],
  ["//a?b", 2],
  ["/./a", 0],
  ["/a/..", 0],
  ["/.well-known", 0],
  ["/a%61", 0],
  ["/a\\b", 0],
  ["/a^b", 0],
  ["/a b", 0],
  ["/a#b", 0],
  ["/é", 0],
  ["/a\u0000", 0],
  ["/a?b#c", 0],
  ["/a?b c", 0],
  ["/a?b\u001f", 0],
  ["/a?b\u007f", 0],
  ["/a?é", 0],
  ["", 0],
  ["a", 0],
  ["?", 0],
  ["*", 0],
];

for (const [target, modes] of TARGETS)
  test(`${JSON.stringify(target)} is normal already in ${modes} of the modes`, () => {
    assert.deepEqual(
      MODES.map((mode) => isNormalPath(mode, target)),
      MODES.map((_, place) => place < modes),
    );
  });

test("a path that is normal already is what normalizing makes of it", () => {
  const target = fc.string({
    unit: fc.constantFrom("/", ".", "a", "%2e", "?", "#", ";", "\\", " "),
    maxLength: 8,
  });
  fc.assert(
    fc.property(target, fc.constantFrom(...MODES), (rest, mode) => {
      const path = `/${rest}`;
      // A fragment at the end of nothing keeps the fast way out of it.
      if (isNormalPath(mode, path)) assert.equal(normalizePath(mode, `${path}#`), path);
    }),
    { seed: 20261122, numRuns: 1500 },
  );
});
