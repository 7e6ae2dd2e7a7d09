/** The CA's keys in a PKCS#11 token: SoftHSM and OpenSC's tool, from Debian. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openCa } from "../../src/identity/ca.ts";
import { KEY_ALGORITHMS, type KeyAlgorithmName, verifyWith } from "../../src/identity/key-algorithm.ts";
import { Pkcs11KeyStore } from "../../src/identity/keys/pkcs11-key-store.ts";
import { encodePem } from "../../src/identity/pem.ts";
import { keyIdentifier } from "../../src/identity/template.ts";
import { CLUSTER_LOCAL, credentials, temporaryFolder } from "../identity/mesh-fixture.ts";
import { LiveMesh, until } from "./live-mesh.ts";
import { program } from "./programs.ts";

const MODULE = "/usr/lib/softhsm/libsofthsm2.so";

/** A fresh token; its URI. */
function token(t: TestContext, pin = "1234"): string {
  assert.ok(existsSync(MODULE), "softhsm2 is not installed; .ci/run installs all that these tests need");
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, "tokens"));
  const configuration = join(folder, "softhsm2.conf");
  writeFileSync(
    configuration,
    `directories.tokendir = ${join(folder, "tokens")}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  );
  process.env.SOFTHSM2_CONF = configuration;
  const init = ["--init-token", "--free", "--label", "bulwark test", "--so-pin", "5678", "--pin", "1234"];
  execFileSync(program("softhsm2-util"), init, { stdio: "ignore" });
  writeFileSync(join(folder, "pin"), `${pin}\n`, { mode: 0o600 });
  return `pkcs11:token=bulwark%20test?module-path=${MODULE}&pin-source=file:${join(folder, "pin")}`;
}

for (const name of ["ecdsa-p256", "rsa"] as const satisfies readonly KeyAlgorithmName[])
  test(`a key of ${name} is made in the token, found again, signs, and is gone when destroyed`, async (t) => {
    const uri = token(t);
    const made = await Pkcs11KeyStore.at(uri).generate("root", KEY_ALGORITHMS[name]);
    const keyId = keyIdentifier(made.spki).toString("hex");
    const store = Pkcs11KeyStore.at(uri);
    const found = (await store.open("root", keyId)) ?? assert.fail("not found");
    assert.deepEqual(found.spki, made.spki);
    const bytes = Buffer.from("what is signed");
    const signatures = await Promise.all(Array.from({ length: 6 }, () => found.sign(bytes)));
    for (const signature of signatures)
      assert.equal(verifyWith(made.spki, found.algorithm.hash, bytes, signature), true);
    await store.destroy("root", keyId);
    assert.equal(await store.open("root", keyId), undefined);
    await store.destroy("root", keyId);
  });

test("a CA whose keys are in a token issues what openssl verifies, opens again, and writes no key into its folder", async (t) => {
  const stateDir = temporaryFolder(t);
  const uri = token(t);
  const open = () => openCa(stateDir, { trustDomain: CLUSTER_LOCAL, keys: Pkcs11KeyStore.at(uri) });
  const first = await open();
  const { issued } = await credentials(first);
  await first.close();
  const write = (name: string, pem: string) => {
    writeFileSync(join(stateDir, name), pem);
    return join(stateDir, name);
  };
  const roots = write("roots.pem", issued.trustBundlePem);
  const chain = write("chain.pem", issued.chainPem);
  const leaf = write("leaf.pem", encodePem("CERTIFICATE", issued.certificate));
  const verify = ["verify", "-x509_strict", "-CAfile", roots, "-untrusted", chain, leaf];
  assert.match(execFileSync("openssl", verify, { encoding: "utf8" }), /OK/);
  const again = await open();
  t.after(() => again.close());
  assert.equal(again.trustBundlePem, issued.trustBundlePem);
  assert.ok(await credentials(again));
  assert.deepEqual(
    readdirSync(join(stateDir, "ca")).filter((name) => name.endsWith(".key.pem")),
    [],
  );
});

test("a token refuses a wrong PIN by BW_PKCS11_PIN, and an absent module by BW_PKCS11_TOOL", async (t) => {
  const wrong = Pkcs11KeyStore.at(token(t, "9999"));
  await assert.rejects(wrong.generate("root", KEY_ALGORITHMS["ecdsa-p256"]), { code: "BW_PKCS11_PIN" });
  const absent = Pkcs11KeyStore.at(token(t).replace(MODULE, "/nowhere.so"));
  await assert.rejects(absent.open("root", "00".repeat(20)), { code: "BW_PKCS11_TOOL" });
  await assert.rejects(wrong.generate("root", KEY_ALGORITHMS.ed25519), { code: "BW_PKCS11_KEY_KIND" });
  await assert.rejects(wrong.generate("root", KEY_ALGORITHMS["ecdsa-p384"]), { code: "BW_PKCS11_KEY_KIND" });
});

test("a control plane that dies again and again shows a PIN that has become wrong to the token once; with the right one it is back", async (t) => {
  const uri = token(t);
  const folder = temporaryFolder(t);
  const [shown, script] = [join(folder, "shown"), join(folder, "pkcs11-tool")];
  writeFileSync(shown, "");
  const real = program("pkcs11-tool");
  writeFileSync(script, `#!/bin/sh\necho "$BULWARK_PKCS11_PIN" >> ${shown}\nexec ${real} "$@"\n`);
  chmodSync(script, 0o755);
  const { PATH } = process.env;
  process.env.PATH = `${folder}:${PATH}`;
  t.after(() => {
    process.env.PATH = PATH;
  });
  const mesh = await LiveMesh.up(["../shared/scenarios/payroll", "--ca-pkcs11", uri]);
  t.after(() => mesh.dispose());
  const pin = /file:(.+)$/.exec(uri)?.[1] ?? assert.fail();
  writeFileSync(pin, "9999\n");
  const control = () => mesh.children.find(({ name }) => name === "control");
  const died = () => mesh.events.filter(({ kind, event }) => kind === "process" && isDeath(event)).length;
  process.kill(control()?.pid ?? assert.fail(), "SIGKILL");
  await until(() => died() >= 4, "control has died of the wrong PIN", 60_000);
  const wrong = readFileSync(shown, "utf8")
    .split("\n")
    .filter((line) => line === "9999");
  assert.equal(wrong.length, 1);
  const answered = await mesh
    .call("finance/account-auditor", "http://payroll.finance/accounts/7")
    .catch(() => undefined);
  assert.ok(answered === undefined || answered.answer.status === 200, "the proxies go on");
  writeFileSync(pin, "1234\n");
  await until(async () => (await mesh.run("status")).code === 0, "control is back", 60_000);
  assert.equal(existsSync(join(mesh.state.caFolder, "pin-refused")), false);
});

function isDeath(event: unknown): boolean {
  return (
    typeof event === "object" &&
    event !== null &&
    "kind" in event &&
    event.kind === "died" &&
    "name" in event &&
    event.name === "control"
  );
}
