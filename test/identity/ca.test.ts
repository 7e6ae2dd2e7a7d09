import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { CertificateAuthority, openCa } from "../../src/identity/ca.ts";
import { readCertificate, readSubjectKeyId } from "../../src/identity/certificate-der.ts";
import { encodeCsr } from "../../src/identity/csr.ts";
import { KEY_ALGORITHMS, spkiOf } from "../../src/identity/key-algorithm.ts";
import { memorySigner } from "../../src/identity/keys/ca-signer.ts";
import { decodePem } from "../../src/identity/pem.ts";
import { type Signer, signCertificate, signerFrom } from "../../src/identity/sign.ts";
import type { IssuedCertificateRecord } from "../../src/identity/store/ca-store.ts";
import { SqliteCaStore } from "../../src/identity/store/sqlite-ca-store.ts";
import type { CertificateProfile, CertificateTemplate } from "../../src/identity/template.ts";
import {
  authorityTemplate,
  serialFrom,
  validityFrom,
  workloadTemplate,
} from "../../src/identity/template.ts";
import { verifyIssued } from "../../src/identity/verify-issued.ts";
import { type SpiffeId, workloadSpiffeId } from "../../src/model/spiffe-id.ts";
import {
  AUDITOR,
  CLUSTER_LOCAL,
  credentials,
  PAYROLL,
  temporaryFolder,
  testCa,
  trustDomain,
} from "./mesh-fixture.ts";

const NOW = Date.UTC(2026, 7, 1, 12, 0, 0, 700);
const DAY_SECONDS = 86_400;

test("issue() returns leaf and intermediate as the chain, and the roots apart", async (t) => {
  const ca = await testCa(t);
  const { issued } = await credentials(ca);
  const chain = decodePem("CERTIFICATE", issued.chainPem);
  assert.deepEqual(chain, [issued.certificate, ca.issuerCertificate]);
  assert.deepEqual(decodePem("CERTIFICATE", issued.trustBundlePem), ca.trustBundle);
  assert.equal(
    chain.some((der) => ca.trustBundle.some((root) => root.equals(der))),
    false,
  );
});

test("issue() gives 24 h for a lifetime of 0, and what is asked for up to 90 d", async (t) => {
  const ca = await testCa(t, { clock: () => NOW });
  for (const [asked, given] of [
    [0, DAY_SECONDS],
    [90 * DAY_SECONDS, 90 * DAY_SECONDS],
    [3600, 3600],
  ] as const) {
    const { issued } = await credentials(ca, { ttlSeconds: asked });
    assert.equal(issued.notAfter.getTime(), Math.floor(NOW / 1000 + given) * 1000);
    assert.equal(issued.notBefore.getTime(), Math.floor(NOW / 1000 - 60) * 1000);
  }
});

test("issue() refuses lifetimes above the maximum instead of shortening them, and absurd ones", async (t) => {
  const ca = await testCa(t);
  for (const ttlSeconds of [90 * DAY_SECONDS + 1, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY]) {
    await assert.rejects(credentials(ca, { ttlSeconds }), { code: "BW_CA_TTL_TOO_LONG" });
  }
  for (const ttlSeconds of [-1, 1, Number.NaN, Number.NEGATIVE_INFINITY]) {
    await assert.rejects(credentials(ca, { ttlSeconds }), { code: "BW_CA_TTL_INVALID" });
  }
});

test("issue() backdates tiny lifetimes so little that their half still lies ahead", async (t) => {
  const ca = await testCa(t, { clock: () => NOW });
  for (const ttlSeconds of [2, 5, 10, 30]) {
    const { issued } = await credentials(ca, { ttlSeconds });
    const half = (issued.notBefore.getTime() + issued.notAfter.getTime()) / 2;
    assert.ok(issued.notBefore.getTime() <= NOW);
    assert.ok(half > NOW && half <= NOW + ttlSeconds * 500, `${ttlSeconds} s: half at ${half - NOW} ms`);
  }
});

