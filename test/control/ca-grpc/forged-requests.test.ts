/** More kinds of bad requests than refusals.test.ts has: those that need DER or JSON written by hand. */
import "reflect-metadata";
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { after, before, test } from "node:test";
import * as x509 from "@peculiar/x509";
import { contextTag, TAG } from "../../../src/identity/der-reader.ts";
import { type DerNode, der, derBitString, derOid, encodeDer } from "../../../src/identity/der-writer.ts";
import { spkiOf } from "../../../src/identity/key-algorithm.ts";
import { OID } from "../../../src/identity/object-ids.ts";
import { encodePem } from "../../../src/identity/pem.ts";
import { type AskOptions, CaFixture, chainOf, identityOf } from "./ca-fixture.ts";

const INVALID_ARGUMENT = 3;
const UNAUTHENTICATED = 16;

const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
let fixture: CaFixture;
before(async () => {
  fixture = await CaFixture.open({
    limits: { perIdentity: { ratePerSecond: 1000, burst: 1000 } },
  });
});
after(() => fixture.close());

interface Forgery {
  readonly version?: Buffer;
  readonly subject?: DerNode;
  readonly key?: KeyObject;
  readonly spki?: Buffer;
  readonly signatureOid?: string;
  readonly parameters?: readonly DerNode[];
  readonly hash?: string | null;
  readonly attributes?: readonly DerNode[];
  /** Makes another signature of the right one. */
  readonly signature?: (right: Buffer) => DerNode;
}

const RSA = { signatureOid: OID.sha256WithRsa, parameters: [der(TAG.null)] };

/** A request made piece by piece, so that each piece can be wrong; PEM. */
/** A request whose base64 ends in padding: signatures differ in length. */
function padded(): string {
  for (;;) {
    const request = forged();
    if (/=\s+-----END/.test(request)) return request;
  }
}

function forged(forgery: Forgery = {}): string {
  const { key = p256, hash = "sha256", attributes = [], signature = derBitString } = forgery;
  const info = encodeDer(
    der(
      TAG.sequence,
      der(TAG.integer, forgery.version ?? Buffer.from([0])),
      forgery.subject ?? der(TAG.sequence),
      forgery.spki ?? spkiOf(key),
      der(contextTag(0), ...attributes),
    ),
  );
  const algorithm = der(
    TAG.sequence,
    derOid(forgery.signatureOid ?? OID.ecdsaWithSha256),
    ...(forgery.parameters ?? []),
  );
  return pem(encodeDer(der(TAG.sequence, info, algorithm, signature(sign(hash, info, key)))));
}

function pem(bytes: Buffer): string {
  return encodePem("CERTIFICATE REQUEST", bytes);
}

/** The attribute that asks for these extensions. */
function extensionRequest(...extensions: readonly DerNode[]): DerNode {
  return der(TAG.sequence, derOid("2a864886f70d01090e"), der(TAG.set, der(TAG.sequence, ...extensions)));
}

function extension(oid: string, value: DerNode, critical = false): DerNode {
  const flag = critical ? [der(TAG.boolean, Buffer.from([0xff]))] : [];
  return der(TAG.sequence, derOid(oid), ...flag, der(TAG.octetString, value));
}

const uri = (text: string) => der(0x86, Buffer.from(text, "latin1"));
const names = (...of: readonly DerNode[]) => extension(OID.subjectAltName, der(TAG.sequence, ...of));
const wishing = (...extensions: readonly DerNode[]) =>
  forged({ attributes: [extensionRequest(...extensions)] });
const ec = (namedCurve: string, paramEncoding: "named" | "explicit" = "named") =>
  generateKeyPairSync("ec", { namedCurve, paramEncoding }).privateKey;
const rsa = (modulusLength: number, publicExponent = 65_537) =>
  generateKeyPairSync("rsa", { modulusLength, publicExponent }).privateKey;
const changed = (change: (bytes: Buffer) => Buffer) => {
  const [, base64 = ""] = /-----\n([^-]+)-----/.exec(forged()) ?? [];
  return pem(change(Buffer.from(base64, "base64")));
};

const own = identityOf("auditor");
const UNKNOWN = extension("2b06010401d90400", der(TAG.utf8String, Buffer.from("me")), true);

