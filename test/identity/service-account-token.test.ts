import assert from "node:assert/strict";
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmodSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, type TestContext, test } from "node:test";
import fc from "fast-check";
import { decodeJwt, decodeProtectedHeader, type JWTPayload, SignJWT } from "jose";
import { readPrivateKey } from "../../src/identity/key-store.ts";
import {
  CA_AUDIENCE,
  DEFAULT_TOKEN_ISSUER,
  openTokenIssuer,
  type ServiceAccountTokenIssuer,
} from "../../src/identity/service-account-token.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { SEED, temporaryFolder } from "./mesh-fixture.ts";

const NOW = Date.UTC(2026, 7, 1, 12);
const NOW_SECONDS = NOW / 1000;
const SUBJECT = {
  namespace: "finance",
  serviceAccount: { name: "account-auditor", uid: "sa-1" },
  pod: { name: "account-auditor-0", uid: "pod-1" },
};
const FOR_CA = { audience: CA_AUDIENCE };
const attacker = generateKeyPairSync("ec", { namedCurve: "P-256" });

/** Undefined takes a claim out. */
type ClaimChanges = Readonly<Record<string, unknown>>;

interface Fixture {
  readonly issuer: ServiceAccountTokenIssuer;
  readonly key: KeyObject;
  readonly kid: string;
  readonly setNow: (ms: number) => void;
}

async function fixture(t: TestContext): Promise<Fixture> {
  const folder = temporaryFolder(t);
  let now = NOW;
  const issuer = await openTokenIssuer(folder, { clock: () => now });
  const key = readPrivateKey(join(folder, "tokens", "issuer.key.pem")) ?? assert.fail();
  const kid = issuer.jwks.keys[0]?.kid ?? assert.fail();
  const setNow = (ms: number) => {
    now = ms;
  };
  return { issuer, key, kid, setNow };
}

function claims(change: ClaimChanges = {}): JWTPayload {
  return {
    iss: DEFAULT_TOKEN_ISSUER,
    aud: [CA_AUDIENCE],
    sub: "system:serviceaccount:finance:account-auditor",
    iat: NOW_SECONDS,
    nbf: NOW_SECONDS,
    exp: NOW_SECONDS + 600,
    "kubernetes.io": { namespace: "finance", serviceaccount: SUBJECT.serviceAccount, pod: SUBJECT.pod },
    ...change,
  };
}

function encode(value: unknown): string {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
}

test("mintToken() makes the token that an API server would, and verifyToken() reads it", async (t) => {
  const { issuer, kid } = await fixture(t);
  const jwt = await issuer.mintToken(SUBJECT);
  assert.deepEqual(decodeProtectedHeader(jwt), { alg: "ES256", kid });
  const { jti: tokenId, ...others } = decodeJwt(jwt);
  assert.deepEqual(others, claims({ exp: NOW_SECONDS + 3600 }));
  assert.match(tokenId ?? "", /^[0-9a-f-]{36}$/);
  assert.deepEqual(await issuer.verifyToken(jwt, FOR_CA), {
    ...SUBJECT,
    tokenId,
    issuedAt: new Date(NOW),
    notAfter: new Date(NOW + 3_600_000),
  });
});

test("openTokenIssuer() keeps its key, mode 0600, and publishes no private part", async (t) => {
  const folder = temporaryFolder(t);
  const first = await openTokenIssuer(folder);
  const second = await openTokenIssuer(folder);
  assert.deepEqual(second.jwks, first.jwks);
  assert.ok(await second.verifyToken(await first.mintToken(SUBJECT), FOR_CA));
  assert.equal("d" in (first.jwks.keys[0] ?? {}), false);
  const path = join(folder, "tokens", "issuer.key.pem");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  chmodSync(path, 0o644);
  await assert.rejects(openTokenIssuer(folder), { code: "BW_KEYSTORE_FILE_MODE" });
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  writeFileSync(path, rsa.export({ type: "pkcs8", format: "pem" }));
  chmodSync(path, 0o600);
  await assert.rejects(openTokenIssuer(folder), { code: "BW_TOKEN_ISSUER_KEY" });
});