test("issue() never outlives the signer, and refuses when the signer has ended", async (t) => {
  let now = NOW;
  const ca = await testCa(t, { clock: () => now, intermediateTtlSeconds: 3600 });
  const { issued } = await credentials(ca);
  assert.equal(issued.notAfter.getTime(), new X509Certificate(ca.issuerCertificate).validToDate.getTime());
  now += 3_600_000;
  await assert.rejects(credentials(ca), { code: "BW_CA_SIGNER_EXPIRED" });
});

test("issue() refuses identities of other trust domains, and the trust domain itself", async (t) => {
  const ca = await testCa(t);
  const foreign = workloadSpiffeId(trustDomain("other.example"), "finance", "payroll");
  for (const identity of [
    foreign,
    "spiffe://cluster.local" as SpiffeId,
    "cluster.local/ns/a/sa/b" as SpiffeId,
  ]) {
    await assert.rejects(credentials(ca, { identity }), { code: "BW_CA_FOREIGN_IDENTITY" });
  }
});

test("issue() records every certificate before it hands it out", async (t) => {
  const ca = await testCa(t, { clock: () => NOW });
  const handedOut = await Promise.all(
    [AUDITOR, PAYROLL, AUDITOR].map((identity) => credentials(ca, { identity })),
  );
  const records: IssuedCertificateRecord[] = [];
  for await (const record of ca.store.issued()) records.push(record);
  assert.deepEqual(
    new Set(records.map((r) => r.serial)),
    new Set(handedOut.map(({ issued }) => issued.serial)),
  );
  const first = records.find((record) => record.serial === handedOut[0]?.issued.serial);
  assert.equal(first?.spiffeId, AUDITOR);
  assert.equal(first?.notAfterMs, handedOut[0]?.issued.notAfter.getTime());
  assert.equal(first?.issuedAtMs, NOW);
  assert.equal(first?.issuerKeyId, readSubjectKeyId(readCertificate(ca.issuerCertificate)));
  assert.equal(new Set(records.map((record) => record.keyHash)).size, 3);
});

test("issue() hands nothing out once the record cannot be written", async (t) => {
  const ca = await testCa(t);
  await ca.close();
  await assert.rejects(credentials(ca), { code: "BW_CA_STORE_CLOSED" });
});

test("issue() gives each certificate a serial of its own", async (t) => {
  const ca = await testCa(t);
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const request = { csr: encodeCsr(privateKey), verifiedIdentity: AUDITOR, ttlSeconds: 0 };
  const issued = await Promise.all(Array.from({ length: 200 }, () => ca.issue(request)));
  assert.equal(new Set(issued.map(({ serial }) => serial)).size, 200);
});

test("issue() draws another serial where one is on record, and gives up where randomness repeats itself", async (t) => {
  const draws = [7, 7, 7, 8, ...Array.from({ length: 20 }, () => 7)];
  let drawn = 0;
  const random = (bytes: number) => Buffer.alloc(bytes, draws[drawn++]);
  const folder = temporaryFolder(t);
  const repeating = await openCa(folder, { trustDomain: CLUSTER_LOCAL, random });
  t.after(() => repeating.close());
  const [first, second] = [await credentials(repeating), await credentials(repeating)];
  assert.notEqual(first.issued.serial, second.issued.serial);
  assert.equal(drawn, 4);
  await assert.rejects(credentials(repeating), { code: "BW_CA_STORE_SERIAL_TAKEN" });
  assert.equal(drawn, 8, "four draws at most");
});

test("issue() certifies no key again of which a certificate was revoked, for whomever", async (t) => {
  const ca = await testCa(t);
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const request = { csr: encodeCsr(privateKey), verifiedIdentity: AUDITOR, ttlSeconds: 0 };
  const { serial } = await ca.issue(request);
  const renewed = await ca.issue(request);
  const revoked = await ca.store.revoke(
    { serial },
    { reason: "keyCompromise", by: "test", atMs: Date.now() },
  );
  assert.deepEqual(
    revoked.map((one) => one.serial),
    [serial, renewed.serial],
  );
  for (const verifiedIdentity of [AUDITOR, PAYROLL])
    await assert.rejects(ca.issue({ ...request, verifiedIdentity }), { code: "BW_CA_STORE_KEY_REVOKED" });
  await credentials(ca);
});

