/** Pieces of DER that CRLs and OCSP answers share. */
import { TAG } from "../der-reader.ts";
import { type DerNode, der, derOid, encodeDer } from "../der-writer.ts";
import type { RevocationReason } from "../store/ca-store.ts";

/** CRLReason (RFC 5280 §5.3.1). `unspecified` is told by leaving the extension out. */
const REASON_CODES: Readonly<Record<RevocationReason, number>> = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
};

/** Undefined for `unspecified`: RFC 5280 §5.3.1 asks for no reason code then. */
export function derReason(reason: RevocationReason): Buffer | undefined {
  if (reason === "unspecified") return undefined;
  return encodeDer(der(TAG.enumerated, Buffer.from([REASON_CODES[reason]])));
}

/** A GeneralizedTime of whole seconds, whatever the year: what OCSP and invalidity dates have. */
export function derGeneralizedTime(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\..*$/g, "");
  return encodeDer(der(TAG.generalizedTime, Buffer.from(`${digits}Z`, "latin1")));
}

/** A positive INTEGER of these hexadecimal digits. */
export function derPositiveInteger(hex: string): DerNode {
  const magnitude = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  const first = magnitude[0] ?? 0;
  return der(TAG.integer, first >= 0x80 ? Buffer.concat([ZERO, magnitude]) : magnitude);
}

export function derExtension(oid: string, critical: boolean, value: DerNode): DerNode {
  return der(TAG.sequence, derOid(oid), ...(critical ? [TRUE] : []), der(TAG.octetString, value));
}

const ZERO = Buffer.from([0]);
const TRUE = encodeDer(der(TAG.boolean, Buffer.from([0xff])));