test("openTokenIssuer() several times at once ends in one key", async (t) => {
  const folder = temporaryFolder(t);
  const issuers = await Promise.all(Array.from({ length: 4 }, () => openTokenIssuer(folder)));
  assert.equal(new Set(issuers.map((issuer) => issuer.jwks.keys[0]?.kid)).size, 1);
});

test("verifyToken() refuses a token from its end on, and before its beginning", async (t) => {
  const { issuer, setNow } = await fixture(t);
  const jwt = await issuer.mintToken({ ...SUBJECT, ttlSeconds: 10 });
  setNow(NOW + 9_000);
  assert.ok(await issuer.verifyToken(jwt, FOR_CA));
  setNow(NOW + 10_000);
  await assert.rejects(issuer.verifyToken(jwt, FOR_CA), { code: "BW_TOKEN_EXPIRED" });
  setNow(NOW - 1_000);
  await assert.rejects(issuer.verifyToken(jwt, FOR_CA), { code: "BW_TOKEN_NOT_YET_VALID" });
});

test("verifyToken() refuses the token of a pod that is gone", async (t) => {
  const { issuer } = await fixture(t);
  const jwt = await issuer.mintToken(SUBJECT);
  const isPodLive = (uid: string) => ({ ...FOR_CA, isPodLive: (s: typeof SUBJECT) => s.pod.uid === uid });
  assert.ok(await issuer.verifyToken(jwt, isPodLive("pod-1")));
  await assert.rejects(issuer.verifyToken(jwt, isPodLive("pod-2")), { code: "BW_TOKEN_POD_GONE" });
});

test("mintToken() refuses absurd lifetimes", async (t) => {
  const { issuer } = await fixture(t);
  for (const ttlSeconds of [0, -1, Number.NaN, 86_401]) {
    await assert.rejects(issuer.mintToken({ ...SUBJECT, ttlSeconds }), { code: "BW_TOKEN_TTL_INVALID" });
  }
});

type Forge = (fixture: Fixture) => string | Promise<string>;

const signed =
  (change: ClaimChanges, header: { alg?: string; kid?: string; crit?: string[] } = {}): Forge =>
  ({ key, kid }) =>
    new SignJWT(claims(change)).setProtectedHeader({ alg: "ES256", kid, ...header }).sign(key);

const bound = (change: object): ClaimChanges => ({
  "kubernetes.io": { ...Object(claims()["kubernetes.io"]), ...change },
});

