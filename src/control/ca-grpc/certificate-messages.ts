import { MessageWriter, readMessage } from "../../dataplane/ext-authz/protobuf-wire.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";

/** `istio.v1.auth.IstioCertificateRequest`. */
export interface IstioCertificateRequest {
  /** PEM. */
  readonly csr: string;
  /** Seconds. */
  readonly validityDuration: number;
  /** The members of `metadata` (google.protobuf.Struct) whose value is text. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Members of another kind: where text is meant, such a value is a mistake and not an absence. */
  readonly otherMetadata: ReadonlySet<string>;
}

const STRING_VALUE = 3;

/**
 * @throws {BulwarkError} BW_PROTOBUF
 * @see istio/api, security/v1alpha1/ca.proto
 */
export function decodeCertificateRequest(bytes: Buffer): IstioCertificateRequest {
  let csr = "";
  let validityDuration = 0n;
  const metadata = new Map<string, string>();
  const otherMetadata = new Set<string>();
  for (const field of readMessage(bytes)) {
    if (field.number === 1) csr = field.text;
    else if (field.number === 3) validityDuration = field.int;
    else if (field.number === 4) readStruct(field.bytes, metadata, otherMetadata);
  }
  return { csr, validityDuration: Number(validityDuration), metadata, otherMetadata };
}

/** A text in twice is the last one, as protobuf's maps have it. */
function readStruct(bytes: Buffer, texts: Map<string, string>, others: Set<string>): void {
  for (const entry of readMessage(bytes)) {
    if (entry.number !== 1) continue;
    const { key, text } = readEntry(entry.bytes);
    texts.delete(key);
    others.delete(key);
    if (text === undefined) others.add(key);
    else texts.set(key, text);
  }
}

function readEntry(bytes: Buffer): { key: string; text: string | undefined } {
  let key = "";
  let text: string | undefined;
  for (const field of readMessage(bytes)) {
    if (field.number === 1) key = field.text;
    else if (field.number === 2) text = readText(field.bytes);
  }
  return { key, text };
}

/** Of a google.protobuf.Value the text, empty where it is of no kind; undefined for every other kind. */
function readText(bytes: Buffer): string | undefined {
  let text: string | undefined = "";
  for (const field of readMessage(bytes)) text = field.number === STRING_VALUE ? field.text : undefined;
  return text;
}

/** `istio.v1.auth.IstioCertificateResponse`: the leaf first, the roots last. */
export function encodeCertificateResponse(chain: readonly string[]): Buffer {
  const message = new MessageWriter();
  for (const pem of chain) message.text(1, pem);
  return message.finish();
}

/**
 * One text a certificate, each ending in a newline, as istiod sends them and ztunnel expects them.
 * @param texts PEM, of any number of certificates each.
 */
export function splitPem(...texts: readonly string[]): readonly string[] {
  const blocks = texts.flatMap(
    (text) => text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [],
  );
  if (blocks.length === 0) throw new BulwarkError("BW_CA_CHAIN_EMPTY", "the CA gave no certificate");
  return blocks.map((block) => `${block}\n`);
}
