import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  caEnvironment,
  caFlags,
  checkCaSettings,
  followCa,
  keyAlgorithmNotice,
  openConfiguredCa,
  readCaFlags,
} from "../../src/control/ca-settings.ts";
import { secretOfMaterial } from "../../src/identity/plug-in/ca-material.ts";
import { CLUSTER_LOCAL, credentials, temporaryFolder } from "../identity/mesh-fixture.ts";

test("CA settings come to the control process as they were given, and secrets by the environment only", (t) => {
  process.env.BULWARK_TEST_PIN = "1234";
  t.after(() => delete process.env.BULWARK_TEST_PIN);
  const settings = {
    keyAlgorithm: "rsa",
    pkcs11: "pkcs11:token=t?module-path=/m.so&pin-source=env:BULWARK_TEST_PIN",
  } as const;
  const [flag, text = ""] = caFlags(settings);
  assert.equal(flag, "--ca-settings");
  assert.deepEqual(readCaFlags(text), settings);
  assert.doesNotMatch(text, /1234/);
  assert.equal(caEnvironment(settings).BULWARK_TEST_PIN, "1234");
  assert.deepEqual(caEnvironment({ keyAlgorithm: "rsa" }), {});
  assert.deepEqual(caFlags(undefined), []);
  assert.deepEqual(readCaFlags(undefined), {});
});

test("checkCaSettings() refuses settings that exclude each other, and secrets and files that are not there", () => {
  const pkcs11 = "pkcs11:token=t?module-path=/m.so&pin-source=env:BULWARK_NO_SUCH_PIN";
  for (const [settings, code] of [
    [{ certs: "/nowhere", keyAlgorithm: "rsa" }, "BW_CLI_INPUT"],
    [{ certs: "/nowhere", pkcs11 }, "BW_CLI_INPUT"],
    [{ passphraseFrom: "env:A", pkcs11 }, "BW_CLI_INPUT"],
    [{ pkcs11 }, "BW_SECRET_SOURCE"],
    [{ pkcs11: "token" }, "BW_PKCS11_URI"],
    [{ passphraseFrom: "secret" }, "BW_SECRET_SOURCE"],
    [{ certs: "/nowhere" }, "BW_CA_SECRET"],
  ] as const)
    assert.throws(() => checkCaSettings(settings), { code }, JSON.stringify(settings));
  checkCaSettings({});
});

test("a mesh's CA opens with keys of the configured kind, encrypted; another signs with it as a Secret", async (t) => {
  const stateDir = temporaryFolder(t);
  const passphrase = join(stateDir, "passphrase");
  writeFileSync(passphrase, "correct horse\n", { mode: 0o600 });
  const settings = { keyAlgorithm: "ecdsa-p384", passphraseFrom: `file:${passphrase}` } as const;
  const ca = await openConfiguredCa(stateDir, CLUSTER_LOCAL, settings);
  await ca.close();
  assert.equal(followCa(settings, { ca, onAdopted: () => {}, onRefused: () => {} }), undefined);
  const folder = join(stateDir, "ca");
  const file = (pattern: RegExp) =>
    readFileSync(
      join(folder, readdirSync(folder).find((name) => pattern.test(name)) ?? assert.fail()),
      "utf8",
    );
  const key = file(/^intermediate-.*key/);
  assert.match(key, /^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
  const material = {
    place: "x",
    certificate: file(/^intermediate-.*crt/),
    key,
    chain: "",
    roots: ca.trustBundlePem,
  };
  const secret = join(stateDir, "cacerts.json");
  const object = secretOfMaterial({ ...material, chain: undefined }, "cacerts", "istio-system");
  writeFileSync(secret, JSON.stringify(object), { mode: 0o600 });
  const plugged = { certs: secret, passphraseFrom: settings.passphraseFrom };
  const second = await openConfiguredCa(temporaryFolder(t), CLUSTER_LOCAL, plugged);
  t.after(() => second.close());
  assert.deepEqual(second.issuerCertificate, ca.issuerCertificate);
  assert.ok(await credentials(second));
  const follower = followCa(plugged, {
    ca: second,
    onAdopted: () => {},
    onRefused: (message) => assert.fail(message),
  });
  await follower?.look();
  follower?.close();
});

test("another kind of key than the CA has already is told of, and no other", async (t) => {
  const folder = temporaryFolder(t);
  const ca = await openConfiguredCa(folder, CLUSTER_LOCAL, {});
  t.after(() => ca.close());
  assert.equal(keyAlgorithmNotice(ca, {}), undefined);
  assert.equal(keyAlgorithmNotice(ca, { keyAlgorithm: "ecdsa-p256" }), undefined);
  assert.match(
    keyAlgorithmNotice(ca, { keyAlgorithm: "rsa" }) ?? "",
    /rsa holds only for keys made from now on.*ecdsa-p256/,
  );
});

test("the longest life and the pointers that are configured hold for what the CA signs", async (t) => {
  const ca = await openConfiguredCa(temporaryFolder(t), CLUSTER_LOCAL, {
    maxTtlSeconds: 3600,
    pointerUrls: { ocspUrls: ["http://ocsp.example/"] },
  });
  t.after(() => ca.close());
  const { issued } = await credentials(ca, { ttlSeconds: 3600 });
  assert.ok(issued.certificate.includes("http://ocsp.example/"));
  await assert.rejects(credentials(ca, { ttlSeconds: 3601 }), { code: "BW_CA_TTL_TOO_LONG" });
});
