import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { SignJWT } from "jose";
import { signJwtSvid, validateJwtSvid } from "../../src/identity/jwt-svid/jwt-svid.ts";
import { JwtSvidKeys } from "../../src/identity/jwt-svid/jwt-svid-keys.ts";
import type { TrustBundle } from "../../src/identity/spiffe-bundle.ts";
import { workloadSpiffeId } from "../../src/model/spiffe-id.ts";
import { AUDITOR, CLUSTER_LOCAL, temporaryFolder, trustDomain } from "./mesh-fixture.ts";

const HOUR_MS = 3_600_000;
const NOW_MS = Date.parse("2026-11-22T12:00:00Z");
const OTHER = trustDomain("other.example");

async function keysAt(context: TestContext, folder = temporaryFolder(context)) {
  const time = { nowMs: NOW_MS };
  const keys = await JwtSvidKeys.open(folder, { clock: () => time.nowMs });
  return { keys, time, folder };
}

function bundleOf(keys: JwtSvidKeys, domain = CLUSTER_LOCAL): TrustBundle {
  const { authorities: jwtAuthorities } = keys;
  return { trustDomain: domain, x509Authorities: [], jwtAuthorities, sequence: 1, refreshHintSeconds: 1 };
}

const request = { identity: AUDITOR, audiences: ["there"], ttlSeconds: 300, nowMs: NOW_MS };

test("a key is published an hour before it signs, and stays an hour after its last signature", async (context) => {
  const { keys, time, folder } = await keysAt(context);
  const first = keys.signing.kid;
  time.nowMs += 23 * HOUR_MS - 1;
  assert.equal(await keys.rotate(), false);
  time.nowMs += 1;
  assert.equal(await keys.rotate(), true);
  const kids = keys.authorities.map(({ kid }) => kid);
  assert.equal(kids.length, 2);
  assert.equal(keys.signing.kid, first, "the new one is only published yet");
  time.nowMs += HOUR_MS;
  assert.equal(keys.signing.kid, kids[1]);
  assert.equal(await keys.rotate(), false);
  assert.deepEqual(
    keys.authorities.map(({ kid }) => kid),
    kids,
  );
  time.nowMs += HOUR_MS;
  assert.equal(await keys.rotate(), true);
  assert.deepEqual(
    keys.authorities.map(({ kid }) => kid),
    [kids[1]],
  );
  assert.deepEqual(readdirSync(folder).sort(), [`${kids[1]}.key.pem`, "keys.json"].sort());
});

test("every token of a running service can be verified with the bundle of an hour before, over a week", async (context) => {
  const { keys, time } = await keysAt(context);
  let published = bundleOf(keys);
  for (let at = 0; at < 7 * 24 * 2; at++) {
    await keys.rotate();
    const token = await signJwtSvid(keys.signing, { ...request, nowMs: time.nowMs });
    await validateJwtSvid(token, "there", () => published, time.nowMs);
    if (at % 2 === 1) published = bundleOf(keys);
    time.nowMs += HOUR_MS / 2;
  }
  assert.ok(keys.authorities.length <= 3);
});

test("keys outlive the process that made them, and are for their owner only", async (context) => {
  const { keys, folder, time } = await keysAt(context);
  const again = await JwtSvidKeys.open(folder, { clock: () => time.nowMs });
  assert.deepEqual(again.authorities, keys.authorities);
  for (const name of readdirSync(folder)) assert.equal(statSync(join(folder, name)).mode & 0o077, 0, name);
  rmSync(join(folder, `${keys.signing.kid}.key.pem`));
  await assert.rejects(JwtSvidKeys.open(folder), { code: "BW_JWT_SVID_KEYS_DAMAGED" });
  writeFileSync(
    join(folder, "keys.json"),
    JSON.stringify({ format: 1, keys: [{ kid: "../x", createdAtMs: 0 }] }),
    { mode: 0o600 },
  );
  await assert.rejects(JwtSvidKeys.open(folder), { code: "BW_JWT_SVID_KEYS_DAMAGED" });
});

