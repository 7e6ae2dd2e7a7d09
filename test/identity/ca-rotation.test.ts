import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type CertificateAuthority, openCa } from "../../src/identity/ca.ts";
import { endPhase, forceRotation, startRotation } from "../../src/identity/rotation/rotation-steps.ts";
import { verifyGrant } from "../../src/identity/verify-grant.ts";
import { AUDITOR, CLUSTER_LOCAL, credentials, temporaryFolder } from "./mesh-fixture.ts";

const ROOT = { kind: "root", by: "cli", force: false } as const;

interface Opened {
  readonly stateDir: string;
  readonly folder: string;
  readonly ca: CertificateAuthority;
}

async function opened(t: TestContext, stateDir = temporaryFolder(t)): Promise<Opened> {
  const ca = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL });
  t.after(() => ca.close());
  return { stateDir, folder: join(stateDir, "ca"), ca };
}

function keysIn(folder: string): readonly string[] {
  return readdirSync(folder).filter((name) => name.endsWith(".key.pem"));
}

/** Whether a peer that trusts `bundlePem` takes what this CA signs now. */
async function isTrusted(ca: CertificateAuthority, trustBundlePem: string): Promise<boolean> {
  const { issued, privateKey } = await credentials(ca);
  try {
    verifyGrant(
      { chainPem: issued.chainPem, trustBundlePem },
      { identity: AUDITOR, privateKey, nowMs: Date.now() },
    );
    return true;
  } catch {
    return false;
  }
}

test("rotating the root: first both are trusted and the old signs, then the new signs, then the new alone is trusted and the old key is gone", async (t) => {
  const { ca, folder } = await opened(t);
  const before = { bundle: ca.trustBundlePem, issuer: ca.issuer.keyId, root: ca.manifest?.signingRoot };
  await ca.rotate(startRotation(ROOT));
  assert.equal(ca.manifest?.rotation?.phase, "both-trusted");
  assert.equal(ca.trustBundle.length, 2);
  assert.equal(ca.issuer.keyId, before.issuer);
  assert.equal(await isTrusted(ca, before.bundle), true);
  const both = ca.trustBundlePem;

  await ca.rotate(endPhase([]));
  assert.equal(ca.manifest?.rotation?.phase, "new-signs");
  assert.equal(ca.trustBundlePem, both);
  assert.notEqual(ca.issuer.keyId, before.issuer);
  assert.equal(await isTrusted(ca, before.bundle), false);
  assert.equal(await isTrusted(ca, both), true);

  await ca.rotate(endPhase(["a/b-0"]));
  assert.equal(ca.manifest?.rotation?.phase, "old-removed");
  assert.equal(ca.trustBundle.length, 1);
  assert.equal(await isTrusted(ca, ca.trustBundlePem), true);
  assert.ok(keysIn(folder).includes(`root-${before.root}.key.pem`), "kept until all have acknowledged");

  await ca.rotate(endPhase([]));
  assert.equal(ca.manifest?.rotation, undefined);
  assert.deepEqual(ca.manifest?.lastRotation?.passedOver, ["a/b-0"]);
  assert.equal(ca.manifest?.lastRotation?.from, before.root);
  assert.deepEqual(
    new Set(keysIn(folder)),
    new Set([`root-${ca.manifest?.signingRoot}.key.pem`, `intermediate-${ca.issuer.keyId}.key.pem`]),
  );
});

test("rotating the intermediate leaves the root, signs with the new at once, and deletes the old key at the end", async (t) => {
  const { ca, folder } = await opened(t);
  const before = { bundle: ca.trustBundlePem, issuer: ca.issuer.keyId };
  await ca.rotate(startRotation({ kind: "intermediate", by: "schedule", force: false }));
  assert.equal(ca.manifest?.rotation?.phase, "new-signs");
  assert.notEqual(ca.issuer.keyId, before.issuer);
  assert.equal(await isTrusted(ca, before.bundle), true);
  await ca.rotate(endPhase([]));
  await ca.rotate(endPhase([]));
  assert.equal(ca.trustBundlePem, before.bundle);
  assert.ok(!keysIn(folder).some((name) => name.includes(before.issuer)));
  assert.equal(keysIn(folder).length, 2);
});

test("a CA that is opened anew stands where the rotation stood, in each of its phases", async (t) => {
  const { ca, stateDir } = await opened(t);
  const steps = [startRotation(ROOT), forceRotation, endPhase([]), endPhase([]), endPhase([])];
  for (const step of steps) {
    await ca.rotate(step);
    const { ca: again } = await opened(t, stateDir);
    assert.deepEqual(again.manifest, ca.manifest);
    assert.equal(again.trustBundlePem, ca.trustBundlePem);
    assert.equal(again.issuer.keyId, ca.issuer.keyId);
    assert.equal(await isTrusted(again, ca.trustBundlePem), true);
  }
});

test("a rotation is refused while another is under way, and there is no phase to end without one", async (t) => {
  const { ca, folder } = await opened(t);
  await assert.rejects(ca.rotate(endPhase([])), { code: "BW_CA_ROTATION_NONE" });
  await assert.rejects(ca.rotate(forceRotation), { code: "BW_CA_ROTATION_NONE" });
  await ca.rotate(startRotation(ROOT));
  const before = readFileSync(join(folder, "ca.json"), "utf8");
  await assert.rejects(ca.rotate(startRotation(ROOT)), { code: "BW_CA_ROTATION_UNDER_WAY" });
  assert.equal(readFileSync(join(folder, "ca.json"), "utf8"), before);
});

test("certificates that are asked for during a step are signed by the old or the new signer, whole", async (t) => {
  const { ca } = await opened(t);
  await ca.rotate(startRotation(ROOT));
  const asked = Array.from({ length: 20 }, () => credentials(ca));
  const stepped = ca.rotate(endPhase([]));
  const later = Array.from({ length: 20 }, () => credentials(ca));
  await stepped;
  const bundle = ca.trustBundlePem;
  for (const { issued, privateKey } of await Promise.all([...asked, ...later]))
    verifyGrant(
      { chainPem: issued.chainPem, trustBundlePem: bundle },
      { identity: AUDITOR, privateKey, nowMs: Date.now() },
    );
});
