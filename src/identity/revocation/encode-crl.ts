import { contextTag, TAG } from "../der-reader.ts";
import { der, derBitString, derTime, encodeDer } from "../der-writer.ts";
import { OID } from "../object-ids.ts";
import { distributionPoint } from "../revocation-pointers.ts";
import { algorithmIdentifier, type Issuer } from "../sign.ts";
import type { Revocation } from "../store/ca-store.ts";
import { derExtension, derGeneralizedTime, derPositiveInteger, derReason } from "./revocation-der.ts";

/** A revocation as a CRL lists it. */
export interface CrlEntry extends Pick<Revocation, "serial" | "reason" | "revokedAtMs"> {
  /** Since when the key must be thought compromised, where that is known to be earlier than the revocation. */
  readonly invalidSinceMs?: number;
}

export interface CrlTemplate {
  readonly issuer: Pick<Issuer, "subject" | "subjectKeyId" | "key">;
  /** Rises with each list of the issuer; a full list and its delta of the same moment share one. */
  readonly number: number;
  /** Makes this a delta: what changed since the full list of that number. */
  readonly baseNumber?: number;
  /** Where the delta to a full list is had; without it some verifiers (OpenSSL) use no delta. */
  readonly deltaUrl?: string;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly entries: readonly CrlEntry[];
}

/**
 * A certificate revocation list, version 2, in DER: number, authority key identifier, and for a delta the number of its base (critical).
 * @throws {BulwarkError} BW_KEY_… when the issuer's key does not sign.
 * @see RFC 5280 §5
 */
export async function encodeCrl(template: CrlTemplate): Promise<Buffer> {
  const { issuer, entries } = template;
  const identifier = algorithmIdentifier(issuer.key.algorithm);
  // One piece: some 100,000 entries as arguments of one call would overflow the stack.
  const list = Buffer.concat(entries.map(encodeEntry));
  const tbs = encodeDer(
    der(
      TAG.sequence,
      VERSION_2,
      identifier,
      issuer.subject,
      derTime(new Date(template.thisUpdateMs)),
      derTime(new Date(template.nextUpdateMs)),
      // RFC 5280 §5.1.2.6: absent where nothing is revoked, never empty.
      ...(entries.length === 0 ? [] : [der(TAG.sequence, list)]),
      der(contextTag(0), der(TAG.sequence, ...extensionsOf(template))),
    ),
  );
  return encodeDer(der(TAG.sequence, tbs, identifier, derBitString(await issuer.key.sign(tbs))));
}

const VERSION_2 = encodeDer(der(TAG.integer, Buffer.from([1])));

function extensionsOf({ issuer, number, baseNumber, deltaUrl }: CrlTemplate) {
  return [
    derExtension(OID.authorityKeyIdentifier, false, der(TAG.sequence, der(0x80, issuer.subjectKeyId))),
    derExtension(OID.crlNumber, false, derPositiveInteger(number.toString(16))),
    ...(baseNumber === undefined
      ? []
      : [derExtension(OID.deltaCrlIndicator, true, derPositiveInteger(baseNumber.toString(16)))]),
    ...(deltaUrl === undefined || baseNumber !== undefined
      ? []
      : [derExtension(OID.freshestCrl, false, distributionPoint([deltaUrl]))]),
  ];
}

function encodeEntry({ serial, reason, revokedAtMs, invalidSinceMs }: CrlEntry): Buffer {
  const code = derReason(reason);
  const extensions = [
    ...(code === undefined ? [] : [derExtension(OID.crlReason, false, code)]),
    ...(invalidSinceMs === undefined
      ? []
      : [derExtension(OID.invalidityDate, false, derGeneralizedTime(invalidSinceMs))]),
  ];
  return encodeDer(
    der(
      TAG.sequence,
      derPositiveInteger(serial),
      derTime(new Date(Math.floor(revokedAtMs / 1000) * 1000)),
      ...(extensions.length === 0 ? [] : [der(TAG.sequence, ...extensions)]),
    ),
  );
}
