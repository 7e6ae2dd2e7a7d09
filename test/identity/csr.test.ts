import "reflect-metadata";
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, sign, webcrypto } from "node:crypto";
import { test } from "node:test";
import * as x509 from "@peculiar/x509";
import fc from "fast-check";
import { encodeCsr, verifyCsr } from "../../src/identity/csr.ts";
import { contextTag, TAG } from "../../src/identity/der-reader.ts";
import { type DerNode, der, derBitString, derOid, encodeDer } from "../../src/identity/der-writer.ts";
import { KEY_ALGORITHMS, type KeyAlgorithmName, spkiOf } from "../../src/identity/key-algorithm.ts";
import { OID } from "../../src/identity/object-ids.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { AUDITOR, credentials, SEED, testCa } from "./mesh-fixture.ts";

x509.cryptoProvider.set(webcrypto as Crypto);

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const other = generateKeyPairSync("ec", { namedCurve: "P-256" });

interface Forgery {
  readonly version?: number;
  readonly spki?: Buffer;
  readonly signer?: KeyObject;
  readonly signatureOid?: string;
  readonly hash?: string | null;
  readonly parameters?: readonly DerNode[];
  readonly attributes?: readonly DerNode[];
}

/** A request made piece by piece, so that each piece can be wrong. */
function forge(forgery: Forgery = {}): Buffer {
  const { version = 0, spki = spkiOf(privateKey), signer = privateKey, hash = "sha256" } = forgery;
  const attributes = forgery.attributes ?? [der(contextTag(0))];
  const info = encodeDer(
    der(TAG.sequence, der(TAG.integer, Buffer.from([version])), der(TAG.sequence), spki, ...attributes),
  );
  const algorithm = der(
    TAG.sequence,
    derOid(forgery.signatureOid ?? OID.ecdsaWithSha256),
    ...(forgery.parameters ?? []),
  );
  return encodeDer(der(TAG.sequence, info, algorithm, derBitString(sign(hash, info, signer))));
}

function flipped(csr: Buffer, at: number): Buffer {
  const copy = Buffer.from(csr);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 1;
  return copy;
}

/** P-256's prefix with a compressed point behind it, which OpenSSL would read. */
function compressedPoint(): Buffer {
  const point = spkiOf(privateKey).subarray(27);
  const compressed = Buffer.concat([Buffer.from([2 + ((point[63] ?? 0) & 1)]), point.subarray(0, 32)]);
  const algorithm = der(TAG.sequence, derOid("2a8648ce3d0201"), derOid("2a8648ce3d030107"));
  return encodeDer(der(TAG.sequence, algorithm, derBitString(compressed)));
}

function offCurve(): Buffer {
  return flipped(spkiOf(privateKey), -1);
}

function keyOf(
  type: "rsa" | "ec" | "ed448" | "rsa-pss" | "dsa",
  options: object,
): { spki: Buffer; signer: KeyObject } {
  const pair = (generateKeyPairSync as (type: string, options: object) => { privateKey: KeyObject })(
    type,
    options,
  );
  return { spki: spkiOf(pair.privateKey), signer: pair.privateKey };
}

const valid = forge();

