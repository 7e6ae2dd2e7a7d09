/** The server's side of a workload: which connections it takes and which requests it serves. Compiled once, decided often. */
import { load } from "js-yaml";
import type { Mesh, Workload } from "../model/mesh.ts";
import type { PathNormalization } from "../model/mesh-config.ts";
import {
  type Authorization,
  type AuthorizerDemand,
  compileAuthorization,
  decideAuthorization,
  decideCustom,
  demandOf,
  type Observation,
  observeAuthorization,
} from "./authorization.ts";
import type { AuthorizationCache } from "./authorization-cache.ts";
import type { Connection } from "./connection.ts";
import { type FilterChain, type FirstBytes, sidecarChain } from "./filter-chain.ts";
import type { ForwardedForTrust } from "./forwarded-for.ts";
import { compileGatewayChains, type GatewayChains, gatewayChain } from "./gateway-chain.ts";
import type { HttpRequest } from "./http-request.ts";
import { compileJwtPolicy } from "./jwt/compile-jwt.ts";
import type { JwtPolicy } from "./jwt/jwt-policy.ts";
import { compileTransport, type TransportRule, type TransportRules } from "./peer-authentication.ts";
import { compilePortProtocols, type PortProtocols } from "./port-protocol.ts";
import type { TrustDomains } from "./trust-domain-alias.ts";
import type { Verdict } from "./verdict.ts";
import {
  FOREIGN_TRUST_DOMAIN,
  HTTP_ANSWERS,
  JWT_UNVERIFIED,
  NO_CLIENT_CERTIFICATE,
  NO_LISTENER,
  NO_PROXY,
  PER_REQUEST,
  TCP_ANSWERS,
  UNTRUSTED_CERTIFICATE,
} from "./verdict-catalogue.ts";
import { type WaypointChains, waypointChain } from "./waypoint/waypoint-chain.ts";

export type { AuthorizerDemand, Observation } from "./authorization.ts";
export type { FilterChain, FirstBytes } from "./filter-chain.ts";
export type { TransportRule } from "./peer-authentication.ts";

/** `istio`: what Istio decides. `strict`: what Bulwark's own proxies decide; the differences are a closed list (docs/decisions.md). */
export type Semantics = "istio" | "strict";

export interface InboundOptions {
  readonly semantics: Semantics;
  /** Shared by workloads, and kept when the mesh changes, so that nothing is compiled twice. */
  readonly cache?: AuthorizationCache;
}

/** Immutable. Everything that deciding needs, and nothing of the mesh besides. */
export interface InboundPolicy {
  readonly workload: Workload;
  readonly semantics: Semantics;
  readonly pathNormalization: PathNormalization;
  /** The mutual TLS mode of a port of the workload, declared or not. Gateways' servers have modes of their own. */
  transport(port: number): TransportRule;
  /** Ports that have a mode of their own. */
  readonly transportPorts?: readonly number[];
  /** Rules for tokens; null where no RequestAuthentication selects the workload. */
  readonly jwt: JwtPolicy | null;
  /** Trust domains whose identities are taken: the mesh's own and its aliases. */
  readonly trustDomains: TrustDomains;
  /** Others' trust domains whose identities are taken; always empty under Istio's semantics, which knows of none. */
  readonly federated: readonly string[];
  /** How far what earlier proxies say of the client is believed. */
  readonly forwardedFor: ForwardedForTrust;
  /** No proxy stands before the workload: nothing is decided. */
  readonly unprotected: boolean;
  /** Declared ports of the application. Empty for gateways. */
  readonly ports: PortProtocols;
  readonly http: Authorization;
  readonly tcp: Authorization;
  /** Null for anything but gateways. */
  readonly gateway: GatewayChains | null;
  /** Null for anything but waypoints, whose connections are those that come out of an HBONE tunnel. */
  readonly waypoint: WaypointChains | null;
}

/** The port that a sidecar itself listens on: nobody is meant to dial it. */
export const CAPTURE_PORT = 15006;

