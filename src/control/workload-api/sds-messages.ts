/**
 * Messages of Envoy's secret discovery, as far as certificates and roots go.
 * @see https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/service/discovery/v3/discovery.proto
 * @see https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/transport_sockets/tls/v3/secret.proto
 */
import { MessageWriter, readMessage } from "../../dataplane/ext-authz/protobuf-wire.ts";

export const SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
const SPIFFE_VALIDATOR_TYPE =
  "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";

export interface DiscoveryRequest {
  readonly versionInfo: string;
  readonly resourceNames: readonly string[];
  readonly typeUrl: string;
  readonly responseNonce: string;
  /** What the client found wrong with the answer of that nonce; undefined where it took it. */
  readonly error: string | undefined;
}

export interface DiscoveryResponse {
  readonly versionInfo: string;
  /** Messages of {@link SECRET_TYPE}. */
  readonly secrets: readonly Buffer[];
  readonly nonce: string;
}

const MAX_ERROR_CHARS = 300;

/** @throws {BulwarkError} BW_PROTOBUF */
export function decodeDiscoveryRequest(bytes: Buffer): DiscoveryRequest {
  const found = { versionInfo: "", typeUrl: "", responseNonce: "" };
  const resourceNames: string[] = [];
  let error: string | undefined;
  for (const field of readMessage(bytes)) {
    if (field.number === 1) found.versionInfo = field.text;
    if (field.number === 3) resourceNames.push(field.text);
    if (field.number === 4) found.typeUrl = field.text;
    if (field.number === 5) found.responseNonce = field.text;
    if (field.number === 6) error = errorText(field.bytes);
  }
  return { ...found, resourceNames, error };
}

/** The message of a `google.rpc.Status`. */
function errorText(bytes: Buffer): string {
  let text = "";
  for (const field of readMessage(bytes)) if (field.number === 2) text = field.text;
  return text.slice(0, MAX_ERROR_CHARS);
}

export function encodeDiscoveryResponse({ versionInfo, secrets, nonce }: DiscoveryResponse): Buffer {
  const writer = new MessageWriter().text(1, versionInfo);
  for (const secret of secrets) writer.message(2, any(SECRET_TYPE, secret));
  return writer.text(4, SECRET_TYPE).text(5, nonce).finish();
}

/** A `Secret` with a certificate and its key, both PEM. */
export function encodeTlsCertificate(name: string, chainPem: string, keyPem: string): Buffer {
  const certificate = new MessageWriter().message(1, inline(chainPem)).message(2, inline(keyPem));
  return new MessageWriter().text(1, name).message(2, certificate).finish();
}

/** A `Secret` with the roots that every identity is verified against. */
export function encodeTrustedCa(name: string, rootsPem: string): Buffer {
  const context = new MessageWriter().message(1, inline(rootsPem));
  return new MessageWriter().text(1, name).message(4, context).finish();
}

/** A `Secret` with roots by trust domain: Envoy's SPIFFE validator holds each peer against those of its own domain only. */
export function encodeSpiffeValidator(name: string, rootsByDomain: ReadonlyMap<string, string>): Buffer {
  const config = new MessageWriter();
  for (const [trustDomain, pem] of rootsByDomain)
    config.message(1, new MessageWriter().text(1, trustDomain).message(2, inline(pem)));
  const extension = new MessageWriter()
    .text(1, "envoy.tls.cert_validator.spiffe")
    .message(2, any(SPIFFE_VALIDATOR_TYPE, config.finish()));
  const context = new MessageWriter().message(12, extension);
  return new MessageWriter().text(1, name).message(4, context).finish();
}

/** `DataSource.inline_bytes` */
function inline(pem: string): MessageWriter {
  return new MessageWriter().bytes(2, Buffer.from(pem, "utf8"));
}

function any(typeUrl: string, value: Buffer): MessageWriter {
  return new MessageWriter().text(1, typeUrl).bytes(2, value);
}
