/**
 * What a client's sidecar, or a gateway, decides to do with a connection or a request.
 * The words (reasons, TLS modes, cluster names) are Envoy's and Istio's; a decision says everything that the data plane
 * needs to carry it out, and who decided it.
 */
import type { Endpoint, Service, ServicePort } from "../../model/mesh.ts";
import type { SecretReference } from "./credential.ts";

/**
 * `istio`: what Envoy, programmed by Istio, does. `strict`: the same, but closed where Istio is known to fail open:
 * a gateway that terminates the mesh's TLS trusts the server name outside only as far as the one inside agrees.
 */
export type Semantics = "istio" | "strict";

/**
 * Where a client connects to. `ip` is the original destination. Where the client names its destination to a proxy
 * (SOCKS5, CONNECT), `host` takes its place: a service's name stands for its virtual address, another for itself.
 */
export interface DialedDestination {
  readonly ip?: string;
  readonly host?: string;
  readonly port: number;
}

export interface OutboundHttpRequest extends DialedDestination {
  /** The Host header or `:authority`, as sent. */
  readonly authority: string;
  readonly method: string;
  /** Path and query, as sent. */
  readonly path: string;
  /** Names in lower case and values, in turn; without pseudo headers and Host. */
  readonly headers: readonly string[];
  /** 0 ≤ roll < 1: decides faults of a partial percentage. Without it only those of 100 % happen. */
  readonly roll?: number;
}

export interface OutboundTlsConnection extends DialedDestination {
  /** Server name of the client's own ClientHello; absent where it sent none. */
  readonly sni?: string;
}

export type ListenerProtocol = "http" | "tcp" | "auto";

/** What one endpoint is spoken to with: SPIFFE mutual TLS, clear text, TLS without, or with, a certificate from files. */
export type UpstreamTls = "mtls" | "plaintext" | "simple" | "mutual";

export interface EndpointPlan {
  readonly endpoint: Endpoint;
  /** IP address or DNS name; absent for replicas of a template, whose addresses only the substrate knows. */
  readonly address?: string;
  /** The port on the endpoint. */
  readonly port: number;
  readonly tls: UpstreamTls;
  /** Relative; 1 for each replica unless the resource says otherwise. */
  readonly weight: number;
}

/** The client's side of a cluster's TLS. */
export interface ClusterTls {
  readonly mode: "mtls" | "simple" | "mutual";
  /** Server name to send. Absent: see `sniFromAuthority`. */
  readonly sni?: string;
  /** The server must show one of these. Absent: none is checked, unless `sansFromAuthority`. */
  readonly sans?: readonly string[];
  /** Without a configured name, HTTP requests send the Host header's (Envoy's auto_sni); TCP sends none. */
  readonly sniFromAuthority: boolean;
  /** The same for the names that the server's certificate must carry (Envoy's auto_san_validation). */
  readonly sansFromAuthority: boolean;
  /** Paths and references as a DestinationRule writes them; for mtls the mesh's own are used. */
  readonly caCertificates?: string;
  readonly clientCertificate?: string;
  readonly privateKey?: string;
  readonly credentialName?: string;
  readonly insecureSkipVerify: boolean;
}

/**
 * How a cluster finds its endpoints. `original-destination`: where the client was going (headless services,
 * ServiceEntries with resolution NONE); `dynamic-dns`: the name in the request, by DNS.
 */
export type ClusterResolution = "static" | "dns" | "dns-round-robin" | "dynamic-dns" | "original-destination";