/** What is wrong with the request, its PEM, and the code of its refusal. */
const REQUESTS: readonly (readonly [what: string, csr: () => string, code: string])[] = [
  ["a key on P-224", () => forged({ key: ec("secp224r1") }), "BW_CA_CSR_WEAK_KEY"],
  ["a key on secp256k1", () => forged({ key: ec("secp256k1") }), "BW_CA_CSR_WEAK_KEY"],
  ["a key on a Brainpool curve", () => forged({ key: ec("brainpoolP256r1") }), "BW_CA_CSR_WEAK_KEY"],
  ["P-256 by explicit parameters", () => forged({ key: ec("prime256v1", "explicit") }), "BW_CA_CSR_WEAK_KEY"],
  ["an RSA key of 2,040 bits", () => forged({ key: rsa(2040), ...RSA }), "BW_CA_CSR_WEAK_KEY"],
  ["an RSA key with exponent 3", () => forged({ key: rsa(2048, 3), ...RSA }), "BW_CA_CSR_WEAK_KEY"],
  ["an RSA key of 16,384 bits", () => forged({ ...RSA, spki: hugeRsa() }), "BW_CA_CSR_WEAK_KEY"],
  [
    "an RSA-PSS key",
    () => forged({ key: generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).privateKey, ...RSA }),
    "BW_CA_CSR_WEAK_KEY",
  ],
  [
    "an Ed448 key",
    () => forged({ key: generateKeyPairSync("ed448").privateKey, hash: null }),
    "BW_CA_CSR_WEAK_KEY",
  ],
  [
    "a key that can only agree (X25519)",
    () => forged({ spki: spkiOf(generateKeyPairSync("x25519").privateKey) }),
    "BW_CA_CSR_WEAK_KEY",
  ],
  ["a key on a curve that nobody knows", () => forged({ spki: unknownCurve() }), "BW_CA_CSR_MALFORMED"],
  ["a point that is not on its curve", () => forged({ spki: offCurve() }), "BW_CA_CSR_MALFORMED"],
  [
    "a signature by SHA-1",
    () => forged({ hash: "sha1", signatureOid: "2a8648ce3d0401" }),
    "BW_CA_CSR_SIGNATURE_ALGORITHM",
  ],
  [
    "an RSA key's algorithm over an elliptic key's signature",
    () => forged(RSA),
    "BW_CA_CSR_SIGNATURE_ALGORITHM",
  ],
  ["another hash than it names", () => forged({ hash: "sha384" }), "BW_CA_CSR_PROOF_OF_POSSESSION"],
  [
    "an ECDSA signature of r = s = 0",
    () => forged({ signature: () => derBitString(Buffer.from("3006020100020100", "hex")) }),
    "BW_CA_CSR_PROOF_OF_POSSESSION",
  ],
  [
    "a signature with bytes behind it",
    () => forged({ signature: (right) => derBitString(Buffer.concat([right, Buffer.from([0])])) }),
    "BW_CA_CSR_PROOF_OF_POSSESSION",
  ],
  [
    "a signature with unused bits",
    () => forged({ signature: (right) => der(TAG.bitString, Buffer.concat([Buffer.from([1]), right])) }),
    "BW_CA_CSR_MALFORMED",
  ],
  ["an empty signature", () => forged({ signature: () => der(TAG.bitString) }), "BW_CA_CSR_MALFORMED"],
  ["a negative version", () => forged({ version: Buffer.from([0xff]) }), "BW_CA_CSR_MALFORMED"],
  ["the version of a later standard", () => forged({ version: Buffer.from([1]) }), "BW_CA_CSR_MALFORMED"],
  [
    "an indefinite length",
    () => changed((bytes) => Buffer.concat([Buffer.from([0x30, 0x80]), bytes.subarray(3), Buffer.alloc(2)])),
    "BW_CA_CSR_MALFORMED",
  ],
  [
    "a length in a longer form than it needs",
    () => changed((bytes) => Buffer.concat([Buffer.from([0x30, 0x82, 0]), bytes.subarray(2)])),
    "BW_CA_CSR_MALFORMED",
  ],
  ["a length of 4 GiB", () => pem(Buffer.from("3084ffffffff0201", "hex")), "BW_CA_CSR_MALFORMED"],
  [
    "nesting without end",
    () => pem(Buffer.concat(Array.from({ length: 4000 }, () => Buffer.from("3080", "hex")))),
    "BW_CA_CSR_MALFORMED",
  ],
  [
    "a certificate in place of a request",
    () => pem(Buffer.from(fixture.ca.issuerCertificate)),
    "BW_CA_CSR_MALFORMED",
  ],
  ["two blocks under a label of a key", () => forged().replaceAll("REQUEST", "KEY"), "BW_CA_CSR_MALFORMED"],
  ["PEM with headers", () => forged().replace("-----\n", "-----\nProc-Type: 4\n\n"), "BW_CA_CSR_MALFORMED"],
  [
    "base64 whose last bits say more",
    () => padded().replace(/.(=+\s+-----END)/, (_text, end) => `/${end}`),
    "BW_CA_CSR_MALFORMED",
  ],
  [
    "its own identity and an address",
    () => wishing(names(uri(own), der(0x87, Buffer.from([127, 0, 0, 1])))),
    "BW_CA_CSR_IDENTITY",
  ],
  ["an e-mail address", () => wishing(names(der(0x81, Buffer.from("root@x")))), "BW_CA_CSR_IDENTITY"],
  [
    "its own identity as a host's name",
    () => wishing(names(der(0x82, Buffer.from(own)))),
    "BW_CA_CSR_IDENTITY",
  ],
  ["its own identity and a NUL", () => wishing(names(uri(`${own}\0`))), "BW_CA_CSR_IDENTITY"],
  ["its own identity in capitals", () => wishing(names(uri(own.toUpperCase()))), "BW_CA_CSR_IDENTITY"],
  [
    "another identity in a second list of names",
    () => wishing(names(uri(own)), names(uri(identityOf("payroll")))),
    "BW_CA_CSR_IDENTITY",
  ],
  [
    "another identity in a second request for extensions",
    () =>
      forged({
        attributes: [extensionRequest(names(uri(own))), extensionRequest(names(uri(identityOf("payroll"))))],
      }),
    "BW_CA_CSR_IDENTITY",
  ],
  [
    "another identity behind an unknown critical extension",
    () => wishing(UNKNOWN, names(uri(identityOf("payroll")))),
    "BW_CA_CSR_IDENTITY",
  ],
  [
    "the wish to sign revocation lists",
    () => wishing(extension(OID.keyUsage, der(TAG.bitString, Buffer.from([1, 0x02])), true)),
    "BW_CA_CSR_SIGNER",
  ],
  [
    "names that are no list",
    () => wishing(extension(OID.subjectAltName, der(TAG.utf8String, Buffer.from(own)))),
    "BW_CA_CSR_MALFORMED",
  ],
  [
    "attributes that break off",
    () => forged({ attributes: [Buffer.from("3009060355", "hex")] }),
    "BW_CA_CSR_MALFORMED",
  ],
];

