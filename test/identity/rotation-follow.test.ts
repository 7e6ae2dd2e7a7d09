import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { CertificateAuthority } from "../../src/identity/ca.ts";
import { endPhase, startRotation } from "../../src/identity/rotation/rotation-steps.ts";
import { issuerKeyIdOf, type RequestCertificate, SvidSource } from "../../src/identity/rotation.ts";
import { AUDITOR, testCa } from "./mesh-fixture.ts";

const ROOT = { kind: "root", by: "cli", force: false } as const;

interface Setup {
  readonly ca: CertificateAuthority;
  readonly source: SvidSource;
  readonly grant: RequestCertificate;
  answer: RequestCertificate;
  rotated: number;
}

async function started(t: TestContext): Promise<Setup> {
  const ca = await testCa(t);
  const grant: RequestCertificate = (csr) => ca.issue({ csr, verifiedIdentity: AUDITOR, ttlSeconds: 3600 });
  const own = { answer: grant, rotated: 0 };
  const source = new SvidSource({
    identity: AUDITOR,
    requestCertificate: (csr, signal) => own.answer(csr, signal),
  });
  t.after(() => source.stop());
  await source.start();
  source.on("rotated", () => {
    own.rotated += 1;
  });
  return Object.assign(own, { ca, source, grant });
}

const wanted = (ca: CertificateAuthority) => ({
  issuerKeyId: ca.issuer.keyId,
  trustBundlePem: ca.trustBundlePem,
});

test("follow() takes another trust bundle with the certificate that is there, and tells of it", async (t) => {
  const own = await started(t);
  const before = own.source.current ?? assert.fail();
  await own.ca.rotate(startRotation(ROOT));
  await own.source.follow(wanted(own.ca));
  const after = own.source.current ?? assert.fail();
  assert.equal(after.serial, before.serial);
  assert.equal(after.trustBundlePem, own.ca.trustBundlePem);
  assert.notEqual(after.trustBundlePem, before.trustBundlePem);
  assert.equal(own.rotated, 1);
  await own.source.follow(wanted(own.ca));
  assert.equal(own.rotated, 1, "nothing new, nothing told");
});

test("follow() gets a certificate of the new signer, and then trusts the new root alone", async (t) => {
  const own = await started(t);
  for (const step of [startRotation(ROOT), endPhase([]), endPhase([])]) {
    await own.ca.rotate(step);
    await own.source.follow(wanted(own.ca));
    const svid = own.source.current ?? assert.fail();
    assert.equal(issuerKeyIdOf(svid), own.ca.issuer.keyId);
    assert.equal(svid.trustBundlePem, own.ca.trustBundlePem);
  }
  assert.equal(own.rotated, 3);
});

test("follow() refuses a bundle in which the own certificate does not end, and keeps what it has", async (t) => {
  const own = await started(t);
  const before = own.source.current;
  const stranger = await testCa(t);
  const update = { issuerKeyId: own.ca.issuer.keyId, trustBundlePem: stranger.trustBundlePem };
  await assert.rejects(own.source.follow(update), { code: "BW_SVID_GRANT_REFUSED" });
  assert.equal(own.source.current, before);
});

test("follow() fails, and keeps what it has, while no certificate of the new signer is to be had", async (t) => {
  const own = await started(t);
  const before = own.source.current;
  await own.ca.rotate(startRotation({ ...ROOT, kind: "intermediate" }));
  own.answer = () => Promise.reject(new Error("connection refused"));
  await assert.rejects(own.source.follow(wanted(own.ca)), { code: "BW_SVID_NOT_RENEWED" });
  assert.equal(own.source.current, before);
  own.answer = own.grant;
  await own.source.follow(wanted(own.ca));
  assert.equal(issuerKeyIdOf(own.source.current), own.ca.issuer.keyId);
});

test("an answer to what was asked before cannot undo what follow() has taken", async (t) => {
  const own = await started(t);
  const late = Promise.withResolvers<void>();
  own.answer = async (csr, signal) => {
    const granted = await own.grant(csr, signal);
    await late.promise;
    return granted;
  };
  const renewal = own.source.requestNow();
  // The CA has answered with the old root alone by now, or will answer with both: either way both must be trusted in the end.
  await new Promise((resolve) => setTimeout(resolve, 50));
  await own.ca.rotate(startRotation(ROOT));
  const followed = own.source.follow(wanted(own.ca));
  late.resolve();
  await Promise.all([renewal, followed]);
  assert.equal(own.source.current?.trustBundlePem, own.ca.trustBundlePem);
  assert.equal(own.ca.trustBundle.length, 2);
});
