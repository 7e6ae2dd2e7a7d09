import { contextTag, TAG } from "../der-reader.ts";
import { type DerNode, der, derBitString, derOid, encodeDer } from "../der-writer.ts";
import type { CaSigner } from "../keys/ca-signer.ts";
import { OID } from "../object-ids.ts";
import { algorithmIdentifier } from "../sign.ts";
import type { RevocationReason } from "../store/ca-store.ts";
import { derExtension, derGeneralizedTime, derReason } from "./revocation-der.ts";

/** `unknown`: this CA has no record of such a certificate. */
export type OcspStatus =
  | "good"
  | "unknown"
  | { readonly revokedAtMs: number; readonly reason: RevocationReason };

export interface OcspAnswer {
  /** The CertID of the request, as it came. */
  readonly certificateId: Buffer;
  readonly status: OcspStatus;
}

export interface OcspTemplate {
  readonly answers: readonly OcspAnswer[];
  readonly producedAtMs: number;
  readonly nextUpdateMs: number;
  readonly nonce: Buffer | undefined;
  /** Who signs: its key, the SHA-1 of its public key's bits, and its certificate. */
  readonly responder: { readonly key: CaSigner; readonly keyHash: Buffer; readonly certificate: Buffer };
}

/** Answers without content (RFC 6960 §4.2.1). */
export const OCSP_ERRORS = {
  malformedRequest: unsuccessful(1),
  internalError: unsuccessful(2),
  tryLater: unsuccessful(3),
  unauthorized: unsuccessful(6),
} as const;

/**
 * A signed answer, in DER.
 * @throws {BulwarkError} BW_KEY_… when the key does not sign.
 * @see RFC 6960 §4.2
 */
export async function encodeOcspResponse(template: OcspTemplate): Promise<Buffer> {
  const { responder, nonce, producedAtMs } = template;
  const identifier = algorithmIdentifier(responder.key.algorithm);
  const data = encodeDer(
    der(
      TAG.sequence,
      der(contextTag(2), der(TAG.octetString, responder.keyHash)),
      derGeneralizedTime(producedAtMs),
      der(TAG.sequence, ...template.answers.map((answer) => singleResponse(answer, template))),
      ...(nonce === undefined
        ? []
        : [der(contextTag(1), der(TAG.sequence, derExtension(OID.ocspNonce, false, nonce)))]),
    ),
  );
  const signature = await responder.key.sign(data);
  const basic = der(
    TAG.sequence,
    data,
    identifier,
    derBitString(signature),
    der(contextTag(0), der(TAG.sequence, responder.certificate)),
  );
  return encodeDer(
    der(
      TAG.sequence,
      der(TAG.enumerated, Buffer.from([0])),
      der(contextTag(0), der(TAG.sequence, derOid(OID.ocspBasic), der(TAG.octetString, basic))),
    ),
  );
}

function singleResponse(
  { certificateId, status }: OcspAnswer,
  { producedAtMs, nextUpdateMs }: OcspTemplate,
): DerNode {
  return der(
    TAG.sequence,
    certificateId,
    certStatus(status),
    derGeneralizedTime(producedAtMs),
    der(contextTag(0), derGeneralizedTime(nextUpdateMs)),
  );
}

function certStatus(status: OcspStatus): DerNode {
  if (status === "good") return der(0x80);
  if (status === "unknown") return der(0x82);
  const code = derReason(status.reason);
  return der(
    contextTag(1),
    derGeneralizedTime(status.revokedAtMs),
    ...(code === undefined ? [] : [der(contextTag(0), code)]),
  );
}

function unsuccessful(status: number): Buffer {
  return encodeDer(der(TAG.sequence, der(TAG.enumerated, Buffer.from([status]))));
}