/** One destination of the mesh as one client sees it; built once and shared by all that see it alike. */
export interface ClusterPlan {
  /** `outbound|<port>|<subset>|<host>` */
  readonly name: string;
  readonly port: number;
  /** Empty for the whole service. */
  readonly subset: string;
  readonly host: string;
  readonly service: Service;
  readonly servicePort: ServicePort;
  readonly resolution: ClusterResolution;
  /** For `original-destination` a hint only: those known. Empty for `dynamic-dns`. */
  readonly endpoints: readonly EndpointPlan[];
  /** For `original-destination`: dial this port instead of the one that was dialled. */
  readonly dialPort?: number;
  /** `mixed`: some endpoints mtls, others clear; see each. */
  readonly tls: UpstreamTls | "mixed";
  /** Absent when every endpoint is spoken to in clear. */
  readonly tlsSettings?: ClusterTls;
  readonly upstreamProtocol: "tcp" | "http1" | "http2";
  /** Whether HTTP is sent on in the client's own version instead. */
  readonly followsClientProtocol: boolean;
  /** The DestinationRules that shaped it, oldest first: `DestinationRule ns/name`. */
  readonly destinationRules: readonly string[];
}

/** One choice of a route. */
export interface OutboundTarget {
  /** The cluster's name, also where there is no such cluster. */
  readonly name: string;
  /** Absent where the route names a cluster that this proxy does not have: such requests fail with 503. */
  readonly cluster?: ClusterPlan;
  /** Relative to the sum over the decision's targets; 0 is never chosen. */
  readonly weight: number;
  /** What the proxy's own TLS sends and demands for this very request (automatic names filled in). */
  readonly sni?: string;
  readonly sans?: readonly string[];
  /** The Host header to send by this choice, where the decision itself has none. */
  readonly authority?: string;
  readonly requestHeaders: HeaderOps;
  readonly responseHeaders: HeaderOps;
}

/**
 * Applied in the order remove, set, add. Names in lower case. Where a target and its route both have operations, the
 * target's are applied first (Envoy goes from the most specific to the least).
 */
export interface HeaderOps {
  readonly remove: readonly string[];
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly add: readonly (readonly [name: string, value: string])[];
}

export interface RetryPlan {
  /** Set where neither the route nor the mesh says anything: what proxies do of themselves. */
  readonly isDefault?: true;
  /** Beyond the first try; 0 = never. */
  readonly attempts: number;
  readonly perTryTimeoutMs?: number;
  /** Envoy's comma-separated conditions. */
  readonly retryOn: string;
}

export interface MirrorPlan {
  readonly name: string;
  readonly cluster?: ClusterPlan;
  /** 0–100. */
  readonly percent: number;
}

export interface CorsPlan {
  readonly allowsOrigin: (origin: string) => boolean;
  readonly allowMethods: string;
  readonly allowHeaders: string;
  readonly exposeHeaders: string;
  /** Seconds, as text; empty = not sent. */
  readonly maxAge: string;
  readonly allowCredentials?: boolean;
  readonly forwardNotMatchingPreflights: boolean;
}

/** A fault of a partial percentage, for who has no `roll`. */
export interface FaultPlan {
  readonly delayMs: number;
  readonly delayPercent: number;
  /** 0 = no abort. */
  readonly abortStatus: number;
  readonly abortGrpcStatus?: number;
  readonly abortPercent: number;
}

/** Who decided: a route of a VirtualService, or the mesh's own default route for a service. */
export interface RouteRef {
  /** `VirtualService ns/name`; null for a service's default route and for the outbound traffic policy. */
  readonly resource: string | null;
  readonly section: "http" | "tls" | "tcp" | "default";
  /** Index in the section; null where there is none. */
  readonly route: number | null;
  readonly routeName?: string;
  /** Set when a delegate VirtualService holds the route that `route` counts in. */
  readonly delegatedBy?: string;
}

/** What a route does besides forwarding; prebuilt, shared by all requests that it takes. */
export interface HttpRoutePlan {
  readonly requestHeaders: HeaderOps;
  readonly responseHeaders: HeaderOps;
  /** Absent = none. */
  readonly timeoutMs?: number;
  /** Answered where the chosen target has no cluster; absent = 503. */
  readonly noClusterCode?: 500;
  readonly retries: RetryPlan;
  readonly mirrors: readonly MirrorPlan[];
  readonly cors?: CorsPlan;
  readonly fault?: FaultPlan;
}

export type OutboundReason =
  | "ok"
  | "passthrough"
  | "blackhole"
  | "no-route"
  | "no-cluster"
  | "no-healthy-upstream"
  | "redirect"
  | "direct-response"
  | "fault"
  | "unknown";

