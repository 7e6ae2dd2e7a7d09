import "reflect-metadata";
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { webcrypto } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as x509 from "@peculiar/x509";
import { openCa } from "../../src/identity/ca.ts";
import { encodeCsr } from "../../src/identity/csr.ts";
import { KEY_ALGORITHMS, type KeyAlgorithmName, spkiOf } from "../../src/identity/key-algorithm.ts";
import { readPrivateKey } from "../../src/identity/key-store.ts";
import { decodePem, encodePem } from "../../src/identity/pem.ts";
import { signCertificate, signerFrom } from "../../src/identity/sign.ts";
import {
  authorityTemplate,
  serialFrom,
  serverTemplate,
  validityFrom,
  workloadTemplate,
} from "../../src/identity/template.ts";
import type { SpiffeId } from "../../src/model/spiffe-id.ts";
import { AUDITOR, CLUSTER_LOCAL, credentials, temporaryFolder, testCa } from "./mesh-fixture.ts";

x509.cryptoProvider.set(webcrypto as Crypto);

const NAMES = Object.keys(KEY_ALGORITHMS) as KeyAlgorithmName[];
const opensslMissing =
  spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is not on this machine";

function critical(certificate: x509.X509Certificate): string[] {
  return [...certificate.extensions]
    .filter((extension) => extension.critical)
    .map((extension) => extension.type);
}

function extensionOf<T extends x509.Extension>(
  certificate: x509.X509Certificate,
  type: new (...args: never[]) => T,
): T {
  return certificate.extensions.find((e): e is T => e instanceof type) ?? assert.fail(`no ${type.name}`);
}

test("issue() writes the workload profile, as an independent parser reads it", async (t) => {
  const now = Date.UTC(2026, 7, 1, 12, 0, 0, 400);
  const ca = await testCa(t, { clock: () => now });
  const { issued, privateKey } = await credentials(ca);
  const leaf = new x509.X509Certificate(issued.certificate);
  assert.equal(leaf.subject, "");
  assert.match(leaf.serialNumber, /^[4-7][0-9a-f]{31}$/);
  assert.equal(leaf.serialNumber, issued.serial);
  assert.equal(leaf.notBefore.toISOString(), "2026-08-01T11:59:00.000Z");
  assert.equal(leaf.notAfter.toISOString(), "2026-08-02T12:00:00.000Z");
  assert.deepEqual(Buffer.from(leaf.publicKey.rawData), spkiOf(privateKey));
  assert.deepEqual(critical(leaf), ["2.5.29.15", "2.5.29.19", "2.5.29.17"]);
  assert.equal(leaf.extensions.length, 6);
  assert.equal(extensionOf(leaf, x509.BasicConstraintsExtension).ca, false);
  assert.equal(extensionOf(leaf, x509.KeyUsagesExtension).usages, x509.KeyUsageFlags.digitalSignature);
  assert.deepEqual(
    [...extensionOf(leaf, x509.ExtendedKeyUsageExtension).usages],
    ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"],
  );
  const names = extensionOf(leaf, x509.SubjectAlternativeNameExtension).names.toJSON();
  assert.deepEqual(names, [{ type: "url", value: AUDITOR }]);
  const issuer = new x509.X509Certificate(ca.issuerCertificate);
  assert.equal(leaf.issuer, issuer.subject);
  const issuerKeyId = extensionOf(issuer, x509.SubjectKeyIdentifierExtension).keyId;
  assert.equal(extensionOf(leaf, x509.AuthorityKeyIdentifierExtension).keyId, issuerKeyId);
  assert.notEqual(extensionOf(leaf, x509.SubjectKeyIdentifierExtension).keyId, issuerKeyId);
  assert.equal(await leaf.verify({ publicKey: issuer.publicKey, signatureOnly: true }), true);
});