/** Compiles what holds for one workload. Pure. */
export function compileInbound(mesh: Mesh, workload: Workload, options: InboundOptions): InboundPolicy {
  const { config } = mesh;
  const trustDomains = [...new Set([config.trustDomain, ...config.trustDomainAliases])];
  const federated = options.semantics === "strict" ? config.federatedTrustDomains : [];
  const { cache } = options;
  const gateway = workload.role === "gateway";
  const transports = compileTransport(mesh, workload);
  const context = {
    semantics: options.semantics,
    trustDomains,
    federated,
    forwardedFor: forwardedForTrust(workload, config.numTrustedProxies),
  };
  return {
    workload,
    semantics: options.semantics,
    pathNormalization: config.pathNormalization,
    transport: (port) => transportOf(transports, port),
    transportPorts: [...transports.ports.keys()],
    jwt: compileJwtPolicy(mesh, workload),
    trustDomains,
    federated,
    forwardedFor: context.forwardedFor,
    unprotected: workload.dataplane === "none" && !gateway,
    ports: gateway ? new Map() : compilePortProtocols(mesh, workload),
    http: compileAuthorization(mesh, workload, { ...context, http: true }, HTTP_ANSWERS, cache),
    tcp: compileAuthorization(mesh, workload, { ...context, http: false }, TCP_ANSWERS, cache),
    gateway: gateway ? compileGatewayChains(mesh, workload) : null,
    waypoint: null,
  };
}

function transportOf(rules: TransportRules, port: number): TransportRule {
  return rules.ports.get(port) ?? rules.workload;
}

/** Sidecars believe the last entry and know no trusted proxies; gateways count those before them, none by default. */
function forwardedForTrust(workload: Workload, meshWide: number): ForwardedForTrust {
  if (workload.role !== "gateway") return { entryFromRight: 0 };
  const proxies = annotatedProxies(workload) ?? meshWide;
  return proxies === 0 ? null : { entryFromRight: proxies - 1 };
}

/** `gatewayTopology.numTrustedProxies` of the pod's own ProxyConfig annotation. */
function annotatedProxies(workload: Workload): number | undefined {
  const text = workload.annotations["proxy.istio.io/config"];
  if (text === undefined) return undefined;
  let config: unknown;
  try {
    config = load(text);
  } catch {
    return undefined;
  }
  const topology = (config as { gatewayTopology?: { numTrustedProxies?: unknown } } | null)?.gatewayTopology;
  const proxies = topology?.numTrustedProxies;
  return typeof proxies === "number" && Number.isInteger(proxies) && proxies >= 0 ? proxies : undefined;
}

/**
 * Which chain takes a connection, before TLS is spoken: from the port, the first bytes, and the ClientHello.
 * Allocates nothing. `first.alpn` is the client's list in its order; `sni` is only looked at by gateways.
 */
export function selectChain(
  policy: InboundPolicy,
  port: number,
  first: FirstBytes,
  sni: string,
): FilterChain {
  if (policy.gateway !== null) return gatewayChain(policy.gateway, port, first, sni);
  if (policy.waypoint !== null) return waypointChain(policy.waypoint, port, first);
  if (port === CAPTURE_PORT) return CAPTURED;
  return sidecarChain(policy.transport(port).mode, policy.ports.get(port) ?? "auto", first);
}

const CAPTURED: FilterChain = Object.freeze({
  tls: "none",
  protocol: "tcp",
  inspectsTls: true,
  refusal: NO_LISTENER,
});

/** Whether the protocol of plaintext on this port is to be detected from its first bytes. */
export function detectsProtocol(policy: InboundPolicy, port: number): boolean {
  return policy.gateway === null && (policy.ports.get(port) ?? "auto") === "auto";
}

/** The chain that takes this connection. Allocates nothing but for the connection's first use. */
export function chainOf(policy: InboundPolicy, connection: Connection): FilterChain {
  return selectChain(policy, connection.destinationPort, connection.firstBytes, connection.sni);
}

