import type { SpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError, type BulwarkErrorCode } from "../../resources/bulwark-error.ts";
import { contextTag, DerError, DerReader, TAG } from "../der-reader.ts";
import { OID } from "../object-ids.ts";

/** PKCS#9 extensionRequest (RFC 2985 §5.4.2), in hexadecimal. */
const EXTENSION_REQUEST = "2a864886f70d01090e";
/** GeneralName uniformResourceIdentifier [6] (RFC 5280 §4.2.1.6). */
const URI_NAME = 0x86;
/** keyCertSign and cRLSign in the first byte of KeyUsage. */
const SIGNER_BITS = 0x06;

/**
 * Nothing that a request wishes for gets into a certificate. A request for what its sender may not have is refused all the same: it is
 * a mistake that would show later, or somebody who tries. Allowed is no name at all, or the verified identity alone.
 * @param csr DER, of at most a few kilobytes; its signature need not have been checked.
 * @throws {BulwarkError} BW_CA_CSR_IDENTITY, BW_CA_CSR_SIGNER, BW_CA_CSR_MALFORMED.
 */
export function refuseForeignWishes(csr: Buffer, identity: SpiffeId): void {
  try {
    for (const { oid, value } of requestedExtensions(csr)) checkExtension(oid, value, identity);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    refuse("BW_CA_CSR_MALFORMED", `the certificate request cannot be read: ${error.message}`);
  }
}

function checkExtension(oid: string, value: Buffer, identity: SpiffeId): void {
  if (oid === OID.subjectAltName && !isNamedOnly(value, identity))
    refuse("BW_CA_CSR_IDENTITY", "the request asks for another name than its sender's identity");
  if (oid === OID.basicConstraints && wishesToBeCa(value))
    refuse("BW_CA_CSR_SIGNER", "the request asks for the certificate of a CA");
  if (oid === OID.keyUsage && wishesToSign(value))
    refuse("BW_CA_CSR_SIGNER", "the request asks for a key that signs certificates");
}

function isNamedOnly(value: Buffer, identity: SpiffeId): boolean {
  const names = only(value, TAG.sequence);
  while (!names.done) {
    const isUri = names.nextTag === URI_NAME;
    const { contentStart, end } = names.element();
    if (!isUri || value.toString("latin1", contentStart, end) !== identity) return false;
  }
  return true;
}

function wishesToBeCa(value: Buffer): boolean {
  const constraints = only(value, TAG.sequence);
  return constraints.nextTag === TAG.boolean && constraints.boolean();
}

function wishesToSign(value: Buffer): boolean {
  const bits = new DerReader(value).content(TAG.bitString);
  return ((bits[1] ?? 0) & SIGNER_BITS) !== 0;
}

function* requestedExtensions(csr: Buffer): Generator<{ oid: string; value: Buffer }> {
  for (const values of attributeValues(csr)) {
    while (!values.done) {
      const list = values.within(TAG.sequence);
      while (!list.done) {
        const extension = list.within(TAG.sequence);
        const oid = extension.oid();
        if (extension.nextTag === TAG.boolean) extension.boolean();
        yield { oid, value: extension.content(TAG.octetString) };
        extension.finish();
      }
    }
  }
}

/** The values of each extensionRequest among the attributes (RFC 2986 §4.1). */
function* attributeValues(csr: Buffer): Generator<DerReader> {
  const info = only(csr, TAG.sequence).within(TAG.sequence);
  info.integer();
  info.element(TAG.sequence);
  info.element(TAG.sequence);
  if (info.done) return;
  const attributes = info.within(contextTag(0));
  info.finish();
  while (!attributes.done) {
    const attribute = attributes.within(TAG.sequence);
    const oid = attribute.oid();
    const values = attribute.within(TAG.set);
    attribute.finish();
    if (oid === EXTENSION_REQUEST) yield values;
  }
}

function only(der: Buffer, tag: number): DerReader {
  const file = new DerReader(der);
  const reader = file.within(tag);
  file.finish();
  return reader;
}

function refuse(code: BulwarkErrorCode, message: string): never {
  throw new BulwarkError(code, message);
}