test("openCa() writes a root and an intermediate that may sign leaves and no further CA", async (t) => {
  const ca = await testCa(t);
  const root = new x509.X509Certificate(ca.trustBundle[0] ?? assert.fail());
  const intermediate = new x509.X509Certificate(ca.issuerCertificate);
  assert.deepEqual(critical(root), ["2.5.29.15", "2.5.29.19"]);
  assert.deepEqual(critical(intermediate), ["2.5.29.15", "2.5.29.19", "2.5.29.30"]);
  for (const certificate of [root, intermediate]) {
    assert.equal(extensionOf(certificate, x509.BasicConstraintsExtension).ca, true);
    assert.equal(
      extensionOf(certificate, x509.KeyUsagesExtension).usages,
      x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
    );
    const names = extensionOf(certificate, x509.SubjectAlternativeNameExtension).names.toJSON();
    assert.deepEqual(names, [{ type: "url", value: "spiffe://cluster.local" }]);
    assert.equal(await certificate.verify({ publicKey: root.publicKey, signatureOnly: true }), true);
  }
  assert.equal(extensionOf(root, x509.BasicConstraintsExtension).pathLength, undefined);
  assert.equal(extensionOf(intermediate, x509.BasicConstraintsExtension).pathLength, 0);
  assert.notEqual(root.subject, intermediate.subject);
  const years = (root.notAfter.getTime() - Date.now()) / 86_400_000 / 365;
  assert.ok(Math.abs(years - 10) < 0.01, `${years} years`);
});

for (const name of NAMES) {
  test(`encodeCsr() writes a request for a key of ${name} that an independent parser verifies`, async () => {
    const { privateKey } = await KEY_ALGORITHMS[name].generate();
    const request = new x509.Pkcs10CertificateRequest(encodeCsr(privateKey));
    assert.equal(await request.verify(), true);
    assert.equal(request.subject, "");
    assert.deepEqual(Buffer.from(request.publicKey.rawData), spkiOf(privateKey));
  });

  test(`an independent parser reads and verifies what a CA of ${name} writes for keys of every kind`, async (t) => {
    const ca = await testCa(t, { keyAlgorithm: name });
    const root = new x509.X509Certificate(ca.trustBundle[0] ?? assert.fail());
    const issuer = new x509.X509Certificate(ca.issuerCertificate);
    assert.equal(await issuer.verify({ publicKey: root.publicKey, signatureOnly: true }), true);
    for (const keyAlgorithm of NAMES) {
      const { issued, privateKey } = await credentials(ca, { keyAlgorithm });
      const leaf = new x509.X509Certificate(issued.certificate);
      const what = `a key of ${keyAlgorithm}`;
      assert.equal(await leaf.verify({ publicKey: issuer.publicKey, signatureOnly: true }), true, what);
      assert.equal(await leaf.verify({ publicKey: root.publicKey, signatureOnly: true }), false, what);
      assert.deepEqual(Buffer.from(leaf.publicKey.rawData), spkiOf(privateKey), what);
      assert.deepEqual(
        Array.from(
          leaf.extensions,
          ({ type, critical: isCritical }) => `${type}${isCritical ? " critical" : ""}`,
        ),
        [
          "2.5.29.15 critical",
          "2.5.29.37",
          "2.5.29.19 critical",
          "2.5.29.14",
          "2.5.29.35",
          "2.5.29.17 critical",
        ],
        what,
      );
      assert.equal(
        extensionOf(leaf, x509.KeyUsagesExtension).usages,
        x509.KeyUsageFlags.digitalSignature,
        what,
      );
      const names = extensionOf(leaf, x509.SubjectAlternativeNameExtension).names.toJSON();
      assert.deepEqual(names, [{ type: "url", value: AUDITOR }], what);
    }
  });

  test(`openssl accepts the chain of a CA and a leaf of ${name}`, { skip: opensslMissing }, async (t) => {
    const folder = temporaryFolder(t);
    const ca = await openCa(folder, { trustDomain: CLUSTER_LOCAL, keyAlgorithm: name });
    t.after(() => ca.close());
    const { issued } = await credentials(ca, { keyAlgorithm: name });
    for (const purpose of ["sslserver", "sslclient"]) {
      assert.match(opensslVerify(folder, issued.chainPem, issued.trustBundlePem, purpose), /leaf\.pem: OK/);
    }
    const other = await testCa(t);
    assert.throws(() => opensslVerify(folder, issued.chainPem, other.trustBundlePem, "sslclient"));
  });
}

