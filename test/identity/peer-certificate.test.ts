import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { before, test } from "node:test";
import fc from "fast-check";
import { KEY_ALGORITHMS, spkiOf } from "../../src/identity/key-algorithm.ts";
import {
  matchesExpectedSans,
  type PeerCertificate,
  peerFromCertificateDer,
  verifyPeerIdentity,
} from "../../src/identity/peer-certificate.ts";
import { type Signer, signCertificate, signerFrom } from "../../src/identity/sign.ts";
import {
  authorityTemplate,
  type CertificateTemplate,
  serialFrom,
  validityFrom,
  workloadTemplate,
} from "../../src/identity/template.ts";
import { AUDITOR, CLUSTER_LOCAL, PAYROLL, SEED, trustDomain } from "./mesh-fixture.ts";

const NOW = Date.UTC(2026, 7, 1, 12);
let signer: Signer;
let template: CertificateTemplate;

before(async () => {
  const authority = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const leaf = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const validity = validityFrom(NOW, 3600);
  const serial = serialFrom(Buffer.alloc(16, 1));
  const root = authorityTemplate({
    trustDomain: CLUSTER_LOCAL,
    spki: spkiOf(authority.publicKey),
    validity,
    serial,
  });
  signer = signerFrom(signCertificate(root, authority.privateKey), authority.privateKey);
  template = workloadTemplate({
    identity: AUDITOR,
    spki: spkiOf(leaf.publicKey),
    validity,
    serial,
    issuer: signer,
  });
});

function certificate(change: Partial<CertificateTemplate> = {}): Buffer {
  return signCertificate({ ...template, ...change }, signer.privateKey);
}

function peer(change: Partial<CertificateTemplate> = {}): PeerCertificate {
  const read = peerFromCertificateDer(certificate(change));
  return "error" in read ? assert.fail(read.error) : read;
}

test("peerFromCertificateDer() reads what OpenSSL reads", () => {
  const der = certificate({ dnsNames: ["payroll.finance.svc"] });
  const openssl = new X509Certificate(der);
  const read = peerFromCertificateDer(der);
  assert.ok(!("error" in read));
  assert.equal(read.spiffeId, AUDITOR);
  assert.equal(read.identity?.namespace, "finance");
  assert.equal(read.identity.serviceAccount, "account-auditor");
  assert.deepEqual(read.uris, [AUDITOR]);
  assert.deepEqual(read.dnsNames, ["payroll.finance.svc"]);
  assert.equal(openssl.subjectAltName, `URI:${AUDITOR}, DNS:payroll.finance.svc`);
  assert.equal(read.serial, openssl.serialNumber.toLowerCase());
  assert.deepEqual(read.notAfter, openssl.validToDate);
  assert.deepEqual(read.notBefore, openssl.validFromDate);
  assert.equal(read.sha256, openssl.fingerprint256.replaceAll(":", "").toLowerCase());
  assert.equal(read.keySha256, createHash("sha256").update(template.spki).digest("hex"));
  assert.equal(read.authorityKeyId, signer.subjectKeyId.toString("hex"));
});

test("peerFromCertificateDer() gives an identity only to a leaf with one URI, a workload's SPIFFE ID", () => {
  const none: Partial<CertificateTemplate>[] = [
    { uris: [AUDITOR, PAYROLL] },
    { uris: [AUDITOR, AUDITOR] },
    { uris: [AUDITOR, "https://example.com"] },
    { uris: [], dnsNames: [AUDITOR] },
    { uris: [] },
    { uris: ["spiffe://cluster.local"] },
    { uris: ["SPIFFE://cluster.local/ns/finance/sa/account-auditor"] },
    { uris: [`${AUDITOR}#fragment`] },
    { uris: [`${AUDITOR}?q`] },
    { uris: [`${AUDITOR}/`] },
    { uris: ["spiffe://cluster.local:443/ns/finance/sa/account-auditor"] },
    { profile: "intermediate" },
    { profile: "root" },
  ];
  for (const change of none) {
    const read = peer(change);
    assert.equal(read.spiffeId, undefined, JSON.stringify(change));
    assert.equal(read.identity, undefined);
  }
  assert.equal(peer({ dnsNames: ["a", "b"] }).spiffeId, AUDITOR, "DNS names beside it do no harm");
});

test("peerFromCertificateDer() refuses names with control bytes or spaces", () => {
  for (const uri of [
    `${AUDITOR}\0.evil`,
    `${AUDITOR} `,
    `${AUDITOR}\n`,
    "spiffe://cluster.local/\u00e9",
    "",
  ]) {
    assert.ok("error" in peerFromCertificateDer(certificate({ uris: [uri] })), JSON.stringify(uri));
  }
  assert.ok("error" in peerFromCertificateDer(certificate({ dnsNames: ["a\0b"] })));
});