interface DecisionBase {
  readonly by: RouteRef;
  /** Names the listener and virtual host for a person (`0.0.0.0_9080 reviews.foo.svc.cluster.local:9080`). */
  readonly listener: string;
}

/** Send it on. */
export interface ForwardDecision extends DecisionBase {
  readonly kind: "forward";
  readonly allowed: true;
  /** 200 for HTTP, 0 otherwise. */
  readonly code: 0 | 200;
  readonly reason: "ok" | "passthrough";
  /** At least one has a cluster with endpoints. Empty for `passthrough`: dial the original destination, in clear. */
  readonly targets: readonly OutboundTarget[];
  /** Whether there are several targets. */
  readonly weighted: boolean;
  /** HTTP only: the path and query to send, where they differ from those sent (normalized or rewritten). */
  readonly path?: string;
  /** HTTP only: the Host header to send, where it differs from the one sent. */
  readonly authority?: string;
  /** HTTP only: headers that Envoy adds to tell the original path and host of a rewritten request. */
  readonly originalPath?: string;
  readonly originalAuthority?: string;
  /** For `dynamic-dns` clusters: the name to resolve, which the request or connection gave. */
  readonly dynamicHost?: string;
  /** HTTP only: wait this long first (an injected fault). */
  readonly delayMs?: number;
  /** HTTP routed as HTTP only; absent where an HTTP request goes through a TCP listener. */
  readonly http?: HttpRoutePlan;
  /** For `passthrough`, and for clusters of original destinations: the mesh's service that the dialled name or address is. */
  readonly dialled?: Service;
}

/**
 * Why a gateway refused a connection: no server takes its name (or port); no VirtualService is bound to the server; the
 * name outside, or the one inside, is not among those that the server and the VirtualService are for; there is TLS inside
 * without a name, or none where the destination is to be found by it.
 */
export type GatewayRefusal =
  | "no-server"
  | "no-virtual-service"
  | "outer-name-not-allowed"
  | "inner-name-not-allowed"
  | "inner-name-missing";

/** Refuse it. */
export interface RefuseDecision extends DecisionBase {
  readonly kind: "refuse";
  readonly allowed: false;
  /** HTTP status; 0 = close the connection. 400: the path cannot be normalized. */
  readonly code: 0 | 400 | 404 | 500 | 502 | 503;
  /** `unknown`: where Istio would send it is not decided; a proxy refuses it. */
  readonly reason: "blackhole" | "no-route" | "no-cluster" | "no-healthy-upstream" | "unknown";
  /** Finer than `reason`. */
  readonly cause?: GatewayRefusal | "host-lookup-unknown";
  /** The cluster that the route wanted; `BlackHoleCluster` where the outbound traffic policy refuses. */
  readonly cluster?: string;
  readonly targets?: readonly OutboundTarget[];
}

/** Answer it here. */
export interface RespondDecision extends DecisionBase {
  readonly kind: "respond";
  readonly allowed: false;
  readonly code: number;
  readonly reason: "redirect" | "direct-response" | "fault";
  readonly location?: string;
  readonly body?: string;
  /** grpc-status of an injected fault (HTTP status 200 then). */
  readonly grpcStatus?: number;
  readonly delayMs?: number;
  /** For a fault: where it would have gone. */
  readonly cluster?: string;
  readonly targets?: readonly OutboundTarget[];
  readonly http?: HttpRoutePlan;
  readonly responseHeaders: HeaderOps;
}

export type OutboundDecision = ForwardDecision | RefuseDecision | RespondDecision;

