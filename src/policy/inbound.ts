/** The server's side of a workload: which connections it takes and which requests it serves. Compiled once, decided often. */
import type { Mesh, Workload } from "../model/mesh.ts";
import type { PathNormalization } from "../model/mesh-config.ts";
import type { Connection } from "./connection.ts";
import type { HttpRequest } from "./http-request.ts";
import type { JwtPolicy } from "./jwt/jwt-policy.ts";
import type { Verdict } from "./verdict.ts";

/** `istio`: what Istio decides. `strict`: what Bulwark's own proxies decide; the differences are a closed list (docs/decisions.md). */
export type Semantics = "istio" | "strict";

export interface InboundOptions {
  readonly semantics: Semantics;
}

export interface TransportRule {
  readonly mode: "STRICT" | "PERMISSIVE" | "DISABLE";
  /** `PeerAuthentication ns/name` that set it; null for the default. */
  readonly policy: string | null;
}

/**
 * How one connection is taken.
 * `tls`: `terminate` mutual TLS; `pass` TLS through undecrypted; `none` for plaintext; `terminate-simple` only at gateways.
 */
export interface FilterChain {
  readonly tls: "terminate" | "pass" | "none";
  readonly protocol: "http" | "tcp";
  /** Set when no chain takes the connection, or the one that does cannot speak to it: close with this. */
  readonly refusal: Verdict | null;
}

export interface InboundPolicy {
  readonly workload: Workload;
  readonly semantics: Semantics;
  readonly pathNormalization: PathNormalization;
  /** The mutual TLS mode of a port of the workload, declared or not. */
  transport(port: number): TransportRule;
  /** Rules for tokens; null where no RequestAuthentication selects the workload. */
  readonly jwt: JwtPolicy | null;
  /** What the caller answers when `HttpRequest.read` gives null. */
  readonly badRequest: Verdict;
}

/** Compiles what holds for one workload. Pure; the mesh is not kept beyond what the rules need. */
export function compileInbound(mesh: Mesh, workload: Workload, options: InboundOptions): InboundPolicy {
  throw new Error("BUG: not there yet");
}

/** Which chain takes a connection, before TLS is spoken: from the port, the first bytes, and the ClientHello's ALPN. Allocates nothing. */
export function selectChain(
  policy: InboundPolicy,
  port: number,
  transport: "tls" | "plaintext",
  alpn: readonly string[],
  speaksHttp: boolean,
): FilterChain {
  throw new Error("BUG: not there yet");
}

/** Whether the protocol of plaintext on this port is to be detected from its first bytes. */
export function detectsProtocol(policy: InboundPolicy, port: number): boolean {
  throw new Error("BUG: not there yet");
}

/** Transport and, on TCP chains, authorization. On HTTP chains an allowed connection still needs a decision per request. */
export function decideConnection(policy: InboundPolicy, connection: Connection): Verdict {
  throw new Error("BUG: not there yet");
}

/** Authorization of one request on a connection that decideConnection allowed. Allocates nothing. */
export function decideRequest(policy: InboundPolicy, connection: Connection, request: HttpRequest): Verdict {
  throw new Error("BUG: not there yet");
}

/** Who must be asked before deciding, and for whom. */
export interface AuthorizerDemand {
  /** Name of the extension provider in MeshConfig. */
  readonly provider: string;
  /** `AuthorizationPolicy ns/name`. */
  readonly policy: string;
  readonly rule: number;
}

/** The external authorizer that a CUSTOM policy wants asked about this; null for none. Allocates nothing. */
export function requiredAuthorizer(
  policy: InboundPolicy,
  connection: Connection,
  request: HttpRequest | undefined,
): AuthorizerDemand | null {
  throw new Error("BUG: not there yet");
}

/** A policy that matched and did not block: AUDIT, or annotated `istio.io/dry-run`. */
export interface Observation {
  readonly action: "AUDIT" | "DRY-RUN ALLOW" | "DRY-RUN DENY";
  readonly policy: string;
  readonly rule: number;
}

/** AUDIT and dry-run rules that match. Returns one shared empty array where there is none, so it costs nothing in the usual case. */
export function observe(
  policy: InboundPolicy,
  connection: Connection,
  request: HttpRequest | undefined,
): readonly Observation[] {
  throw new Error("BUG: not there yet");
}