const FORGERIES: ReadonlyArray<readonly [what: string, forge: Forge, code: string]> = [
  ["for another audience", signed({ aud: ["vault"] }), "BW_TOKEN_AUDIENCE"],
  ["for an audience that contains the right one", signed({ aud: ["istio-ca.evil"] }), "BW_TOKEN_AUDIENCE"],
  ["without an audience", signed({ aud: undefined }), "BW_TOKEN_AUDIENCE"],
  ["of another issuer", signed({ iss: "https://evil.example" }), "BW_TOKEN_ISSUER"],
  ["without an issuer", signed({ iss: undefined }), "BW_TOKEN_ISSUER"],
  ["without an end", signed({ exp: undefined }), "BW_TOKEN_CLAIMS"],
  ["whose end is text", signed({ exp: "never" }), "BW_TOKEN_CLAIMS"],
  ["without a subject", signed({ sub: undefined }), "BW_TOKEN_CLAIMS"],
  [
    "whose subject is another account",
    signed({ sub: "system:serviceaccount:finance:payroll" }),
    "BW_TOKEN_CLAIMS",
  ],
  ["of a user", signed({ sub: "system:admin" }), "BW_TOKEN_CLAIMS"],
  ["without bound claims", signed({ "kubernetes.io": undefined }), "BW_TOKEN_CLAIMS"],
  ["bound to no pod", signed(bound({ pod: undefined })), "BW_TOKEN_CLAIMS"],
  ["whose namespace is a list", signed(bound({ namespace: ["finance"] })), "BW_TOKEN_CLAIMS"],
  [
    "whose namespace holds a colon",
    signed({
      ...bound({ namespace: "finance:x", serviceaccount: { name: "account", uid: "u" } }),
      sub: "system:serviceaccount:finance:x:account",
    }),
    "BW_TOKEN_CLAIMS",
  ],
  ["that is expired", signed({ exp: NOW_SECONDS - 1 }), "BW_TOKEN_EXPIRED"],
  ["that is not valid yet", signed({ nbf: NOW_SECONDS + 60 }), "BW_TOKEN_NOT_YET_VALID"],
  ["of a key that is not the issuer's", signed({}, { kid: "other" }), "BW_TOKEN_UNKNOWN_KEY"],
  [
    "with a header that must be understood",
    ({ key, kid }) =>
      new SignJWT(claims())
        .setProtectedHeader({ alg: "ES256", kid, crit: ["x"], x: 1 })
        .sign(key, { crit: { x: true } }),
    "BW_TOKEN_UNVERIFIABLE",
  ],
  [
    "signed by an attacker under the issuer's key id",
    ({ kid }) => new SignJWT(claims()).setProtectedHeader({ alg: "ES256", kid }).sign(attacker.privateKey),
    "BW_TOKEN_SIGNATURE",
  ],
  [
    "that brings its own key",
    () =>
      new SignJWT(claims())
        .setProtectedHeader({
          alg: "ES256",
          jwk: createPublicKey(attacker.privateKey).export({ format: "jwk" }),
        })
        .sign(attacker.privateKey),
    "BW_TOKEN_SIGNATURE",
  ],
  [
    "without a signature",
    ({ kid }) => `${encode({ alg: "none", kid })}.${encode(claims())}.`,
    "BW_TOKEN_ALGORITHM",
  ],
  [
    "with the public key used as a secret",
    ({ key, kid }) => {
      const input = `${encode({ alg: "HS256", kid })}.${encode(claims())}`;
      const secret = createPublicKey(key).export({ type: "spki", format: "pem" });
      return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
    },
    "BW_TOKEN_ALGORITHM",
  ],
  [
    "whose claims were changed",
    async ({ issuer }) => {
      const [header, , signature] = (await issuer.mintToken(SUBJECT)).split(".");
      return `${header}.${encode(claims({ sub: "system:serviceaccount:finance:payroll" }))}.${signature}`;
    },
    "BW_TOKEN_SIGNATURE",
  ],
  ["that is empty", () => "", "BW_TOKEN_MALFORMED"],
  ["of two parts", () => "a.b", "BW_TOKEN_MALFORMED"],
  ["whose header is no JSON", () => `${encode("{")}.${encode(claims())}.AA`, "BW_TOKEN_MALFORMED"],
  ["of 9,000 characters", () => `${"a".repeat(8998)}..`, "BW_TOKEN_MALFORMED"],
];

for (const [what, forge, code] of FORGERIES) {
  test(`verifyToken() refuses a token ${what} with ${code}, and quotes nothing of it`, async (t) => {
    const made = await fixture(t);
    const jwt = await forge(made);
    await assert.rejects(made.issuer.verifyToken(jwt, FOR_CA), (error: unknown) => {
      assert.ok(error instanceof BulwarkError);
      assert.equal(error.code, code);
      assert.equal(error.cause, undefined);
      const told = error.message + JSON.stringify(error.detail);
      for (const part of jwt.split(".")) assert.equal(part.length > 8 && told.includes(part), false);
      return true;
    });
  });
}

let sample: { issuer: ServiceAccountTokenIssuer; jwt: string } | undefined;
before(async (t) => {
  const { issuer } = await fixture(t as TestContext);
  sample = { issuer, jwt: await issuer.mintToken(SUBJECT) };
});

test("verifyToken() refuses every mutation by a BulwarkError", async () => {
  const { issuer, jwt } = sample ?? assert.fail();
  const text = fc.tuple(fc.nat(jwt.length - 1), fc.constantFrom("A", "z", ".", "_", "=", "\0", "é"));
  await fc.assert(
    fc.asyncProperty(text, async ([at, character]) => {
      const mutated = jwt.slice(0, at) + character + jwt.slice(at + 1);
      if (mutated === jwt) return true;
      try {
        // The last character of a base64url part has bits that mean nothing: the same signature, spelt otherwise.
        const same = (await issuer.verifyToken(mutated, FOR_CA)).pod.uid === SUBJECT.pod.uid;
        return same && at === jwt.length - 1;
      } catch (error) {
        return error instanceof BulwarkError;
      }
    }),
    { seed: SEED, numRuns: 300 },
  );
});
