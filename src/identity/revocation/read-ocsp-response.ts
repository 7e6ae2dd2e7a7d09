import { contextTag, DerError, DerReader, TAG } from "../der-reader.ts";
import { OID } from "../object-ids.ts";

/** What an OCSP response says of one certificate. */
export interface OcspReading {
  /** Lower-case hexadecimal, no leading zero byte. */
  readonly serial: string;
  readonly status: "good" | "revoked" | "unknown";
  readonly thisUpdate: Date;
  /** Undefined: newer information is available all the time. */
  readonly nextUpdate: Date | undefined;
}

/** A successful response, its signature not verified. Buffers are views. */
export interface OcspResponseReading {
  readonly answers: readonly OcspReading[];
  /** Certificates that came with it, in DER. */
  readonly certificates: readonly Buffer[];
}

const MAX_RESPONSE_BYTES = 65_536;

/**
 * Reads an OCSP response as far as one who passes it on needs to. Never throws.
 * @see RFC 6960 §4.2.1
 */
export function readOcspResponse(der: Buffer): OcspResponseReading | { readonly error: string } {
  if (der.length > MAX_RESPONSE_BYTES) return { error: "response of more than 64 KiB" };
  try {
    return readResponse(der);
  } catch (error) {
    if (error instanceof DerError) return { error: error.message };
    throw error;
  }
}

function readResponse(der: Buffer): OcspResponseReading {
  const file = new DerReader(der);
  const response = file.within(TAG.sequence);
  file.finish();
  const status = response.content(TAG.enumerated);
  if (status.length !== 1 || status[0] !== 0) throw new DerError("the responder did not answer");
  const outer = response.within(contextTag(0));
  response.finish();
  const typed = outer.within(TAG.sequence);
  outer.finish();
  if (typed.oid() !== OID.ocspBasic) throw new DerError("response of an unknown type");
  const content = typed.content(TAG.octetString);
  typed.finish();
  return readBasic(content);
}

function readBasic(bytes: Buffer): OcspResponseReading {
  const file = new DerReader(bytes);
  const basic = file.within(TAG.sequence);
  file.finish();
  const data = basic.within(TAG.sequence);
  basic.element(TAG.sequence);
  basic.bitString();
  const certificates: Buffer[] = [];
  if (basic.nextTag === contextTag(0)) {
    const list = basic.within(contextTag(0)).within(TAG.sequence);
    while (!list.done) certificates.push(list.whole(TAG.sequence));
  }
  basic.finish();
  return { answers: readData(data), certificates };
}

function readData(data: DerReader): readonly OcspReading[] {
  if (data.nextTag === contextTag(0)) data.element();
  if (data.nextTag !== contextTag(1) && data.nextTag !== contextTag(2)) throw new DerError("no responder");
  data.element();
  data.time();
  const list = data.within(TAG.sequence);
  const answers: OcspReading[] = [];
  while (!list.done) answers.push(readSingle(list.within(TAG.sequence)));
  return answers;
}

function readSingle(single: DerReader): OcspReading {
  const id = single.within(TAG.sequence);
  id.element(TAG.sequence);
  id.element(TAG.octetString);
  id.element(TAG.octetString);
  const serial = id.integer();
  const status = readStatus(single.element().tag);
  const thisUpdate = single.time();
  const nextUpdate = single.nextTag === contextTag(0) ? single.within(contextTag(0)).time() : undefined;
  const magnitude = serial[0] === 0 && serial.length > 1 ? serial.subarray(1) : serial;
  return { serial: magnitude.toString("hex"), status, thisUpdate, nextUpdate };
}

function readStatus(tag: number): OcspReading["status"] {
  if (tag === 0x80) return "good";
  if (tag === contextTag(1)) return "revoked";
  if (tag === 0x82) return "unknown";
  throw new DerError("unknown status");
}