function hugeRsa(): Buffer {
  const modulus = Buffer.concat([Buffer.from([0, 0x80]), Buffer.alloc(2046, 0x5a), Buffer.from([1])]);
  const key = encodeDer(
    der(TAG.sequence, der(TAG.integer, modulus), der(TAG.integer, Buffer.from([1, 0, 1]))),
  );
  const algorithm = der(TAG.sequence, derOid("2a864886f70d010101"), der(TAG.null));
  return encodeDer(der(TAG.sequence, algorithm, derBitString(key)));
}

function unknownCurve(): Buffer {
  const algorithm = der(TAG.sequence, derOid("2a8648ce3d0201"), derOid("2b06010401d9040909"));
  return encodeDer(
    der(TAG.sequence, algorithm, derBitString(Buffer.concat([Buffer.from([4]), randomBytes(64)]))),
  );
}

function offCurve(): Buffer {
  const spki = Buffer.from(spkiOf(p256));
  spki[90] = (spki[90] ?? 0) ^ 1;
  return spki;
}

const node = (name: string, pod: object) => ({
  "kubernetes.io": { namespace: "istio-system", serviceaccount: { name, uid: "" }, pod },
});

const CREDENTIALS: readonly (readonly [what: string, ask: () => Promise<AskOptions>, code: string])[] = [
  [
    "a token for a list of other audiences",
    async () => ({ token: await fixture.token("auditor", { aud: ["api", "vault", "istio-ca.evil"] }) }),
    "BW_TOKEN_AUDIENCE",
  ],
  [
    "a token without an audience",
    async () => ({ token: await fixture.token("auditor", { aud: undefined }) }),
    "BW_TOKEN_AUDIENCE",
  ],
  [
    "a token for the audience in capitals",
    async () => ({ token: await fixture.token("auditor", { aud: "ISTIO-CA" }) }),
    "BW_TOKEN_AUDIENCE",
  ],
  [
    "a token whose end is a text",
    async () => ({ token: await fixture.token("auditor", { exp: "never" }) }),
    "BW_TOKEN_CLAIMS",
  ],
  [
    "a token without a time of issue",
    async () => ({ token: await fixture.token("auditor", { iat: undefined }) }),
    "BW_TOKEN_CLAIMS",
  ],
  [
    "a token that brings its own key",
    async () => {
      const attacker = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const jwk = attacker.publicKey.export({ format: "jwk" });
      return { token: await fixture.token("auditor", {}, { jwk } as never, attacker.privateKey) };
    },
    "BW_TOKEN_SIGNATURE",
  ],
  [
    "a token that says where its key is",
    async () => {
      const attacker = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
      const header = { jku: "https://evil.example/keys", kid: "evil" };
      return { token: await fixture.token("auditor", {}, header, attacker) };
    },
    "BW_TOKEN_UNKNOWN_KEY",
  ],
  [
    "a token with a critical header that is not known",
    async () => ({ token: withHeader(await fixture.token(), { crit: ["x"], x: 1 }) }),
    "BW_TOKEN_UNVERIFIABLE",
  ],
  [
    "a token whose claims are a list",
    async () => {
      const [header, , signature] = (await fixture.token()).split(".");
      return { token: `${header}.${Buffer.from("[]").toString("base64url")}.${signature}` };
    },
    "BW_TOKEN_MALFORMED",
  ],
  [
    "a token of five parts",
    async () => ({ token: `${await fixture.token()}.e30.e30` }),
    "BW_TOKEN_MALFORMED",
  ],
  [
    "a token whose subject is a user",
    async () => ({ token: await fixture.token("auditor", { sub: "admin" }) }),
    "BW_TOKEN_CLAIMS",
  ],
  [
    "a token of a namespace with a slash",
    async () => ({
      token: await fixture.token("auditor", {
        sub: "system:serviceaccount:finance/sa/payroll:auditor",
        "kubernetes.io": {
          namespace: "finance/sa/payroll",
          serviceaccount: { name: "auditor", uid: "" },
          pod: { name: "auditor-0", uid: "uid-auditor-0" },
        },
      }),
    }),
    "BW_TOKEN_CLAIMS",
  ],
  [
    "a node agent's token of a pod that is gone",
    async () => ({
      token: await fixture.token("ztunnel", node("ztunnel", { name: "ztunnel-c", uid: "uid-ztunnel-c" })),
      metadata: { ImpersonatedIdentity: own },
    }),
    "BW_TOKEN_POD_GONE",
  ],
  [
    "a node agent's token that borrows a workload's pod",
    async () => ({
      token: await fixture.token("ztunnel", node("ztunnel", { name: "auditor-0", uid: "uid-auditor-0" })),
      metadata: { ImpersonatedIdentity: own },
    }),
    "BW_TOKEN_POD_GONE",
  ],
  [
    "the trust domain's own name, by a node agent",
    async () => ({
      token: await fixture.token("ztunnel"),
      metadata: { ImpersonatedIdentity: "spiffe://cluster.local" },
    }),
    "BW_CA_IMPERSONATION_INVALID",
  ],
  [
    "an identity with a query, by a node agent",
    async () => ({
      token: await fixture.token("ztunnel"),
      metadata: { ImpersonatedIdentity: `${own}?x=1` },
    }),
    "BW_CA_IMPERSONATION_INVALID",
  ],
  [
    "an identity of another namespace on its node, by a node agent",
    async () => ({
      token: await fixture.token("ztunnel"),
      metadata: { ImpersonatedIdentity: identityOf("auditor", "other") },
    }),
    "BW_CA_IMPERSONATION_NODE",
  ],
];