async function signerAndLeaf(): Promise<{ signer: Signer; template: CertificateTemplate }> {
  const authority = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const leaf = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const validity = validityFrom(NOW, 3600);
  const serial = serialFrom(Buffer.alloc(16, 7));
  const root = authorityTemplate({
    trustDomain: CLUSTER_LOCAL,
    spki: spkiOf(authority.publicKey),
    validity,
    serial,
  });
  const signer = signerFrom(signCertificate(root, authority.privateKey), authority.privateKey);
  const template = workloadTemplate({
    identity: AUDITOR,
    spki: spkiOf(leaf.publicKey),
    validity,
    serial,
    issuer: signer,
  });
  return { signer, template };
}

test("verifyIssued() tells every way in which a signed certificate differs from its template", async () => {
  const { signer, template } = await signerAndLeaf();
  const { signer: stranger } = await signerAndLeaf();
  const intact = signCertificate(template, signer.privateKey);
  assert.doesNotThrow(() => verifyIssued(intact, template, signer));
  const profiles: CertificateProfile[] = ["external-server", "intermediate", "root"];
  const changes: Partial<CertificateTemplate>[] = [
    { serial: serialFrom(Buffer.alloc(16, 8)) },
    { issuer: Buffer.from("3000", "hex") },
    { subject: signer.subject },
    { notBefore: new Date(0) },
    { notAfter: new Date(NOW + 7_200_000 - 700) },
    { spki: signer.spki },
    { uris: [PAYROLL] },
    { uris: [AUDITOR, PAYROLL] },
    { uris: [] },
    { dnsNames: ["payroll"] },
    { subjectKeyId: Buffer.alloc(20) },
    { authorityKeyId: Buffer.alloc(20) },
    { permittedUriHost: "cluster.local" },
    ...profiles.map((profile) => ({ profile })),
  ];
  for (const change of changes) {
    const certificate = signCertificate({ ...template, ...change }, signer.privateKey);
    const what = JSON.stringify(Object.keys(change));
    assert.throws(() => verifyIssued(certificate, template, signer), { code: "BW_CA_ISSUED_MISMATCH" }, what);
  }
  const byStranger = signCertificate(template, stranger.privateKey);
  assert.throws(() => verifyIssued(byStranger, template, signer), {
    code: "BW_CA_ISSUED_MISMATCH",
    message: /signature/,
  });
  for (let at = 0; at < intact.length; at++) {
    const damaged = Buffer.from(intact);
    damaged[at] = (damaged[at] ?? 0) ^ 0x01;
    assert.throws(
      () => verifyIssued(damaged, template, signer),
      { code: "BW_CA_ISSUED_MISMATCH" },
      `byte ${at}`,
    );
  }
});

test("issue() reads back what it signed: a signing key that is not its certificate's gives nothing out", async (t) => {
  const { signer } = await signerAndLeaf();
  const { signer: stranger } = await signerAndLeaf();
  const folder = temporaryFolder(t);
  const store = await SqliteCaStore.open(join(folder, "records.sqlite"));
  const swapped = { ...signer, key: memorySigner(stranger.privateKey) };
  const state = { folder, trustDomain: CLUSTER_LOCAL, roots: [], signer: swapped, chain: [] };
  const ca = new CertificateAuthority(state, store, { trustDomain: CLUSTER_LOCAL, clock: () => NOW });
  t.after(() => ca.close());
  await assert.rejects(credentials(ca), { code: "BW_CA_ISSUED_MISMATCH", message: /signature/ });
  for await (const record of ca.store.issued()) assert.fail(`recorded ${record.serial}`);
});

test("signerFrom() refuses a leaf as a signer", async () => {
  const { signer, template } = await signerAndLeaf();
  const leaf = signCertificate(template, signer.privateKey);
  assert.throws(() => signerFrom(leaf, signer.privateKey), { code: "BW_CA_NOT_A_SIGNER" });
  assert.throws(() => signerFrom(Buffer.from("x"), signer.privateKey), { code: "BW_CA_NOT_A_SIGNER" });
});