/** Transport and, on TCP chains, authorization. On HTTP chains an allowed connection still needs a decision per request. */
export function decideConnection(policy: InboundPolicy, connection: Connection): Verdict {
  if (policy.unprotected) return NO_PROXY;
  const chain = chainOf(policy, connection);
  const refusal = refuseTransport(policy, connection, chain);
  if (refusal !== null) return refusal;
  if (chain.protocol === "http") return PER_REQUEST;
  const judged = asSeenBy(chain, connection);
  return (
    decideCustom(policy.tcp, judged, null, connection.authorizer) ??
    decideAuthorization(policy.tcp, judged, null)
  );
}

/** What a chain knows of a connection: no identity without a handshake of its own, no server name without looking. */
export function asSeenBy(chain: FilterChain, connection: Connection): Connection {
  if (chain.tls !== "pass") return connection;
  return chain.inspectsTls ? connection.anonymous : connection.opaque;
}

/** What a chain has against a connection before any AuthorizationPolicy is asked; null for nothing. */
export function refuseTransport(
  policy: InboundPolicy,
  connection: Connection,
  chain: FilterChain,
): Verdict | null {
  return chain.refusal ?? refuseIdentity(policy, connection, chain);
}

function refuseIdentity(policy: InboundPolicy, connection: Connection, chain: FilterChain): Verdict | null {
  if (chain.tls !== "terminate") return null;
  if (connection.tls === "rogue") return UNTRUSTED_CERTIFICATE;
  if (connection.tls !== "mtls" || connection.principal === null) return NO_CLIENT_CERTIFICATE;
  return isTrusted(policy, connection) ? null : FOREIGN_TRUST_DOMAIN;
}

function isTrusted(policy: InboundPolicy, connection: Connection): boolean {
  // istiod has Envoy look at the names of sidecars' clients alone: at gateways the mesh's roots suffice.
  if (policy.gateway !== null && policy.semantics === "istio") return true;
  // A trust domain alone, with nothing after it, is nobody's identity.
  const { trustDomains, federated } = policy;
  const { trustDomain, hasPath } = connection;
  return hasPath && (trustDomains.includes(trustDomain) || federated.includes(trustDomain));
}

/**
 * Authorization of one request on a connection that decideConnection allowed. Allocates nothing.
 * Where the policy has rules for tokens, or asks an authorizer, and the request does not carry their outcome, it is refused.
 */
export function decideRequest(policy: InboundPolicy, connection: Connection, request: HttpRequest): Verdict {
  if (policy.unprotected) return NO_PROXY;
  if (policy.http.custom !== null || policy.http.broken !== null) {
    const custom = decideCustom(policy.http, connection, request.beforeTokens, request.authorizer);
    if (custom !== null) return custom;
  }
  if (policy.jwt !== null) {
    const { jwt } = request;
    if (jwt === undefined) return JWT_UNVERIFIED;
    if (jwt.refusal !== null) return jwt.refusal;
  }
  return decideAuthorization(policy.http, connection, request);
}

/**
 * The external authorizer that a CUSTOM policy wants asked about this; null for none. Allocates nothing.
 * Ask before tokens are verified; set the answer on the request (or, without one, on the connection), then decide.
 */
export function requiredAuthorizer(
  policy: InboundPolicy,
  connection: Connection,
  request: HttpRequest | undefined,
): AuthorizerDemand | null {
  if (policy.unprotected) return null;
  if (request !== undefined) return demandOf(policy.http, connection, request);
  const chain = chainOf(policy, connection);
  if (chain.protocol === "http" || chain.refusal !== null) return null;
  return demandOf(policy.tcp, asSeenBy(chain, connection), null);
}

/** What AUDIT and dry-run policies say. One shared empty array where there are none, so the usual case costs nothing. */
export function observe(
  policy: InboundPolicy,
  connection: Connection,
  request: HttpRequest | undefined,
): readonly Observation[] {
  if (request !== undefined) return observeAuthorization(policy.http, connection, request);
  return observeAuthorization(policy.tcp, asSeenBy(chainOf(policy, connection), connection), null);
}