/** The token under another header, its signature left as it was. */
function withHeader(token: string, more: object): string {
  const [header = "", ...rest] = token.split(".");
  const read = JSON.parse(Buffer.from(header, "base64url").toString("utf8")) as object;
  return [Buffer.from(JSON.stringify({ ...read, ...more })).toString("base64url"), ...rest].join(".");
}

async function isRefused(options: AskOptions, status: number, code: string): Promise<void> {
  const { issued, refused } = fixture.counts;
  const answer = await fixture.ask(options);
  const last = await fixture.lastAudit();
  assert.deepEqual([last.kind, last.code, last.serial], ["refused", code, null], last.message);
  assert.equal(answer.status, status, answer.message);
  assert.equal(answer.body.length, 0);
  assert.match(last.message, /^[A-Za-z].{10,}, asked for from 127\.0\.0\.1$/);
  const flow = fixture.flows.at(-1);
  assert.deepEqual([flow?.verdict, flow?.layer, flow?.reason], ["deny", "ca", code]);
  assert.deepEqual(fixture.counts, { issued, refused: refused + 1 });
  for (const part of (options.token ?? "").split(".").filter(({ length }) => length > 20))
    assert.ok(!JSON.stringify([answer.message, last, flow]).includes(part.slice(0, 20)));
}

