import { contextTag, DerError, DerReader, TAG } from "./der-reader.ts";
import { type DerNode, der, derOid, encodeDer } from "./der-writer.ts";
import { OID } from "./object-ids.ts";

/** Where a certificate says that its state can be asked for. Visible ASCII; at least one URL in all. */
export interface RevocationPointers {
  /** Places of one and the same list. */
  readonly crlUrls: readonly string[];
  readonly ocspUrls: readonly string[];
}

/** GeneralName uniformResourceIdentifier [6] (RFC 5280 §4.2.1.6). */
const URI_NAME = 0x86;

/** The pointers of one issuer are in every certificate that it signs. */
const encoded = new WeakMap<RevocationPointers, Buffer>();

/**
 * The extensions cRLDistributionPoints and authorityInfoAccess, one after the other, in DER; neither is critical.
 * @see RFC 5280 §4.2.1.13, §4.2.2.1
 */
export function encodeRevocationPointers(pointers: RevocationPointers): Buffer {
  const known = encoded.get(pointers);
  if (known !== undefined) return known;
  const { crlUrls, ocspUrls } = pointers;
  const bytes = Buffer.concat([
    ...(crlUrls.length === 0 ? [] : [extension(OID.crlDistributionPoints, distributionPoint(crlUrls))]),
    ...(ocspUrls.length === 0 ? [] : [extension(OID.authorityInfoAccess, ocspAccess(ocspUrls))]),
  ]);
  encoded.set(pointers, bytes);
  return bytes;
}

/** CRLDistributionPoints of one point, which is had at any of these places. */
export function distributionPoint(urls: readonly string[]): DerNode {
  const fullName = der(contextTag(0), ...urls.map(uri));
  return der(TAG.sequence, der(TAG.sequence, der(contextTag(0), fullName)));
}

function ocspAccess(urls: readonly string[]): DerNode {
  return der(TAG.sequence, ...urls.map((url) => der(TAG.sequence, derOid(OID.ocspAccess), uri(url))));
}

function uri(url: string): DerNode {
  return der(URI_NAME, Buffer.from(url, "latin1"));
}

function extension(oid: string, value: DerNode): Buffer {
  return encodeDer(der(TAG.sequence, derOid(oid), der(TAG.octetString, value)));
}

/**
 * What a certificate says of itself in the two extensions.
 * @param extensions by object id in hexadecimal.
 * @throws {DerError} for a form that {@link encodeRevocationPointers} does not write.
 */
export function readRevocationPointers(
  extensions: ReadonlyMap<string, { readonly value: Buffer }>,
): RevocationPointers {
  const points = extensions.get(OID.crlDistributionPoints);
  const access = extensions.get(OID.authorityInfoAccess);
  return {
    crlUrls: points === undefined ? [] : readPoint(points.value),
    ocspUrls: access === undefined ? [] : readAccess(access.value),
  };
}

function readPoint(value: Buffer): readonly string[] {
  const list = only(value);
  const point = list.within(TAG.sequence);
  list.finish();
  const name = point.within(contextTag(0));
  point.finish();
  const fullName = name.within(contextTag(0));
  name.finish();
  const urls: string[] = [];
  while (!fullName.done) urls.push(fullName.content(URI_NAME).toString("latin1"));
  return urls;
}

function readAccess(value: Buffer): readonly string[] {
  const list = only(value);
  const urls: string[] = [];
  while (!list.done) {
    const description = list.within(TAG.sequence);
    if (description.oid() !== OID.ocspAccess) throw new DerError("another access method than OCSP");
    urls.push(description.content(URI_NAME).toString("latin1"));
    description.finish();
  }
  return urls;
}

function only(value: Buffer): DerReader {
  const file = new DerReader(value);
  const list = file.within(TAG.sequence);
  file.finish();
  return list;
}