const REFUSED: ReadonlyArray<readonly [what: string, csr: () => Buffer, code: string]> = [
  ["nothing", () => Buffer.alloc(0), "BW_CA_CSR_MALFORMED"],
  ["text", () => Buffer.from("-----BEGIN CERTIFICATE REQUEST-----"), "BW_CA_CSR_MALFORMED"],
  ["a request cut short", () => valid.subarray(0, -1), "BW_CA_CSR_MALFORMED"],
  ["bytes after the request", () => Buffer.concat([valid, Buffer.from([0])]), "BW_CA_CSR_MALFORMED"],
  ["an indefinite length", () => Buffer.from("3080020100", "hex"), "BW_CA_CSR_MALFORMED"],
  ["a length of 4 GiB", () => Buffer.from("3084ffffffff00", "hex"), "BW_CA_CSR_MALFORMED"],
  [
    "a length not in its shortest form",
    () => Buffer.concat([Buffer.from("30820005", "hex"), Buffer.alloc(5)]),
    "BW_CA_CSR_MALFORMED",
  ],
  [
    "nesting without end",
    () => Buffer.concat(Array.from({ length: 4000 }, () => Buffer.from("3080", "hex"))),
    "BW_CA_CSR_MALFORMED",
  ],
  ["version 1", () => forge({ version: 1 }), "BW_CA_CSR_MALFORMED"],
  [
    "attributes given twice",
    () => forge({ attributes: [der(contextTag(0)), der(contextTag(0))] }),
    "BW_CA_CSR_MALFORMED",
  ],
  [
    "parameters on the signature algorithm",
    () => forge({ parameters: [der(TAG.integer, Buffer.from([1]))] }),
    "BW_CA_CSR_MALFORMED",
  ],
  ["a point off the curve", () => forge({ spki: offCurve() }), "BW_CA_CSR_MALFORMED"],
  ["a compressed point", () => forge({ spki: compressedPoint() }), "BW_CA_CSR_WEAK_KEY"],
  ["an empty sequence", () => Buffer.from("3000", "hex"), "BW_CA_CSR_MALFORMED"],
  ["17 KiB", () => forge({ attributes: [der(contextTag(0), Buffer.alloc(17_000))] }), "BW_CA_CSR_TOO_LARGE"],
  [
    "RSA of 1024 bits",
    () =>
      forge({
        ...keyOf("rsa", { modulusLength: 1024 }),
        signatureOid: OID.sha256WithRsa,
        parameters: [der(TAG.null)],
      }),
    "BW_CA_CSR_WEAK_KEY",
  ],
  [
    "RSA with exponent 3",
    () =>
      forge({ ...keyOf("rsa", { modulusLength: 2048, publicExponent: 3 }), signatureOid: OID.sha256WithRsa }),
    "BW_CA_CSR_WEAK_KEY",
  ],
  ["secp256k1", () => forge(keyOf("ec", { namedCurve: "secp256k1" })), "BW_CA_CSR_WEAK_KEY"],
  ["P-224", () => forge(keyOf("ec", { namedCurve: "secp224r1" })), "BW_CA_CSR_WEAK_KEY"],
  [
    "P-256 with explicit parameters",
    () => forge(keyOf("ec", { namedCurve: "P-256", paramEncoding: "explicit" })),
    "BW_CA_CSR_WEAK_KEY",
  ],
  [
    "Ed448",
    () => forge({ ...keyOf("ed448", {}), hash: null, signatureOid: OID.ed25519 }),
    "BW_CA_CSR_WEAK_KEY",
  ],
  ["SHA-1", () => forge({ hash: "sha1", signatureOid: "2a8648ce3d0401" }), "BW_CA_CSR_SIGNATURE_ALGORITHM"],
  [
    "another key's algorithm",
    () => forge({ signatureOid: OID.sha256WithRsa }),
    "BW_CA_CSR_SIGNATURE_ALGORITHM",
  ],
  ["another key's signature", () => forge({ signer: other.privateKey }), "BW_CA_CSR_PROOF_OF_POSSESSION"],
  [
    "a victim's public key, signed by the attacker",
    () => forge({ spki: spkiOf(other.publicKey) }),
    "BW_CA_CSR_PROOF_OF_POSSESSION",
  ],
  ["another hash than it names", () => forge({ hash: "sha384" }), "BW_CA_CSR_PROOF_OF_POSSESSION"],
  ["a length inside that was changed", () => flipped(valid, 5 + 2), "BW_CA_CSR_MALFORMED"],
  ["a signature that was changed", () => flipped(valid, -1), "BW_CA_CSR_PROOF_OF_POSSESSION"],
];

for (const [what, csr, code] of REFUSED) {
  test(`verifyCsr() refuses ${what} with ${code}`, () => {
    assert.throws(() => verifyCsr(csr()), { name: "BulwarkError", code });
  });
}

for (const name of Object.keys(KEY_ALGORITHMS) as KeyAlgorithmName[]) {
  test(`verifyCsr() accepts what encodeCsr() writes for ${name}`, async () => {
    const pair = await KEY_ALGORITHMS[name].generate();
    const verified = verifyCsr(encodeCsr(pair.privateKey));
    assert.equal(verified.algorithm.name, name);
    assert.deepEqual(verified.spki, spkiOf(pair.publicKey));
  });
}

test("issue() signs for the kinds of keys that are configured, and no other", async (t) => {
  const ca = await testCa(t, { leafAlgorithms: ["ecdsa-p384", "rsa"] });
  for (const keyAlgorithm of ["ecdsa-p384", "rsa"] as const)
    assert.ok(await credentials(ca, { keyAlgorithm }));
  for (const keyAlgorithm of ["ecdsa-p256", "ed25519"] as const)
    await assert.rejects(credentials(ca, { keyAlgorithm }), { code: "BW_CA_CSR_KEY_KIND" });
});

test("verifyCsr() accepts openings that other software writes: no attributes, other hashes", () => {
  assert.ok(verifyCsr(forge({ attributes: [] })));
  assert.ok(verifyCsr(forge({ hash: "sha512", signatureOid: OID.ecdsaWithSha512 })));
});

test("issue() takes the identity from the caller, not from a request that names another", async (t) => {
  const alg = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(alg, true, ["sign", "verify"]);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: "CN=admin, O=system:masters",
    keys,
    signingAlgorithm: alg,
    extensions: [
      new x509.SubjectAlternativeNameExtension([
        { type: "url", value: "spiffe://cluster.local/ns/istio-system/sa/istiod" },
      ]),
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  const ca = await testCa(t);
  const issued = await ca.issue({
    csr: Buffer.from(request.rawData),
    verifiedIdentity: AUDITOR,
    ttlSeconds: 0,
  });
  const leaf = new x509.X509Certificate(issued.certificate);
  assert.equal(leaf.subject, "");
  assert.ok(issued.certificate.includes(AUDITOR));
  assert.equal(issued.certificate.includes("istiod"), false);
  assert.equal(issued.certificate.includes("masters"), false);
  const plain = await credentials(ca);
  assert.deepEqual(
    leaf.extensions.map((extension) => extension.type),
    new x509.X509Certificate(plain.issued.certificate).extensions.map((extension) => extension.type),
  );
});

test("verifyCsr() refuses every mutation by a BulwarkError, and accepts none that changes the key", () => {
  const key = spkiOf(privateKey);
  const edits = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(edits, (changes) => {
      const csr = Buffer.from(valid);
      for (const [at, value] of changes) csr[at] = value;
      try {
        return verifyCsr(csr).spki.equals(key);
      } catch (error) {
        return error instanceof BulwarkError;
      }
    }),
    { seed: SEED, numRuns: 1500 },
  );
});
