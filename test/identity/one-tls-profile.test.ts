import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const PROFILE = join("src", "identity", "tls-profile.ts");

/** An attacker's offers: what the profile refuses, on purpose. */
const ATTACKERS_OFFERS = join("src", "attack", "m2-downgrade.ts");

/** A version, suite or group that is written out where it is set, whatever the quotes and the assignment. */
const OWN_LIMIT =
  /\b(minVersion|maxVersion|ciphers|ecdhCurve|sigalgs|secureProtocol)\b["']?\s*(?::|=|\?\?|\|\|)\s*["'`]/;

function sources(): readonly string[] {
  return readdirSync("src", { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join("src", name));
}

test("no file but the profile writes out a version, suite or group of TLS", () => {
  const files = sources();
  assert.ok(files.length > 300);
  const offenders = files
    .filter((file) => file !== PROFILE && file !== ATTACKERS_OFFERS)
    .filter((file) => OWN_LIMIT.test(readFileSync(file, "utf8")));
  assert.deepEqual(offenders, []);
});

test("the search for such literals finds each way of writing them, and is not taken in by uses of the profile", () => {
  for (const text of [
    'minVersion: "TLSv1.2"',
    "'maxVersion': 'TLSv1.3'",
    'const ciphers = "ALL"',
    'ecdhCurve:\n  "P-256"',
    "minVersion: `TLSv1.2`",
    'minVersion ?? "TLSv1.2"',
  ])
    assert.match(text, OWN_LIMIT);
  for (const text of ["...TLS_PROFILE.mesh", "readonly minVersion: SecureVersion;", "ciphers: other.ciphers"])
    assert.doesNotMatch(text, OWN_LIMIT);
  assert.match(readFileSync(PROFILE, "utf8"), OWN_LIMIT);
  assert.match(readFileSync(ATTACKERS_OFFERS, "utf8"), OWN_LIMIT);
});

test("whoever makes a TLS context with a key, or a call over https, takes the profile for it", () => {
  const makers = sources().filter((file) => {
    const text = readFileSync(file, "utf8");
    return (
      !file.startsWith(join("src", "attack")) &&
      (/from "node:https"/.test(text) || /(?:^import [^;]*createSecureContext)/m.test(text))
    );
  });
  assert.ok(makers.length >= 6, makers.join(", "));
  const without = makers.filter((file) => !/TLS_PROFILE|limitsOf/.test(readFileSync(file, "utf8")));
  // It makes contexts to see whether a certificate can be used, and for no connection.
  assert.deepEqual(without, [join("src", "dataplane", "gateway-credentials.ts")]);
});
