/**
 * Request headers that are the proxy's own word: whatever a client says in them, policies see what the hop that ends HTTP makes of them.
 * @see Envoy, source/common/http/conn_manager_utility.cc (mutateRequestHeaders); istiod sets APPEND_FORWARD at sidecars, SANITIZE_SET
 *   and use_remote_address at gateways
 */
import type { Connection } from "./connection.ts";
import { type ForwardedForTrust, remoteAddressOf } from "./forwarded-for.ts";
import type { FlatHeaders, HttpRequest } from "./http-request.ts";
import { formatIpAddress } from "./ip-address.ts";
import { joinedField } from "./joined-field.ts";

/** Where HTTP ends. A waypoint ends no TLS there itself: the certificate was shown to the tunnel that the request comes out of. */
export interface HttpHop {
  readonly position: "sidecar" | "gateway" | "waypoint";
  /** This hop's element of X-Forwarded-Client-Cert; absent for a client without a certificate. */
  readonly clientCert?: string | undefined;
}

export const SIDECAR_HOP: HttpHop = { position: "sidecar" };

/** The one value of a header; null where it is absent. */
export type HeaderReader = (
  request: HttpRequest,
  connection: Connection,
  forwardedFor: ForwardedForTrust,
) => string | null;

/**
 * Whether an element can be appended to this value and still be read as one: a client that leaves a quote open would have what
 * the proxy appends read as a part of its own element. Readers differ on whether a backslash escapes, so one before a quote
 * counts as open.
 */
function canAppendElement(before: string): boolean {
  return !before.includes('\\"') && before.split('"').length % 2 === 1;
}

/** What a sidecar makes of X-Forwarded-Client-Cert: its own element behind those that came, where one can stand there; an empty text leaves no comma. */
export function withElement(before: string | null, own: string): string {
  return before === null || before === "" || !canAppendElement(before) ? own : `${before},${own}`;
}

function clientCert({ headers }: HttpRequest, { hop }: Connection): string | null {
  if (hop.clientCert === undefined) return null;
  const before = hop.position === "sidecar" ? joinedField(headers, "x-forwarded-client-cert") : null;
  return withElement(before, hop.clientCert);
}

/** What a gateway makes of X-Forwarded-For: its peer behind those that came. */
export function withPeer(before: string | null, peer: string): string {
  return before === null || before === "" ? peer : `${before},${peer}`;
}

function forwardedFor({ headers }: HttpRequest, { hop, sourceIp }: Connection): string | null {
  const before = joinedField(headers, "x-forwarded-for");
  if (hop.position !== "gateway" || sourceIp === "") return before;
  return withPeer(before, sourceIp);
}

/** What a gateway goes on telling of the protocol: the word of proxies before it, where it is told to trust some. */
export function trustedProto(headers: FlatHeaders, trust: ForwardedForTrust): string | null {
  return trust === null ? null : joinedField(headers, "x-forwarded-proto");
}

function forwardedProto(
  { headers }: HttpRequest,
  { hop, firstBytes }: Connection,
  trust: ForwardedForTrust,
): string | null {
  const before =
    hop.position === "gateway" ? trustedProto(headers, trust) : joinedField(headers, "x-forwarded-proto");
  return before ?? (firstBytes.tls && hop.position !== "waypoint" ? "https" : "http");
}

function externalAddress(
  { headers }: HttpRequest,
  connection: Connection,
  trust: ForwardedForTrust,
): string | null {
  if (connection.hop.position !== "gateway") return joinedField(headers, "x-envoy-external-address");
  const address = remoteAddressOf(connection, headers, trust);
  return address === null ? null : formatIpAddress(address);
}

const READERS: ReadonlyMap<string, HeaderReader> = new Map<string, HeaderReader>([
  ["x-forwarded-client-cert", clientCert],
  ["x-forwarded-for", forwardedFor],
  ["x-forwarded-proto", forwardedProto],
  ["x-envoy-external-address", externalAddress],
]);

/** How such a header is read; undefined for those that are the client's to say. @param name in lower case. */
export function proxyHeader(name: string): HeaderReader | undefined {
  const known = READERS.get(name);
  if (known !== undefined || !name.startsWith("x-envoy-")) return known;
  // They steer proxies: at the mesh's edge nobody's word is taken for them.
  return ({ headers }, { hop }) => (hop.position === "gateway" ? null : joinedField(headers, name));
}
