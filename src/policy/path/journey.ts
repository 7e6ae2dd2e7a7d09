/** What travels along a request's path, from hop to hop. */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import type { AuthorizerAnswer, TlsKind } from "../connection.ts";
import type { FlatHeaders } from "../http-request.ts";
import type { Semantics } from "../inbound.ts";
import type { FetchJwks } from "../jwt/jwt-policy.ts";
import type { Claims } from "../jwt/jwt-result.ts";
import type { DialedDestination, ForwardDecision } from "../outbound/types.ts";
import type { Reason, Verdict } from "../verdict.ts";
import type { AccessProtocol } from "./access-request.ts";
import type { CompiledPolicies } from "./compiled-policies.ts";
import type { HopVerdict } from "./decision.ts";

export interface JourneyContext {
  readonly mesh: Mesh;
  readonly semantics: Semantics;
  readonly compiled: CompiledPolicies;
  /** Absent: keys that are not inline cannot be had, and what hangs on them is unknown. */
  readonly fetchJwks?: FetchJwks;
  readonly nowSeconds: () => number;
  /** Servers are judged as if they were in the other mode: sidecars by ztunnel, and the other way round. */
  readonly otherMode?: boolean;
}

/** The request itself, as it leaves a hop: routes rewrite it. */
export interface Flight {
  readonly protocol: AccessProtocol;
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  /** Names in lower case and values, in turn. */
  readonly headers: FlatHeaders;
  /** Server name of the client's own TLS (protocol `tls`); absent where it sends none. */
  readonly ownSni?: string;
  /** The first proxy that reads HTTP refuses its head so; absent where both semantics read it. */
  readonly unreadable?: Readonly<Record<Semantics, Verdict | null>>;
  /** Taken as verified. */
  readonly claims?: Claims;
  readonly authorizer?: AuthorizerAnswer;
}

export function speaksHttp({ protocol }: Flight): boolean {
  return protocol === "http" || protocol === "grpc";
}

/** Whose connection it is. */
export interface Sender {
  /** `namespace/name`, or what else names it to a person. */
  readonly name: string;
  /** Without `spiffe://`; null: it has no certificate of the mesh. */
  readonly principal: string | null;
  /** Empty where it is not known. */
  readonly ip: string;
}

/** A connection that reaches a workload. */
export interface Arrival {
  readonly workload: Workload;
  /** The container's, or the gateway's pod's. */
  readonly port: number;
  readonly tls: TlsKind;
  /** INVARIANT: null unless `tls` is `mtls` or `rogue`. */
  readonly principal: string | null;
  readonly sourceIp: string;
  /** Empty where it is not known. */
  readonly destinationIp: string;
  readonly sni?: string;
  readonly alpn: readonly string[];
  /** It came out of an HBONE tunnel: `tls` and `principal` are the tunnel's. */
  readonly hbone?: true;
  /** At a waypoint: whom it is for. The address is what the tunnel was asked for. */
  readonly addressed?: Addressed;
}

/** A service by its own port, or a workload by the container's. */
export type Addressed =
  | { readonly kind: "service"; readonly service: Service; readonly port: number; readonly address: string }
  | {
      readonly kind: "workload";
      readonly workload: Workload;
      readonly port: number;
      readonly address: string;
    };

/** One hop's part: what it said, and why. */
export interface Step extends HopVerdict {
  /** Whether the hop answers HTTP: a refusal without an answer further on is a 503 from here. */
  readonly answersHttp: boolean;
  readonly explain: () => readonly string[];
}

/** Where a hop's decision may end. `outside`: it leaves the mesh, and nobody of it has another say. */
export type End =
  | { readonly kind: "workload"; readonly arrival: Arrival; readonly flight: Flight; readonly way: string }
  | {
      readonly kind: "outside";
      readonly way: string;
      /** Where the way does not tell it. */
      readonly place?: { readonly ip: string; readonly port: number };
    }
  | { readonly kind: "refused"; readonly step: Step; readonly way: string };

/** Where a hop that does not route sends it. */
export interface OnwardEnds {
  readonly flight: Flight;
  readonly ends: readonly End[];
}

/** Where an allowing hop sends it. */
export interface Onward {
  readonly flight: Flight;
  readonly sender: Sender;
  /** What kind of proxy sends it. */
  readonly by: "sidecar" | "gateway" | "waypoint";
  readonly decision: ForwardDecision;
  /** What the client was going to, for what follows the client's choice. */
  readonly dialled: DialedDestination;
}

export interface HopResult {
  readonly step: Step;
  /** Absent: the hop is the last. */
  readonly onward?: Onward | OnwardEnds;
}

export const HTTP1_ALPN: readonly string[] = ["istio-http/1.1", "istio", "http/1.1"];
export const HTTP2_ALPN: readonly string[] = ["istio-h2", "istio", "h2"];
export const TCP_ALPN: readonly string[] = ["istio-peer-exchange", "istio"];

/** ALPN of a mesh's client, which tells the server's proxy what is inside. */
export function meshAlpn(flight: Flight): readonly string[] {
  if (!speaksHttp(flight)) return TCP_ALPN;
  return flight.protocol === "grpc" ? HTTP2_ALPN : HTTP1_ALPN;
}

/** A hop that cannot be decided. Never allowed: what is not known is not promised. */
export function unknownStep(
  hop: string,
  side: Step["side"],
  cause: string,
  http: boolean,
  ...lines: readonly string[]
): Step {
  return {
    hop,
    side,
    allowed: false,
    code: http ? 403 : 0,
    reason: "unknown" satisfies Reason,
    cause,
    layer: side === "client" ? "client-route" : "transport",
    policy: null,
    rule: null,
    answersHttp: false,
    explain: () => lines,
  };
}
