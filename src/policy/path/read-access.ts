/** The parts of a question as the first hop meets them. */
import type { Workload } from "../../model/mesh.ts";
import type { TlsKind } from "../connection.ts";
import { type ClientHead, refuseHead } from "../head-refusal.ts";
import type { AccessRequest } from "./access-request.ts";
import { type Arrival, type Flight, meshAlpn, type Sender } from "./journey.ts";

const OWN_ALPN: readonly string[] = ["h2", "http/1.1"];

/** The Host header: as given, else the name that the client uses; `app` where only a workload is named. */
export function authorityOf({ authority, host, headers = [], to }: AccessRequest): string {
  return authority ?? host ?? headers.find(isHost)?.[1].trim() ?? to.host ?? to.service ?? "app";
}

export function isHost([name]: readonly [name: string, value: string]): boolean {
  return name.toLowerCase() === "host";
}

/** Between two hops only, whatever `Connection` says (RFC 9110 §7.6.1); `Expect` is answered by the first proxy. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "expect",
]);

type Header = readonly [name: string, value: string];

/** What the first proxy leaves of a client's headers: those that are for the next hop alone are gone before any policy looks. */
function endToEnd(headers: readonly Header[]): (header: Header) => boolean {
  const nominated = new Set(
    headers
      .filter(([name]) => name.toLowerCase() === "connection")
      .flatMap(([, value]) =>
        value
          .toLowerCase()
          .split(",")
          .map((token) => token.trim()),
      ),
  );
  return ([name, value]) => {
    const lower = name.toLowerCase();
    if (lower === "upgrade") return nominated.has(lower) && value.trim().toLowerCase() !== "h2c";
    return !HOP_BY_HOP.has(lower) && !nominated.has(lower);
  };
}

export function flightOf(request: AccessRequest, authority: string): Flight {
  const { protocol = "http", jwt, extAuthz, sni } = request;
  const fields = (request.headers ?? []).filter((header) => !isHost(header));
  const unreadable = unreadableBy(protocol, authority, fields);
  const headers = fields
    .filter(endToEnd(fields))
    .flatMap(([name, value]) => [name.toLowerCase(), value.trim()]);
  if (typeof jwt === "string") headers.push("authorization", `Bearer ${jwt}`);
  if (protocol === "grpc" && !headers.includes("application/grpc"))
    headers.push("content-type", "application/grpc");
  return {
    protocol,
    method: request.method ?? (protocol === "grpc" ? "POST" : "GET"),
    path: request.path ?? "/",
    authority,
    headers,
    ...(unreadable === undefined ? {} : { unreadable }),
    ...(protocol === "tls" && sni !== undefined ? { ownSni: sni } : {}),
    ...(typeof jwt === "object" ? { claims: jwt.claims } : {}),
    ...(extAuthz === undefined ? {} : { authorizer: extAuthz }),
  };
}

function unreadableBy(
  protocol: Flight["protocol"],
  authority: string,
  fields: readonly Header[],
): Flight["unreadable"] {
  if (protocol !== "http" && protocol !== "grpc") return undefined;
  const head: ClientHead = { version: protocol === "grpc" ? 2 : 1, authority, fields };
  const [istio, strict] = [refuseHead(head, "istio"), refuseHead(head, "strict")];
  return istio === null && strict === null ? undefined : { istio, strict };
}

/** A workload without a proxy has no certificate of the mesh to show. */
export function senderOf({ from = {} }: AccessRequest, client: Workload | undefined): Sender {
  const own =
    client === undefined || client.dataplane === "none" ? null : client.spiffeId.slice("spiffe://".length);
  const principal = from.principal?.replace(/^spiffe:\/\//, "") ?? from.principal;
  return {
    name: from.workload ?? principal ?? from.ip ?? "a client",
    principal: principal === undefined ? own : principal,
    ip: from.ip ?? client?.addresses[0] ?? "",
  };
}

/** A connection that the client itself makes to a workload's port. */
export function arrivalFrom(
  { from = {}, sni, via }: AccessRequest,
  flight: Flight,
  sender: Sender,
  place: { readonly workload: Workload; readonly port: number; readonly address: string },
): Arrival {
  const own = flight.protocol === "tls";
  const clear: TlsKind = own ? "simple" : "plaintext";
  // From outside nobody speaks the mesh's TLS to an ingress gateway unless told so.
  const fromOutside = via !== undefined && from.principal === undefined;
  const tls: TlsKind = from.tls ?? (sender.principal === null || fromOutside ? clear : "mtls");
  const inMesh = tls === "mtls" || tls === "rogue";
  const usual = inMesh ? meshAlpn(flight) : own ? OWN_ALPN : [];
  return {
    workload: place.workload,
    port: place.port,
    destinationIp: place.address,
    sourceIp: sender.ip,
    tls,
    principal: tls === "mtls" || tls === "rogue" ? sender.principal : null,
    alpn: from.alpn ?? usual,
    ...(sni === undefined ? {} : { sni }),
  };
}
