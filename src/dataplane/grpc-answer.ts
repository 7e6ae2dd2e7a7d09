/**
 * How a proxy answers a gRPC call itself. Clients of gRPC look for `grpc-status`, and where there is none guess it from the HTTP status.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md (Trailers-Only)
 */
import type { OutgoingHttpHeaders } from "node:http2";

/** As Envoy maps them; any other: UNKNOWN. */
const GRPC_STATUS: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};
const UNKNOWN = 2;

/** The head that is the whole answer. @param body told as `grpc-message`. */
export function grpcAnswer(status: number, headers: OutgoingHttpHeaders, body: string): OutgoingHttpHeaders {
  return {
    ...headers,
    ":status": 200,
    "content-type": "application/grpc",
    "grpc-status": String(GRPC_STATUS[status] ?? UNKNOWN),
    ...(body === "" ? {} : { "grpc-message": percentEncoded(body) }),
  };
}

/** Printable ASCII but `%` stays; all else is written octet by octet. */
function percentEncoded(text: string): string {
  let out = "";
  for (const octet of Buffer.from(text, "utf8")) {
    const isPlain = octet >= 0x20 && octet <= 0x7e && octet !== 0x25;
    out += isPlain ? String.fromCharCode(octet) : `%${octet.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}
