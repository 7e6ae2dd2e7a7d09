import { suggestion } from "../did-you-mean.ts";
import { type Field, quoted } from "./field.ts";

const HTTP: readonly string[] = ["http", "http2", "http_proxy", "grpc", "grpc-web"];
const TLS: readonly string[] = ["https", "tls"];
const TCP: readonly string[] = ["tcp", "mongo", "redis", "mysql", ...TLS];

/** The protocols that a port of Istio's own kinds can be given, as written in any case. */
export function isHttp(protocol: string): boolean {
  return HTTP.includes(protocol.toLowerCase());
}

export function isTls(protocol: string): boolean {
  return TLS.includes(protocol.toLowerCase());
}

/** TCP and everything on it that Istio does not take apart. */
export function isTcp(protocol: string): boolean {
  return TCP.includes(protocol.toLowerCase());
}

export function checkProtocol(field: Field, options: { readonly mayBeEmpty: boolean }): void {
  const known = [...HTTP, ...TCP, "udp"];
  if (field.text === "" ? options.mayBeEmpty : known.includes(field.text.toLowerCase())) return;
  const meant = suggestion(
    field.text,
    known.map((name) => name.toUpperCase()),
  );
  field.error(
    "BW1242_PROTOCOL",
    `\`${field.name}\` is ${quoted(field.text)}, which is no protocol`,
    meant === "" ? "HTTP, HTTP2, HTTPS, GRPC, GRPC-Web, TLS, TCP, MONGO, MYSQL, REDIS" : meant,
  );
}
