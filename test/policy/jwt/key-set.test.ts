/** Which keys of a JWKS document verify which tokens. */
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, test } from "node:test";
import { CompactSign, type JWK } from "jose";
import { KeySet, KeySets } from "../../../src/policy/jwt/key-set.ts";
import { parseToken } from "../../../src/policy/jwt/token.ts";

interface Pair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const PAIRS = {
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  p256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  otherP256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  p384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  p521: generateKeyPairSync("ec", { namedCurve: "P-521" }),
  ed25519: generateKeyPairSync("ed25519"),
} as const satisfies Record<string, Pair>;
type PairName = keyof typeof PAIRS;

const jwkOf = (name: PairName, rest: JWK = {}): JWK => ({
  ...(PAIRS[name].publicKey.export({ format: "jwk" }) as JWK),
  ...rest,
});

const setOf = (...keys: readonly unknown[]): KeySet => new KeySet(JSON.stringify({ keys }));

async function tokenBy(name: PairName, alg: string, kid?: string): Promise<string> {
  return await new CompactSign(new TextEncoder().encode("{}"))
    .setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }) })
    .sign(PAIRS[name].privateKey);
}

async function verifies(set: KeySet, text: string): Promise<boolean> {
  const token = parseToken(text);
  assert.ok(token !== undefined);
  return await set.verifies(token);
}

const ALGORITHMS = [
  ["RS256", "rsa"],
  ["RS384", "rsa"],
  ["RS512", "rsa"],
  ["PS256", "rsa"],
  ["PS384", "rsa"],
  ["PS512", "rsa"],
  ["ES256", "p256"],
  ["ES384", "p384"],
  ["ES512", "p521"],
  ["EdDSA", "ed25519"],
] as const;

describe("algorithms", () => {
  for (const [alg, name] of ALGORITHMS)
    test(`${alg} is taken, of a key that says so and of one that says nothing, with any of several in the set`, async () => {
      const text = await tokenBy(name, alg);
      assert.ok(await verifies(setOf(jwkOf(name, { alg })), text));
      assert.ok(await verifies(setOf(...(Object.keys(PAIRS) as PairName[]).map((key) => jwkOf(key))), text));
      assert.ok(!(await verifies(setOf(), text)));
    });

  test("an HMAC made with what everybody knows of a key is not taken, nor is one made with a secret in the set", async () => {
    const secret = Buffer.from("a secret that is long enough for it").toString("base64url");
    const text = await new CompactSign(new TextEncoder().encode("{}"))
      .setProtectedHeader({ alg: "HS256" })
      .sign(Buffer.from(secret, "base64url"));
    assert.ok(!(await verifies(setOf({ kty: "oct", k: secret }), text)));
    assert.ok(!(await verifies(setOf({ kty: "oct", k: secret, alg: "HS256" }), text)));
  });
});

describe("choice of keys", () => {
  for (const [key, header, expected] of [
    [{}, {}, true],
    [{ kid: "a" }, {}, true],
    [{}, { kid: "a" }, true],
    [{ kid: "a" }, { kid: "a" }, true],
    [{ kid: "a" }, { kid: "b" }, false],
    [{ alg: "ES256" }, {}, true],
    [{ alg: "ES384" }, {}, false],
    [{ kid: "a", alg: "ES384" }, { kid: "a" }, false],
    [{ kid: "b", alg: "ES256" }, { kid: "a" }, false],
    [{ kty: "RSA" }, {}, false],
  ] as const)
    test(`a key with ${JSON.stringify(key)} ${expected ? "is" : "is not"} tried for a token with ${JSON.stringify(header)}`, async () => {
      const { kid } = header as { kid?: string };
      assert.equal(await verifies(setOf(jwkOf("p256", key)), await tokenBy("p256", "ES256", kid)), expected);
    });

  test("a key for one algorithm does not verify another of its type", async () =>
    assert.ok(!(await verifies(setOf(jwkOf("rsa", { alg: "RS256" })), await tokenBy("rsa", "PS256")))));

  test("each key of a set is tried, and one key for each algorithm of its type", async () => {
    const set = setOf(jwkOf("otherP256"), jwkOf("p256"), jwkOf("rsa"));
    for (const [name, alg] of [
      ["p256", "ES256"],
      ["otherP256", "ES256"],
      ["rsa", "PS256"],
      ["rsa", "RS256"],
      ["p256", "ES256"],
    ] as const)
      assert.ok(await verifies(set, await tokenBy(name, alg)), `${name} ${alg}`);
  });

  test("a key that cannot be used is as none, the ones after it count", async () => {
    const text = await tokenBy("p256", "ES256");
    const broken = { kty: "EC", crv: "P-256", x: "AA", y: "AA" };
    assert.ok(!(await verifies(setOf(broken), text)));
    assert.ok(await verifies(setOf(broken, null, 5, "x", {}, jwkOf("p256")), text));
  });

  test("a key is imported once for an algorithm, however many tokens it verifies", async () => {
    const set = setOf(jwkOf("p256"));
    const text = await tokenBy("p256", "ES256");
    const { subtle } = globalThis.crypto;
    const importKey = subtle.importKey;
    let imports = 0;
    Object.defineProperty(subtle, "importKey", {
      configurable: true,
      value: (...args: Parameters<typeof importKey>) => {
        imports += 1;
        return importKey.apply(subtle, args);
      },
    });
    try {
      for (let tokens = 0; tokens < 3; tokens++) assert.ok(await verifies(set, text));
    } finally {
      Reflect.deleteProperty(subtle, "importKey");
    }
    assert.equal(imports, 1);
  });
});

describe("names()", () => {
  for (const [document, expected] of [
    ['{"keys":[{"kid":"k"}]}', true],
    ['{"keys":[{"kid":"a"},{"kid":"k"}]}', true],
    ['{"keys":[{"kid":"a"},{"kty":"EC"}]}', true],
    ['{"keys":[{"kid":"a"}]}', false],
    ['{"keys":[]}', false],
    ['{"keys":[null,5,"k"]}', false],
    ['{"keys":{"kid":"k"}}', false],
    ["{}", false],
    ["null", false],
    ["<html>", false],
  ] as const)
    test(`${document} ${expected ? "may have" : "has not"} key k`, () =>
      assert.equal(new KeySet(document).names("k"), expected));
});

test("KeySets keeps one set for each document, and begins anew when there are too many", () => {
  const sets = new KeySets(2);
  const [a, b] = [sets.of("a"), sets.of("b")];
  assert.notEqual(a, b);
  assert.deepEqual([sets.of("a") === a, sets.of("b") === b], [true, true]);
  const c = sets.of("c");
  assert.deepEqual([sets.of("c") === c, sets.of("a") === a, sets.of("b") === b], [true, false, false]);
});
