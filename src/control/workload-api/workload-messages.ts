/**
 * Messages of the SPIFFE Workload API.
 * @see https://github.com/spiffe/spiffe/blob/main/standards/workloadapi.proto
 */
import { MessageWriter, readMessage } from "../../dataplane/ext-authz/protobuf-wire.ts";

export interface X509SvidAnswer {
  readonly spiffeId: string;
  /** DER, the leaf first, one after the other. */
  readonly chain: Buffer;
  /** PKCS#8, DER. */
  readonly key: Buffer;
  /** DER, one after the other. */
  readonly bundle: Buffer;
}

/** By trust domain, as `spiffe://<trust domain>`. */
export type BundleMap = ReadonlyMap<string, Buffer>;

export interface JwtSvidAsk {
  readonly audiences: readonly string[];
  /** Empty: every identity of the caller. */
  readonly spiffeId: string;
}

export interface ValidateAsk {
  readonly audience: string;
  readonly svid: string;
}

export function encodeX509Svid(svid: X509SvidAnswer, federated: BundleMap): Buffer {
  const entry = new MessageWriter()
    .text(1, svid.spiffeId)
    .bytes(2, svid.chain)
    .bytes(3, svid.key)
    .bytes(4, svid.bundle);
  return bytesMap(new MessageWriter().message(1, entry), 3, federated).finish();
}

export function encodeX509Bundles(bundles: BundleMap): Buffer {
  return bytesMap(new MessageWriter(), 2, bundles).finish();
}

export function encodeJwtSvid(spiffeId: string, svid: string): Buffer {
  return new MessageWriter().message(1, new MessageWriter().text(1, spiffeId).text(2, svid)).finish();
}

export function encodeJwtBundles(bundles: BundleMap): Buffer {
  return bytesMap(new MessageWriter(), 1, bundles).finish();
}

export function encodeValidated(spiffeId: string, claims: Readonly<Record<string, unknown>>): Buffer {
  return new MessageWriter().text(1, spiffeId).message(2, struct(claims)).finish();
}

/** @throws {BulwarkError} BW_PROTOBUF */
export function decodeJwtSvidAsk(bytes: Buffer): JwtSvidAsk {
  const audiences: string[] = [];
  let spiffeId = "";
  for (const field of readMessage(bytes)) {
    if (field.number === 1) audiences.push(field.text);
    if (field.number === 2) spiffeId = field.text;
  }
  return { audiences, spiffeId };
}

/** @throws {BulwarkError} BW_PROTOBUF */
export function decodeValidateAsk(bytes: Buffer): ValidateAsk {
  let audience = "";
  let svid = "";
  for (const field of readMessage(bytes)) {
    if (field.number === 1) audience = field.text;
    if (field.number === 2) svid = field.text;
  }
  return { audience, svid };
}

function bytesMap(writer: MessageWriter, field: number, entries: BundleMap): MessageWriter {
  for (const [key, value] of entries) writer.message(field, new MessageWriter().text(1, key).bytes(2, value));
  return writer;
}

/** `google.protobuf.Struct` */
function struct(record: Readonly<Record<string, unknown>>): MessageWriter {
  const writer = new MessageWriter();
  for (const [key, value] of Object.entries(record))
    writer.message(1, new MessageWriter().text(1, key).message(2, protobufValue(value)));
  return writer;
}

/** `google.protobuf.Value` of something that came out of JSON. */
function protobufValue(value: unknown): MessageWriter {
  const writer = new MessageWriter();
  if (typeof value === "number") return writer.double(2, value);
  if (typeof value === "string") return writer.bytes(3, Buffer.from(value, "utf8"));
  if (typeof value === "boolean") return writer.presentInt(4, value ? 1 : 0);
  if (Array.isArray(value)) {
    const list = new MessageWriter();
    for (const entry of value) list.message(1, protobufValue(entry));
    return writer.message(6, list);
  }
  if (typeof value === "object" && value !== null) return writer.message(5, struct({ ...value }));
  return writer.presentInt(1, 0);
}
