import { BulwarkError } from "../../resources/bulwark-error.ts";
import { contextTag, DerError, DerReader, TAG } from "../der-reader.ts";

/** RFC 5652 §3 and §5.1. */
const SIGNED_DATA = "2a864886f70d010702";
const MAX_CERTIFICATES = 32;

/**
 * The certificates of a PKCS#7 message that holds nothing else ("certs-only", RFC 5272 §4.1), as EST sends them. Who they are of, nobody has checked yet.
 * @throws {BulwarkError} BW_EST_ANSWER
 */
export function certificatesOfPkcs7(der: Buffer): readonly Buffer[] {
  try {
    const file = new DerReader(der);
    const content = file.within(TAG.sequence);
    file.finish();
    if (content.oid() !== SIGNED_DATA) throw new DerError("no signed data");
    const explicit = content.within(contextTag(0));
    content.finish();
    const signed = explicit.within(TAG.sequence);
    explicit.finish();
    signed.integer();
    signed.element(TAG.set);
    signed.element(TAG.sequence);
    const certificates: Buffer[] = [];
    const list = signed.within(contextTag(0));
    while (!list.done && certificates.length < MAX_CERTIFICATES) certificates.push(list.whole(TAG.sequence));
    return certificates;
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new BulwarkError(
      "BW_EST_ANSWER",
      `the server's answer is no list of certificates: ${error.message}`,
    );
  }
}
