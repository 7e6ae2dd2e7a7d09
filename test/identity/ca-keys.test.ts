import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openCa } from "../../src/identity/ca.ts";
import { KEY_ALGORITHMS, type KeyAlgorithmName, verifyWith } from "../../src/identity/key-algorithm.ts";
import { memorySigner } from "../../src/identity/keys/ca-signer.ts";
import { FileKeyStore } from "../../src/identity/keys/file-key-store.ts";
import { parsePkcs11Uri } from "../../src/identity/keys/pkcs11-uri.ts";
import { parsePrivateKey, printPrivateKey } from "../../src/identity/keys/private-key-pem.ts";
import { readSecret } from "../../src/identity/keys/secret-source.ts";
import { CLUSTER_LOCAL, credentials, temporaryFolder } from "./mesh-fixture.ts";

const NAMES = Object.keys(KEY_ALGORITHMS) as KeyAlgorithmName[];
const opensslMissing =
  spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is not on this machine";
const PASSPHRASE = "correct horse battery staple";

for (const name of NAMES)
  test(`memorySigner() signs with ${name} what its public key verifies, and nothing else`, async () => {
    const { privateKey } = await KEY_ALGORITHMS[name].generate();
    const { algorithm, spki, sign } = memorySigner(privateKey);
    assert.equal(algorithm.name, name);
    const bytes = Buffer.from("what is signed");
    const signature = await sign(bytes);
    assert.equal(verifyWith(spki, algorithm.hash, bytes, signature), true);
    assert.equal(verifyWith(spki, algorithm.hash, Buffer.from("what is not"), signature), false);
  });

test("an encrypted key opens with its passphrase and no other, and openssl reads it", {
  skip: opensslMissing,
}, async (t) => {
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const pem = printPrivateKey(privateKey, PASSPHRASE);
  assert.match(pem, /^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
  assert.ok(parsePrivateKey(pem, "here", PASSPHRASE).equals(privateKey));
  assert.throws(() => parsePrivateKey(pem, "here", "wrong"), { code: "BW_KEYSTORE_PASSPHRASE_WRONG" });
  assert.throws(() => parsePrivateKey(pem, "here"), { code: "BW_KEYSTORE_PASSPHRASE_NEEDED" });
  assert.throws(() => parsePrivateKey("x", "here"), { code: "BW_KEYSTORE_BAD_KEY" });
  const file = join(temporaryFolder(t), "key.pem");
  writeFileSync(file, pem, { mode: 0o600 });
  const text = execFileSync("openssl", ["asn1parse", "-in", file], { encoding: "utf8" });
  assert.match(text, /PBES2[\s\S]*PBKDF2[\s\S]*0927C0[\s\S]*hmacWithSHA256[\s\S]*aes-256-cbc/);
  const plain = execFileSync("openssl", ["pkey", "-in", file, "-passin", `pass:${PASSPHRASE}`], {
    encoding: "utf8",
  });
  assert.ok(parsePrivateKey(plain, "here").equals(privateKey));
});

test("a CA's keys in encrypted files: none in the clear, none opens without the passphrase; plain ones are encrypted when opened", async (t) => {
  const stateDir = temporaryFolder(t);
  const folder = join(stateDir, "ca");
  const open = (passphrase?: string) =>
    openCa(stateDir, { trustDomain: CLUSTER_LOCAL, keys: new FileKeyStore(folder, passphrase) });
  const plain = await open();
  await plain.close();
  const keyOf = (role: string) => {
    const name = readdirSync(folder).find((file) => file.startsWith(role) && file.endsWith(".key.pem"));
    return readFileSync(join(folder, name ?? assert.fail(`no key of the ${role}`)), "utf8");
  };
  assert.match(keyOf("intermediate"), /BEGIN PRIVATE KEY/);
  const encrypted = await open(PASSPHRASE);
  t.after(() => encrypted.close());
  assert.ok(await credentials(encrypted));
  assert.equal(encrypted.trustBundlePem, plain.trustBundlePem);
  assert.match(keyOf("intermediate"), /BEGIN ENCRYPTED PRIVATE KEY/);
  await assert.rejects(open("wrong"), { code: "BW_KEYSTORE_PASSPHRASE_WRONG" });
  await assert.rejects(open(), { code: "BW_KEYSTORE_PASSPHRASE_NEEDED" });
});

test("readSecret() reads files of mode 0600 and variables, and quotes neither", (t) => {
  const file = join(temporaryFolder(t), "passphrase");
  writeFileSync(file, "s3cret line\n", { mode: 0o600 });
  assert.equal(readSecret(`file:${file}`, "it"), "s3cret line");
  chmodSync(file, 0o644);
  assert.throws(() => readSecret(`file:${file}`, "it"), { code: "BW_KEYSTORE_FILE_MODE" });
  process.env.BULWARK_TEST_SECRET = "from the environment";
  t.after(() => delete process.env.BULWARK_TEST_SECRET);
  assert.equal(readSecret("env:BULWARK_TEST_SECRET", "it"), "from the environment");
  for (const source of ["env:BULWARK_NONE", `file:${file}.absent`, "s3cret", "pass:s3cret"])
    assert.throws(
      () => readSecret(source, "it"),
      (error: Error & { code: string }) =>
        error.code === "BW_SECRET_SOURCE" && !error.message.includes("s3cret line"),
    );
});

test("parsePkcs11Uri() reads token, module and where the PIN is, and refuses a PIN in the clear and everything else", () => {
  assert.deepEqual(
    parsePkcs11Uri("pkcs11:token=my%20token?module-path=/usr/lib/m.so&pin-source=file:/run/pin"),
    {
      token: "my token",
      modulePath: "/usr/lib/m.so",
      pinSource: "file:/run/pin",
    },
  );
  for (const uri of [
    "token=a",
    "pkcs11:token=a?module-path=/m.so",
    "pkcs11:token=a?module-path=/m.so&pin-value=1234",
    "pkcs11:token=a;token=b?module-path=/m.so&pin-source=env:PIN",
    "pkcs11:token=%?module-path=/m.so&pin-source=env:PIN",
    "pkcs11:token=a;object=b?module-path=/m.so&pin-source=env:PIN",
  ])
    assert.throws(() => parsePkcs11Uri(uri), { code: "BW_PKCS11_URI" }, uri);
});
