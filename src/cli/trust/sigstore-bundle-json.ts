/**
 * What cosign stored before there were bundles, as a Sigstore bundle of version 0.1: signature, certificates, entry of the log.
 * Source: sigstore/protobuf-specs, sigstore_bundle.proto; sigstore/cosign, specs/SIGNATURE_SPEC.md.
 */
import { createHash, X509Certificate } from "node:crypto";
import { BulwarkError } from "../../resources/bulwark-error.ts";

type Json = Readonly<Record<string, unknown>>;

/** One signature as cosign keeps it apart: over the bytes of a simple signing payload. */
export interface CosignSignature {
  readonly payload: Buffer;
  readonly signatureBase64: string;
  /** The signer's certificate, and those above it; none with a plain key. */
  readonly certificates: readonly Buffer[];
  /** cosign's `RekorBundle`. */
  readonly rekor?: unknown;
  /** DER, base64. */
  readonly timestampBase64?: string;
}

/** @throws {BulwarkError} BW_SIGNATURE_FORMAT when the log's entry is not what cosign writes */
export function bundleJsonOf(signature: CosignSignature): Json {
  const { payload, signatureBase64, certificates, rekor, timestampBase64 } = signature;
  const rawBytes = certificates.map((der) => ({ rawBytes: der.toString("base64") }));
  return {
    mediaType: "application/vnd.dev.sigstore.bundle+json;version=0.1",
    verificationMaterial: {
      ...(rawBytes.length === 0
        ? { publicKey: { hint: "" } }
        : { x509CertificateChain: { certificates: rawBytes } }),
      tlogEntries: rekor === undefined || rekor === null ? [] : [logEntry(rekor)],
      ...(timestampBase64 === undefined
        ? {}
        : { timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: timestampBase64 }] } }),
    },
    messageSignature: {
      messageDigest: {
        algorithm: "SHA2_256",
        digest: createHash("sha256").update(payload).digest("base64"),
      },
      signature: signatureBase64,
    },
  };
}

function logEntry(rekor: unknown): Json {
  const { SignedEntryTimestamp: promise, Payload: payload } = object(rekor);
  const { body, integratedTime, logIndex, logID } = object(payload);
  if (typeof promise !== "string" || typeof body !== "string" || typeof logID !== "string")
    throw unreadable();
  if (!Number.isSafeInteger(integratedTime) || !Number.isSafeInteger(logIndex)) throw unreadable();
  const { kind, apiVersion } = object(parseJson(Buffer.from(body, "base64").toString("utf8")));
  return {
    logIndex: String(logIndex),
    logId: { keyId: Buffer.from(logID, "hex").toString("base64") },
    kindVersion: { kind, version: apiVersion },
    integratedTime: String(integratedTime),
    inclusionPromise: { signedEntryTimestamp: promise },
    canonicalizedBody: body,
  };
}

/** @returns the certificates of a PEM text, as DER; throws what Node throws when one is none */
export function certificatesOfPem(pem: string): readonly Buffer[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block).raw);
}

export function object(value: unknown): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw unreadable();
  return value as Json;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unreadable();
  }
}

function unreadable(): BulwarkError {
  return new BulwarkError("BW_SIGNATURE_FORMAT", "is neither a Sigstore bundle nor what cosign writes");
}