test("a JWT-SVID is verified against the bundle of its own trust domain and of no other", async (context) => {
  const [{ keys }, { keys: foreign }] = [await keysAt(context), await keysAt(context)];
  const bundles = new Map([
    [CLUSTER_LOCAL, bundleOf(keys)],
    [OTHER, bundleOf(foreign, OTHER)],
  ]);
  const validate = (token: string) =>
    validateJwtSvid(token, "there", (domain) => bundles.get(domain), NOW_MS);
  assert.equal((await validate(await signJwtSvid(keys.signing, request))).identity, AUDITOR);
  const theirs = workloadSpiffeId(OTHER, "finance", "payroll");
  assert.equal(
    (await validate(await signJwtSvid(foreign.signing, { ...request, identity: theirs }))).identity,
    theirs,
  );
  // The other domain's authority signs for one of ours, and ours for one of theirs.
  await assert.rejects(validate(await signJwtSvid(foreign.signing, request)), {
    code: "BW_JWT_SVID_INVALID",
  });
  await assert.rejects(validate(await signJwtSvid(keys.signing, { ...request, identity: theirs })), {
    code: "BW_JWT_SVID_INVALID",
  });
  const unknown = workloadSpiffeId(trustDomain("unknown.example"), "a", "b");
  await assert.rejects(
    validate(await signJwtSvid(keys.signing, { ...request, identity: unknown })),
    /not trusted/,
  );
});

test("JWT-SVIDs that are ended, altered, unsigned, of another kind or malformed are refused", async (context) => {
  const { keys } = await keysAt(context);
  const { kid, jwk, privateKey } = keys.signing;
  const good = await signJwtSvid(keys.signing, request);
  const [head = "", body = "", signature = ""] = good.split(".");
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { sub: AUDITOR, aud: ["there"], exp: NOW_MS / 1000 + 60 };
  const signed = (header: object, payload: object) =>
    new SignJWT({ ...payload }).setProtectedHeader({ alg: "ES256", kid, ...header }).sign(privateKey);
  const hmacHead = encode({ alg: "HS256", kid });
  const hmac = createHmac("sha256", JSON.stringify(jwk)).update(`${hmacHead}.${body}`).digest("base64url");
  const bad = {
    empty: "",
    "two parts": `${head}.${body}`,
    unsigned: `${encode({ alg: "none" })}.${body}.`,
    "public key as a secret": `${hmacHead}.${body}.${hmac}`,
    "another subject": `${head}.${encode({ ...claims, sub: `${AUDITOR}x` })}.${signature}`,
    "no subject": await signed({}, { ...claims, sub: undefined }),
    "no SPIFFE ID": await signed({}, { ...claims, sub: "https://cluster.local/ns/a" }),
    "no end": await signed({}, { ...claims, exp: undefined }),
    ended: await signed({}, { ...claims, exp: NOW_MS / 1000 - 6 }),
    "no audience": await signed({}, { ...claims, aud: undefined }),
    "other audience": await signed({}, { ...claims, aud: "elsewhere" }),
    "unknown key": await signed({ kid: "another" }, claims),
    "no key": await signed({ kid: undefined }, claims),
    "other type": await signed({ typ: "at+jwt" }, claims),
    "too long": `${good}${"A".repeat(8192)}`,
  };
  await validateJwtSvid(await signed({ typ: "JOSE" }, claims), "there", () => bundleOf(keys), NOW_MS);
  await validateJwtSvid(good, "there", () => bundleOf(keys), NOW_MS);
  for (const [what, token] of Object.entries(bad))
    await assert.rejects(
      validateJwtSvid(token, "there", () => bundleOf(keys), NOW_MS),
      { code: "BW_JWT_SVID_INVALID" },
      what,
    );
  await assert.rejects(
    validateJwtSvid(good, "", () => bundleOf(keys), NOW_MS),
    { code: "BW_JWT_SVID_INVALID" },
  );
});
