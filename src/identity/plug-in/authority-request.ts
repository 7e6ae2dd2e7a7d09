import type { TrustDomain } from "../../model/spiffe-id.ts";
import { trustDomainSpiffeId } from "../../model/spiffe-id.ts";
import { contextTag, TAG } from "../der-reader.ts";
import { der, derBitString, derOid, encodeDer } from "../der-writer.ts";
import { intermediateExtensions } from "../encode-certificate.ts";
import type { CaSigner } from "../keys/ca-signer.ts";
import { OID } from "../object-ids.ts";
import { algorithmIdentifier } from "../sign.ts";
import { encodeName, keyIdentifier } from "../template.ts";

/** RFC 2985 §5.4.2. */
const EXTENSION_REQUEST = "2a864886f70d01090e";

/**
 * A request for an intermediate's certificate, in DER: name, CA flag with path length 0, key usage and the trust domain as its URI name. The outside CA has the last word
 * on all of it.
 * @throws {BulwarkError} BW_KEY_…, BW_PKCS11_… when the key does not sign.
 * @see RFC 2986
 */
export async function encodeAuthorityRequest(key: CaSigner, trustDomain: TrustDomain): Promise<Buffer> {
  const subject = encodeName(`Bulwark Intermediate CA ${keyIdentifier(key.spki).toString("hex", 0, 8)}`);
  const name = der(0x86, Buffer.from(trustDomainSpiffeId(trustDomain), "latin1"));
  const altName = der(
    TAG.sequence,
    derOid(OID.subjectAltName),
    der(TAG.octetString, der(TAG.sequence, name)),
  );
  const extensions = der(TAG.sequence, intermediateExtensions(), altName);
  const attribute = der(TAG.sequence, derOid(EXTENSION_REQUEST), der(TAG.set, extensions));
  const version = der(TAG.integer, Buffer.from([0]));
  const info = encodeDer(der(TAG.sequence, version, subject, key.spki, der(contextTag(0), attribute)));
  const signature = await key.sign(info);
  return encodeDer(der(TAG.sequence, info, algorithmIdentifier(key.algorithm), derBitString(signature)));
}
