/** Audiences and claims as Envoy compares and writes them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isAudienceAllowed, sanitizeAudience } from "../../../src/policy/jwt/audience.ts";
import { claimText } from "../../../src/policy/jwt/claim-text.ts";

for (const [audience, bare] of [
  ["app", "app"],
  ["http://app", "app"],
  ["https://app/", "app"],
  ["app/", "app"],
  ["app//", "app/"],
  ["my-https://app", "my-https://app"],
  ["ftp://app", "ftp://app"],
  ["https://", ""],
  ["", ""],
] as const)
  test(`the audience ${JSON.stringify(audience)} is compared as ${JSON.stringify(bare)}`, () =>
    assert.equal(sanitizeAudience(audience), bare));

for (const [allowed, claim, expected] of [
  [[], [], true],
  [[], ["any"], true],
  [["app"], ["app"], true],
  [["app"], ["x", "https://app/"], true],
  [["app"], ["x"], false],
  [["app"], [], false],
  // A token without audiences is one for an empty name.
  [[""], [], true],
  [[""], ["x"], false],
] as const)
  test(`of audiences ${JSON.stringify(allowed)} a token for ${JSON.stringify(claim)} is ${expected ? "" : "not "}allowed`, () =>
    assert.equal(isAudienceAllowed(new Set(allowed), claim), expected));

const base64url = (text: string): string =>
  Buffer.from(text).toString("base64").replaceAll("+", "-").replaceAll("/", "_");

for (const [claims, path, expected] of [
  [{ a: "x" }, "a", "x"],
  [{ a: " x\t" }, "a", "x"],
  [{ a: "a\tb" }, "a", "a\tb"],
  [{ a: { b: { c: "deep" } } }, "a.b.c", "deep"],
  [{ a: { b: "x" } }, "a.c", undefined],
  [{ a: null }, "a", undefined],
  [{ a: null }, "a.b", undefined],
  [{}, "a", undefined],
  [{}, "a.b", undefined],
  // What JavaScript gives every value is no claim.
  [{ a: "text" }, "a.length", undefined],
  [{}, "constructor.name", undefined],
  [{ a: [7, 8] }, "a.1", "8"],
  [{ a: "" }, "a", undefined],
  [{ a: "  " }, "a", undefined],
  [{ a: "x\ny" }, "a", undefined],
  [{ a: "x\u0000" }, "a", undefined],
  [{ a: "x\u007f" }, "a", undefined],
  [{ a: "€" }, "a", "\u00e2\u0082\u00ac"],
  [{ a: true }, "a", "true"],
  [{ a: false }, "a", "false"],
  [{ a: 0 }, "a", "0"],
  [{ a: 12 }, "a", "12"],
  [{ a: -1 }, "a", "-1.000000"],
  [{ a: 0.5 }, "a", "0.500000"],
  [{ a: 2 ** 53 }, "a", "9007199254740992"],
  [{ a: 2 ** 63 }, "a", "9223372036854775808.000000"],
  [{ a: 1e21 }, "a", "1000000000000000000000.000000"],
  [{ a: -1e21 }, "a", "-1000000000000000000000.000000"],
  [{ a: 2e22 }, "a", "20000000000000000000000.000000"],
  [{ a: ["?>", "~~"] }, "a", base64url('["?>","~~"]')],
  [{ a: { b: "ÿÿ" } }, "a", base64url('{"b":"ÿÿ"}')],
] as const)
  test(`of ${JSON.stringify(claims)} the claim ${path} is written as ${JSON.stringify(expected)}`, () =>
    assert.equal(claimText(claims, path), expected));
