/** A small Sigstore of the test's own: a certificate authority, a transparency log, keys; and what cosign would write with them. */
import {
  createHash,
  generateKeyPairSync,
  type KeyObject,
  sign,
  type webcrypto,
  X509Certificate,
} from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

const MINUTE_MS = 60_000;
const ISSUER_OID = "1.3.6.1.4.1.57264.1.8";
export const SIGNED_AT = Date.UTC(2026, 5, 1, 12);
export const ISSUER = "https://accounts.example.com";
export const SUBJECT = "release@mesh.example.com";
export const DIGEST = `sha256:${"ab".repeat(32)}`;
export const OTHER_DIGEST = `sha256:${"cd".repeat(32)}`;

type Json = Record<string, unknown>;

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export function newKeys(): KeyPair {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

export function pemOf({ publicKey }: Pick<KeyPair, "publicKey">): string {
  return publicKey.export({ type: "spki", format: "pem" }).toString();
}

/** What cosign signs for an image. */
export function simpleSigning(digest: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      critical: {
        identity: { "docker-reference": "docker.io/istio/proxyv2" },
        image: { "docker-manifest-digest": digest },
        type: "cosign container image signature",
      },
      optional: null,
    }),
  );
}

/** As Rekor of version 1 keeps and promises an entry. */
export function logged(log: KeyPair, payload: Buffer, signature: Buffer, verifierPem: string): Json {
  const body = Buffer.from(
    JSON.stringify({
      apiVersion: "0.0.1",
      kind: "hashedrekord",
      spec: {
        data: { hash: { algorithm: "sha256", value: sha256(payload).toString("hex") } },
        signature: {
          content: signature.toString("base64"),
          publicKey: { content: Buffer.from(verifierPem).toString("base64") },
        },
      },
    }),
  ).toString("base64");
  // The keys in their order: what is promised is the canonical JSON.
  const entry = { body, integratedTime: SIGNED_AT / 1000, logID: logId(log).toString("hex"), logIndex: 7 };
  return {
    SignedEntryTimestamp: sign("sha256", Buffer.from(JSON.stringify(entry)), log.privateKey).toString(
      "base64",
    ),
    Payload: entry,
  };
}

/** One line of `cosign download signature`. */
export function downloaded(options: {
  readonly signer: KeyPair;
  readonly payload: Buffer;
  readonly log?: KeyPair;
  readonly certificate?: X509Certificate;
}): Json {
  const { signer, payload, log, certificate } = options;
  const signature = sign("sha256", payload, signer.privateKey);
  const verifier = certificate === undefined ? pemOf(signer) : certificate.toString();
  return {
    Base64Signature: signature.toString("base64"),
    Payload: payload.toString("base64"),
    Cert: certificate === undefined ? null : { Raw: certificate.raw.toString("base64") },
    Chain: null,
    Bundle: log === undefined ? null : logged(log, payload, signature, verifier),
  };
}

/** A bundle of version 0.3 with a statement, as cosign 3 writes it with a key. */
export function statementBundle(signer: KeyPair, predicateType: string, digest: string): Json {
  const payload = Buffer.from(
    JSON.stringify({
      _type: "https://in-toto.io/Statement/v1",
      subject: [{ digest: { sha256: digest.slice("sha256:".length) } }],
      predicateType,
      predicate: {},
    }),
  );
  const type = "application/vnd.in-toto+json";
  const encoded = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
  return {
    mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
    verificationMaterial: { publicKey: { hint: "any" }, tlogEntries: [] },
    dsseEnvelope: {
      payload: payload.toString("base64"),
      payloadType: type,
      signatures: [{ sig: sign("sha256", encoded, signer.privateKey).toString("base64"), keyid: "" }],
    },
  };
}

export interface Authority {
  readonly keys: webcrypto.CryptoKeyPair;
  readonly certificate: x509.X509Certificate;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export async function newAuthority(): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=fulcio of the test",
    notBefore: new Date(SIGNED_AT - 1000 * MINUTE_MS),
    notAfter: new Date(SIGNED_AT + 1000 * MINUTE_MS),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { keys, certificate };
}

/** A certificate of ten minutes, from the given moment on, as Fulcio issues it. */
export async function issue(
  authority: Authority,
  signer: KeyPair,
  { subject = SUBJECT, issuer = ISSUER, notBefore = SIGNED_AT - MINUTE_MS } = {},
): Promise<X509Certificate> {
  const publicKey = await crypto.subtle.importKey(
    "spki",
    new Uint8Array(signer.publicKey.export({ type: "spki", format: "der" })),
    ALGORITHM,
    true,
    ["verify"],
  );
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: "02",
    subject: "",
    issuer: authority.certificate.subject,
    notBefore: new Date(notBefore),
    notAfter: new Date(notBefore + 10 * MINUTE_MS),
    publicKey,
    signingKey: authority.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.3"]),
      new x509.SubjectAlternativeNameExtension([{ type: "email", value: subject }], true),
      await x509.AuthorityKeyIdentifierExtension.create(authority.keys.publicKey),
      new x509.Extension(ISSUER_OID, false, derText(issuer)),
    ],
  });
  return new X509Certificate(Buffer.from(made.rawData));
}

/** `trusted_root.json` of this Sigstore. Without a certificate log none is asked. */
export function trustedRoot(options: {
  readonly authority?: Authority;
  readonly log?: KeyPair;
  readonly certificateLog?: KeyPair;
}): string {
  const { authority, log, certificateLog } = options;
  const validFor = { start: new Date(SIGNED_AT - 1000 * MINUTE_MS).toISOString() };
  return JSON.stringify({
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs: log === undefined ? [] : [logOf(log, validFor)],
    certificateAuthorities:
      authority === undefined
        ? []
        : [
            {
              subject: { organization: "test", commonName: "fulcio of the test" },
              uri: "https://fulcio.example.com",
              certChain: {
                certificates: [{ rawBytes: Buffer.from(authority.certificate.rawData).toString("base64") }],
              },
              validFor,
            },
          ],
    ctlogs: certificateLog === undefined ? [] : [logOf(certificateLog, validFor)],
    timestampAuthorities: [],
  });
}

function logOf(log: KeyPair, validFor: Json): Json {
  return {
    baseUrl: "https://log.example.com",
    hashAlgorithm: "SHA2_256",
    publicKey: { rawBytes: spki(log).toString("base64"), keyDetails: "PKIX_ECDSA_P256_SHA_256", validFor },
    logId: { keyId: logId(log).toString("base64") },
  };
}

export function sha256(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function spki({ publicKey }: KeyPair): Buffer {
  return publicKey.export({ type: "spki", format: "der" });
}

function logId(log: KeyPair): Buffer {
  return sha256(spki(log));
}

/** UTF8String. */
function derText(text: string): ArrayBuffer {
  const bytes = Buffer.from(text);
  return new Uint8Array([0x0c, bytes.length, ...bytes]).buffer;
}