function opensslVerify(folder: string, chainPem: string, rootsPem: string, purpose: string): string {
  const [leaf, ...rest] = decodePem("CERTIFICATE", chainPem);
  const write = (name: string, ders: readonly Buffer[]) => {
    writeFileSync(join(folder, name), ders.map((der) => encodePem("CERTIFICATE", der)).join(""));
    return join(folder, name);
  };
  const roots = write("roots.pem", decodePem("CERTIFICATE", rootsPem));
  const untrusted = write("untrusted.pem", rest);
  const files = ["-CAfile", roots, "-untrusted", untrusted, write("leaf.pem", [leaf ?? assert.fail()])];
  const strict = ["verify", "-x509_strict", "-check_ss_sig", "-policy_check", "-purpose", purpose];
  return execFileSync("openssl", [...strict, ...files], { encoding: "utf8", stdio: "pipe" });
}

test("an intermediate may sign for its own trust domain and no other: a critical name constraint that openssl applies", {
  skip: opensslMissing,
}, async (t) => {
  const folder = temporaryFolder(t);
  const ca = await openCa(folder, { trustDomain: CLUSTER_LOCAL });
  t.after(() => ca.close());
  const text = execFileSync("openssl", ["x509", "-noout", "-ext", "nameConstraints"], {
    input: encodePem("CERTIFICATE", ca.issuerCertificate),
    encoding: "utf8",
  });
  assert.match(text, /^X509v3 Name Constraints: critical\s+Permitted:\s+URI:cluster\.local\s*$/);
  const keyFile = join(folder, "ca", `intermediate-${ca.issuer.keyId}.key.pem`);
  const key = readPrivateKey(keyFile) ?? assert.fail("no key");
  const leaf = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const verify = (trustDomain: string) => {
    const issuer = signerFrom(ca.issuerCertificate, key);
    const template = workloadTemplate({
      identity: `spiffe://${trustDomain}/ns/a/sa/b` as SpiffeId,
      spki: spkiOf(leaf.publicKey),
      validity: validityFrom(Date.now(), 3600, issuer),
      serial: serialFrom(Buffer.alloc(16, 3)),
      issuer,
    });
    const chain = [signCertificate(template, key), ca.issuerCertificate];
    const pem = chain.map((der) => encodePem("CERTIFICATE", der)).join("");
    return opensslVerify(folder, pem, ca.trustBundlePem, "sslclient");
  };
  assert.match(verify("cluster.local"), /leaf\.pem: OK/);
  for (const foreign of ["other.example", "cluster.local.other.example", "sub.cluster.local"])
    assert.throws(() => verify(foreign), /permitted subtree violation/, foreign);
});

test("serverTemplate() writes an ordinary server's certificate for stand-ins outside of the mesh", async () => {
  const ca = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const host = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const validity = validityFrom(Date.now(), 3600);
  const root = authorityTemplate({
    trustDomain: CLUSTER_LOCAL,
    spki: spkiOf(ca.publicKey),
    validity,
    serial: serialFrom(Buffer.alloc(16)),
  });
  const issuer = signerFrom(signCertificate(root, ca.privateKey), ca.privateKey);
  const dnsNames = ["www.ibm.com", "*.composedb.com"];
  const template = serverTemplate({
    dnsNames,
    spki: spkiOf(host.publicKey),
    validity,
    serial: serialFrom(Buffer.alloc(16, 255)),
    issuer,
  });
  const leaf = new x509.X509Certificate(signCertificate(template, ca.privateKey));
  const names = extensionOf(leaf, x509.SubjectAlternativeNameExtension).names.toJSON();
  assert.deepEqual(
    names,
    dnsNames.map((value) => ({ type: "dns", value })),
  );
  assert.deepEqual([...extensionOf(leaf, x509.ExtendedKeyUsageExtension).usages], ["1.3.6.1.5.5.7.3.1"]);
  assert.equal(leaf.serialNumber, "7fffffffffffffffffffffffffffffff");
});

test("a certificate that ends after 2049 changes to GeneralizedTime", async (t) => {
  const ca = await testCa(t, { clock: () => Date.UTC(2049, 11, 31, 23, 0, 0) });
  const { issued } = await credentials(ca);
  const leaf = new x509.X509Certificate(issued.certificate);
  assert.equal(leaf.notBefore.toISOString(), "2049-12-31T22:59:00.000Z");
  assert.equal(leaf.notAfter.toISOString(), "2050-01-01T23:00:00.000Z");
  assert.ok(issued.certificate.includes("491231225900Z") && issued.certificate.includes("20500101230000Z"));
});