test("peerFromCertificateDer() remembers by hash, and forgets the least recently used", () => {
  const der = certificate();
  const unused = certificate({ uris: [PAYROLL] });
  const first = peerFromCertificateDer(der);
  const forgotten = peerFromCertificateDer(unused);
  for (let i = 0; i < 4100; i++) {
    // A signature is not looked at, so changing it makes other certificates without the cost of signing.
    const other = Buffer.from(der);
    other.writeUInt16BE(i, other.length - 2);
    peerFromCertificateDer(other);
    assert.equal(peerFromCertificateDer(Buffer.from(der)), first);
  }
  assert.notEqual(peerFromCertificateDer(unused), forgotten);
  assert.deepEqual(peerFromCertificateDer(unused), forgotten);
});

test("peerFromCertificateDer() neither throws nor mistakes mutations for another identity", () => {
  const der = certificate();
  for (let end = 0; end < der.length; end++)
    assert.ok("error" in peerFromCertificateDer(der.subarray(0, end)), `${end}`);
  assert.ok("error" in peerFromCertificateDer(Buffer.concat([der, Buffer.from([0])])));
  assert.ok("error" in peerFromCertificateDer(Buffer.alloc(70_000, 0x30)));
  const edits = fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(edits, (changes) => {
      const mutated = Buffer.from(der);
      for (const [at, value] of changes) mutated[at] = value;
      const read = peerFromCertificateDer(mutated);
      return "error" in read || read.uris.length <= 1 || read.spiffeId === undefined;
    }),
    { seed: SEED, numRuns: 2000 },
  );
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400 }),
      (bytes) => "error" in peerFromCertificateDer(Buffer.from(bytes)),
    ),
    { seed: SEED, numRuns: 1000 },
  );
});

test("verifyPeerIdentity() lets the mesh's own trust domain and its aliases pass, and no other", () => {
  const policy = { trustDomain: CLUSTER_LOCAL, aliases: [trustDomain("old.example")], nowMs: NOW };
  const own = verifyPeerIdentity(peer(), policy);
  assert.ok(own.ok);
  assert.equal(own.peer.id, AUDITOR);
  assert.equal(own.peer.certificate.serial, template.serial.toString("hex"));
  assert.ok(verifyPeerIdentity(peer({ uris: ["spiffe://old.example/ns/a/sa/b"] }), policy).ok);
  for (const domain of [
    "older.example",
    "example",
    "cluster.local.evil",
    "cluster.loca",
    "old.example.cluster.local",
  ]) {
    const result = verifyPeerIdentity(peer({ uris: [`spiffe://${domain}/ns/a/sa/b`] }), policy);
    assert.equal(!result.ok && result.code, "BW_PEER_FOREIGN_TRUST_DOMAIN", domain);
  }
  const nameless = verifyPeerIdentity(peer({ uris: [] }), policy);
  assert.equal(!nameless.ok && nameless.code, "BW_PEER_NO_IDENTITY");
});

test("verifyPeerIdentity() refuses a certificate outside of its dates, as on a resumed session", () => {
  const policy = { trustDomain: CLUSTER_LOCAL, aliases: [] };
  const own = peer();
  const at = (nowMs: number) => verifyPeerIdentity(own, { ...policy, nowMs });
  assert.ok(at(own.notAfter.getTime() - 1).ok);
  const late = at(own.notAfter.getTime());
  assert.equal(!late.ok && late.code, "BW_PEER_EXPIRED");
  assert.ok(at(own.notBefore.getTime()).ok);
  const early = at(own.notBefore.getTime() - 1);
  assert.equal(!early.ok && early.code, "BW_PEER_NOT_YET_VALID");
});

test("matchesExpectedSans() wants one of the expected names, exactly", () => {
  const own = peer({ dnsNames: ["payroll.finance.svc"] });
  assert.equal(matchesExpectedSans(own, [AUDITOR]), true);
  assert.equal(matchesExpectedSans(own, [PAYROLL, AUDITOR]), true);
  assert.equal(matchesExpectedSans(own, ["payroll.finance.svc"]), true);
  for (const expected of [
    [],
    [PAYROLL],
    [`${AUDITOR}x`],
    [AUDITOR.slice(0, -1)],
    ["Payroll.finance.svc"],
    ["*"],
    [""],
  ]) {
    assert.equal(matchesExpectedSans(own, expected), false, JSON.stringify(expected));
  }
});

test("matchesExpectedSans() does not take one of two SPIFFE IDs for the identity", () => {
  const two = peer({ uris: [AUDITOR, PAYROLL] });
  assert.equal(matchesExpectedSans(two, [AUDITOR]), false);
  assert.equal(matchesExpectedSans(two, [PAYROLL]), false);
});
