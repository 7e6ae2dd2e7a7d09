/** What is a token at all, as Envoy's jwt_verify_lib reads one: anything else is refused before keys are looked at. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseToken } from "../../../src/policy/jwt/token.ts";

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const tokenOf = (header: unknown, payload: unknown): string => `${encode(header)}.${encode(payload)}.c2ln`;
const HEAD = { alg: "ES256", kid: "k" };

test("a token's parts, with all that is read of them", () => {
  const claims = { iss: "i", aud: ["a", "b"], nbf: 1, exp: 2, iat: 3, sub: "s" };
  assert.deepEqual(parseToken(tokenOf(HEAD, claims)), {
    text: tokenOf(HEAD, claims),
    algorithm: "ES256",
    keyId: "k",
    issuer: "i",
    audiences: ["a", "b"],
    notBefore: 1,
    expires: 2,
    claims,
    payloadText: encode(claims),
  });
});

test("what a token need not have: without key, issuer, audience and times it holds always, for an empty issuer", () =>
  assert.deepEqual(parseToken(tokenOf({ alg: "none" }, {})), {
    text: tokenOf({ alg: "none" }, {}),
    algorithm: "none",
    keyId: null,
    issuer: "",
    audiences: [],
    notBefore: 0,
    expires: Number.POSITIVE_INFINITY,
    claims: {},
    payloadText: "e30",
  }));

test("one audience is a list of one; times may be 0", () => {
  const token = parseToken(tokenOf(HEAD, { aud: "a", nbf: 0, exp: 0, iat: 0 }));
  assert.deepEqual([token?.audiences, token?.notBefore, token?.expires], [["a"], 0, 0]);
});

test("dots without anything between them do not count", () => {
  const whole = tokenOf(HEAD, {});
  for (const text of [
    `.${whole}`,
    `${whole}.`,
    whole.replace(".", ".."),
    `..${whole.replaceAll(".", "...")}..`,
  ])
    assert.equal(parseToken(text)?.text, whole, text);
});

describe("no token", () => {
  const bytes = (payload: Uint8Array): string =>
    `${encode(HEAD)}.${Buffer.from(payload).toString("base64url")}.c2ln`;
  const head = encode(HEAD);
  for (const [why, text] of [
    ["nothing", ""],
    ["dots", ".."],
    ["one part", head],
    ["two parts", `${head}.e30`],
    ["an empty signature", `${head}.e30.`],
    ["four parts", `${head}.e30.c2ln.c2ln`],
    ["padding in the header", `${Buffer.from('{"alg":"ES256" }').toString("base64")}.e30.c2ln`],
    ["padding in the payload", `${head}.${Buffer.from('{"a":1}').toString("base64")}.c2ln`],
    ["a space in the payload", `${head}.e3 0.c2ln`],
    ["a signature that is no base64url", `${head}.e30.c2ln+`],
    ["a signature that begins as none", `${head}.e30.!c2ln`],
    ["something before the header", `! ${head}.e30.c2ln`],
    ["a header that is no JSON", "bm8.e30.c2ln"],
    ["a payload that is no JSON", `${head}.bm8.c2ln`],
    [
      "a payload of bytes that are no UTF-8",
      bytes(Uint8Array.of(0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d)),
    ],
    ["a header that is a list", tokenOf([], {})],
    ["a header that is null", tokenOf(null, {})],
    ["a header that is a text", tokenOf("alg", {})],
    ["a payload that is a list", tokenOf(HEAD, [])],
    ["a payload that is null", tokenOf(HEAD, null)],
    ["a payload that is a number", tokenOf(HEAD, 5)],
    ["a payload that is a text", tokenOf(HEAD, "x")],
    ["no algorithm", tokenOf({ kid: "k" }, {})],
    ["an algorithm that is no text", tokenOf({ alg: 1, kid: "k" }, {})],
    ["a key that is no text", tokenOf({ alg: "ES256", kid: 1 }, {})],
    ["a key that is null", tokenOf({ alg: "ES256", kid: null }, {})],
    ["an issuer that is no text", tokenOf(HEAD, { iss: 1 })],
    ["an issuer that is null", tokenOf(HEAD, { iss: null })],
    ["an audience that is no text", tokenOf(HEAD, { aud: 1 })],
    ["an audience that is null", tokenOf(HEAD, { aud: null })],
    ["an audience that is an object", tokenOf(HEAD, { aud: {} })],
    ["audiences of which one is no text", tokenOf(HEAD, { aud: ["a", 1] })],
    ...["nbf", "exp", "iat"].flatMap((name) =>
      ([-1, -0.5, 2 ** 64, "5", true, null, [1], {}] as const).map(
        (value) => [`${name}: ${JSON.stringify(value)}`, tokenOf(HEAD, { [name]: value })] as const,
      ),
    ),
  ] as const)
    test(why, () => assert.equal(parseToken(text), undefined));
});
