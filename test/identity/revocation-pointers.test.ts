import "reflect-metadata";
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { webcrypto } from "node:crypto";
import { test } from "node:test";
import * as x509 from "@peculiar/x509";
import { readCertificate } from "../../src/identity/certificate-der.ts";
import { encodePem } from "../../src/identity/pem.ts";
import { isPointerUrl, pointersOf, publishedUrls } from "../../src/identity/pointer-urls.ts";
import { readRevocationPointers } from "../../src/identity/revocation-pointers.ts";
import { issueCertificate } from "../../src/identity/sign.ts";
import { workloadTemplate } from "../../src/identity/template.ts";
import { verifyIssued } from "../../src/identity/verify-issued.ts";
import { AUDITOR, credentials, testCa } from "./mesh-fixture.ts";

x509.cryptoProvider.set(webcrypto as Crypto);

const opensslMissing =
  spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is not on this machine";
const CRL = "http://crl.example/crl/{issuer}.crl";
const OTHER_CRL = "http://mirror.example:8080/{issuer}/list";
const OCSP = "http://ocsp.example/ocsp";

function opensslText(der: Buffer): string {
  return execFileSync("openssl", ["x509", "-noout", "-text"], {
    input: encodePem("CERTIFICATE", der),
    encoding: "utf8",
  });
}

test("a certificate points at the configured CRLs and OCSP responders of its issuer, as an independent parser reads it", async (t) => {
  const ca = await testCa(t, { pointerUrls: { crlUrls: [CRL, OTHER_CRL], ocspUrls: [OCSP] } });
  const { issued } = await credentials(ca);
  const leaf = new x509.X509Certificate(issued.certificate);
  const { keyId } = ca.issuer;
  const points = leaf.getExtension(x509.CRLDistributionPointsExtension) ?? assert.fail("no points");
  assert.equal(points.critical, false);
  assert.deepEqual(
    Array.from(points.distributionPoints, (point) =>
      Array.from(point.distributionPoint?.fullName ?? [], (name) => name.uniformResourceIdentifier),
    ),
    [[`http://crl.example/crl/${keyId}.crl`, `http://mirror.example:8080/${keyId}/list`]],
  );
  const access = leaf.getExtension(x509.AuthorityInfoAccessExtension) ?? assert.fail("no access");
  assert.equal(access.critical, false);
  assert.deepEqual(
    access.ocsp.map(({ value }) => value),
    [OCSP],
  );
  assert.deepEqual([access.caIssuers, access.caRepository, access.timeStamping], [[], [], []]);
  const issuer = new x509.X509Certificate(ca.issuerCertificate);
  assert.equal(await leaf.verify({ publicKey: issuer.publicKey, signatureOnly: true }), true);
});

test("a certificate has the pointers that are configured, and without any neither of the extensions", async (t) => {
  for (const [pointerUrls, expected] of [
    [{}, []],
    [{ crlUrls: [], ocspUrls: [] }, []],
    [{ crlUrls: [CRL] }, ["2.5.29.31"]],
    [{ ocspUrls: [OCSP] }, ["1.3.6.1.5.5.7.1.1"]],
    [{ crlUrls: [CRL], ocspUrls: [OCSP] }, ["2.5.29.31", "1.3.6.1.5.5.7.1.1"]],
  ] as const) {
    const ca = await testCa(t, { pointerUrls });
    const { issued } = await credentials(ca);
    const { extensions } = new x509.X509Certificate(issued.certificate);
    const types = Array.from(extensions, ({ type }) => type);
    assert.deepEqual(types.slice(6), expected, JSON.stringify(pointerUrls));
    const typesOf = (der: Buffer) => Array.from(new x509.X509Certificate(der).extensions, ({ type }) => type);
    const hasList = "crlUrls" in pointerUrls && pointerUrls.crlUrls.length > 0;
    assert.equal(typesOf(ca.issuerCertificate).includes("2.5.29.31"), hasList);
    assert.ok(!typesOf(ca.issuerCertificate).includes("1.3.6.1.5.5.7.1.1"));
    for (const root of ca.trustBundle) assert.ok(!typesOf(root).includes("2.5.29.31"));
  }
});

test("openssl reads the pointers", { skip: opensslMissing }, async (t) => {
  const ca = await testCa(t, { pointerUrls: { crlUrls: [CRL], ocspUrls: [OCSP] } });
  const { issued } = await credentials(ca);
  const text = opensslText(issued.certificate);
  assert.match(
    text,
    new RegExp(
      `X509v3 CRL Distribution Points: \\s+Full Name:\\s+URI:http://crl\\.example/crl/${ca.issuer.keyId}\\.crl`,
    ),
  );
  assert.match(text, /Authority Information Access: \s+OCSP - URI:http:\/\/ocsp\.example\/ocsp/);
  const authority = opensslText(ca.issuerCertificate);
  assert.ok(authority.includes(`URI:http://crl.example/crl/${ca.manifest?.signingRoot}.crl`), authority);
  assert.doesNotMatch(authority, /Authority Information/);
});

test("what was signed with other pointers than its template is not handed out", async (t) => {
  const ca = await testCa(t, { pointerUrls: { crlUrls: [CRL], ocspUrls: [OCSP] } });
  const { issued } = await credentials(ca);
  const fields = readCertificate(issued.certificate);
  const pointers = readRevocationPointers(fields.extensions);
  const template = workloadTemplate({
    identity: AUDITOR,
    spki: fields.spki,
    validity: { notBefore: issued.notBefore, notAfter: issued.notAfter },
    serial: Buffer.from(issued.serial, "hex"),
    issuer: ca.signer,
    revocationPointers: pointers,
  });
  const certificate = await issueCertificate(template, ca.signer.key);
  verifyIssued(certificate, template, ca.signer);
  const { revocationPointers: _, ...none } = template;
  for (const other of [
    none,
    { ...template, revocationPointers: { ...pointers, ocspUrls: [] } },
    { ...template, revocationPointers: { ...pointers, crlUrls: ["http://evil.example/"] } },
    { ...template, revocationPointers: { ...pointers, ocspUrls: [OCSP, OCSP] } },
  ])
    assert.throws(() => verifyIssued(certificate, other, ca.signer), { code: "BW_CA_ISSUED_MISMATCH" });
  assert.throws(() => verifyIssued(certificate, none, ca.signer), /extension 551d1f/);
});

test("pointers are plain http in visible ASCII; what is published names the issuer", () => {
  for (const text of [CRL, OTHER_CRL, OCSP, "http://[::1]:8086/ocsp"]) assert.ok(isPointerUrl(text), text);
  for (const text of [
    "https://crl.example/",
    "ldap://crl.example/",
    "crl.example",
    "http://user@crl.example/",
    "http://crl.example/#top",
    "http://crl.example/a b",
    "http://crl.ëxample/",
    `http://crl.example/${"a".repeat(240)}`,
    "",
  ])
    assert.ok(!isPointerUrl(text), text);
  const { crl, ocsp } = publishedUrls("http://127.0.0.1:8086");
  assert.deepEqual(pointersOf({ crlUrls: [crl], ocspUrls: [ocsp] }, "ab"), {
    crlUrls: ["http://127.0.0.1:8086/crl/ab.crl"],
    ocspUrls: ["http://127.0.0.1:8086/ocsp"],
  });
});