/** The compiled client's side of one workload. Immutable; equal workloads of a mesh share it. */
export interface OutboundPolicy {
  /** What the sidecar takes a connection for: `auto` = by its first bytes (HTTP, TLS by SNI, else TCP). */
  listenerProtocol(destination: DialedDestination): ListenerProtocol;
  /** Whether the server name of a ClientHello decides there; undefined where nothing is declared. Else nobody need wait for one. */
  readsServerName(destination: DialedDestination): boolean | undefined;
  /** A request in clear HTTP, on whichever port: falls to TCP routing where the listener is TCP. */
  routeHttp(request: OutboundHttpRequest): OutboundDecision;
  /** A connection whose first bytes are a ClientHello. */
  routeTls(connection: OutboundTlsConnection): OutboundDecision;
  /** A connection of anything else. */
  routeTcp(destination: DialedDestination): OutboundDecision;
  /** Every cluster that this workload's proxy has, by name. */
  clusters(): ReadonlyMap<string, ClusterPlan>;
}

export type GatewayTlsMode =
  | "PASSTHROUGH"
  | "SIMPLE"
  | "MUTUAL"
  | "OPTIONAL_MUTUAL"
  | "AUTO_PASSTHROUGH"
  | "ISTIO_MUTUAL";

/** TLS of a Gateway's server, as its resource writes it. */
export interface GatewayTls {
  readonly mode: GatewayTlsMode;
  readonly httpsRedirect: boolean;
  /** Secrets with certificates and keys, for clients of different algorithms. */
  readonly credentials: readonly SecretReference[];
  /** Secret or ConfigMap of roots for clients' certificates, where it is not beside the first credential. */
  readonly clientRoots?: SecretReference;
  readonly serverCertificate?: string;
  readonly privateKey?: string;
  readonly caCertificates?: string;
  readonly caCrl?: string;
  readonly subjectAltNames: readonly string[];
  readonly verifyCertificateSpki: readonly string[];
  readonly verifyCertificateHash: readonly string[];
  readonly minProtocolVersion?: string;
  readonly maxProtocolVersion?: string;
  readonly cipherSuites: readonly string[];
}

/** One server of one Gateway resource. */
export interface GatewayServer {
  /** `Gateway ns/name` */
  readonly gateway: string;
  readonly index: number;
  readonly name?: string;
  /** The port in the resource. */
  readonly port: number;
  readonly protocol: "http" | "https" | "tls" | "tcp";
  /** Without their `namespace/` part. */
  readonly hosts: readonly string[];
  readonly tls?: GatewayTls;
}

export interface GatewayListener {
  /** The port that the gateway's pod listens on. */
  readonly port: number;
  /** `http`: clear HTTP. `tls`: choose the server by SNI first. `tcp`: opaque. */
  readonly protocol: "http" | "tls" | "tcp";
  readonly servers: readonly GatewayServer[];
}

/** Names seen at a gateway that terminates the mesh's TLS (or none). */
export interface GatewayConnection {
  /** The pod's port. */
  readonly port: number;
  /** SNI of the TLS that reaches the gateway. */
  readonly sni?: string;
  /** SNI of the application's own TLS inside it, once that is terminated. Null: TLS without a name. Absent: no TLS inside. */
  readonly innerSni?: string | null;
}

export interface GatewayHttpRequest extends GatewayConnection {
  readonly authority: string;
  readonly method: string;
  /** As it was judged: normal already. */
  readonly path: string;
  readonly headers: readonly string[];
  readonly roll?: number;
  /** Claims of a verified token, for routes on `@request.auth.claims`. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** The compiled routing of one gateway. Immutable. */
export interface GatewayPolicy {
  readonly listeners: readonly GatewayListener[];
  /** The server that takes a connection with this SNI; undefined: refuse the handshake (or the connection). */
  selectServer(port: number, sni: string | undefined): GatewayServer | undefined;
  /** A request on a server of protocol http or https (terminated). */
  routeHttp(request: GatewayHttpRequest): OutboundDecision;
  /** A PASSTHROUGH connection, by its SNI. */
  routeTls(connection: GatewayConnection): OutboundDecision;
  /**
   * A TCP or terminated TLS connection. In `strict` semantics the VirtualService is the first that both names are within;
   * `istio` takes the first that is bound to the server at all, whatever the names.
   */
  routeTcp(connection: GatewayConnection): OutboundDecision;
  clusters(): ReadonlyMap<string, ClusterPlan>;
}