for (const [what, csr, code] of REQUESTS)
  test(`CreateCertificate refuses a request with ${what}, and the audit says ${code}`, async () =>
    isRefused({ token: await fixture.token(), csr: csr() }, INVALID_ARGUMENT, code));

for (const [what, ask, code] of CREDENTIALS)
  test(`CreateCertificate refuses ${what}, and the audit says ${code}`, async () =>
    isRefused(await ask(), UNAUTHENTICATED, code));

test("a validity that no clock knows is refused, whatever its sign is not", async () => {
  for (const ttlSeconds of [1, Number.MAX_SAFE_INTEGER]) {
    const answer = await fixture.ask({ token: await fixture.token(), ttlSeconds });
    assert.equal(answer.status, INVALID_ARGUMENT);
    assert.match((await fixture.lastAudit()).code ?? "", /^BW_CA_TTL_(INVALID|TOO_LONG)$/);
  }
});

/** Wishes that no certificate of the CA ever has, and that are nobody's name: they are passed over. */
const PASSED_OVER: readonly (readonly [what: string, csr: () => string])[] = [
  ["an unknown critical extension", () => wishing(UNKNOWN)],
  ["an empty list of names", () => wishing(names())],
  ["its own identity twice", () => wishing(names(uri(own), uri(own)))],
  [
    "any purpose and code signing",
    () =>
      wishing(
        extension(OID.extendedKeyUsage, der(TAG.sequence, derOid("551d2500"), derOid("2b06010505070303"))),
      ),
  ],
  [
    "name constraints of its own",
    () => wishing(extension(OID.nameConstraints, der(TAG.sequence, der(contextTag(0))), true)),
  ],
  [
    "a subject that is somebody",
    () =>
      forged({
        subject: der(
          TAG.sequence,
          der(TAG.set, der(TAG.sequence, derOid(OID.commonName), der(TAG.utf8String, Buffer.from("istiod")))),
        ),
      }),
  ],
  [
    "a challenge password",
    () =>
      forged({
        attributes: [
          der(
            TAG.sequence,
            derOid("2a864886f70d010907"),
            der(TAG.set, der(TAG.utf8String, Buffer.from("x"))),
          ),
        ],
      }),
  ],
];

for (const [what, csr] of PASSED_OVER)
  test(`CreateCertificate passes over ${what} in a request: the certificate is the profile's`, async () => {
    const answer = await fixture.ask({ token: await fixture.token(), csr: csr() });
    assert.equal(answer.status, 0, answer.message);
    const leaf = new x509.X509Certificate(chainOf(answer)[0] ?? assert.fail());
    assert.deepEqual(
      Array.from(leaf.extensions, ({ type }) => type),
      ["2.5.29.15", "2.5.29.37", "2.5.29.19", "2.5.29.14", "2.5.29.35", "2.5.29.17"],
    );
    assert.equal(leaf.subject, "");
    assert.deepEqual(leaf.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON(), [
      { type: "url", value: own },
    ]);
    assert.deepEqual(
      [...(leaf.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [])],
      ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"],
    );
  });

test("the forged request is good where nothing of it is forged", async () => {
  const answer = await fixture.ask({ token: await fixture.token(), csr: forged() });
  assert.equal(answer.status, 0, answer.message);
});
