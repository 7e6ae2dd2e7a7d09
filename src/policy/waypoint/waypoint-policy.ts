/** A waypoint, compiled: for each service that it stands before, and for workloads' own addresses, who may pass and where it goes. */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import { compileAttached } from "../authorization.ts";
import type { AuthorizationCache } from "../authorization-cache.ts";
import type { InboundPolicy, Semantics } from "../inbound.ts";
import { compileJwtRules } from "../jwt/compile-jwt.ts";
import { waypointPolicies } from "../policy-attachment.ts";
import { type ChainProtocol, chainProtocol } from "../port-protocol.ts";
import type { HttpHop } from "../proxy-headers.ts";
import { HTTP_ANSWERS, TCP_ANSWERS } from "../verdict-catalogue.ts";
import type { WaypointChains } from "./waypoint-chain.ts";
import { compileWaypointRoutes, type WaypointRoutes } from "./waypoint-routes.ts";
import { servicesOfWaypoint } from "./waypoints.ts";

/** What a waypoint does for one service. */
export interface WaypointService {
  /**
   * Decides as every other inbound policy does. Of its connections `destinationPort` is the service's port and `destinationIp` its virtual
   * address; principal and `sourceIp` are those of the tunnel's client.
   */
  readonly inbound: InboundPolicy;
  readonly routes: WaypointRoutes;
}

/** Immutable. The data plane and `can` decide by the same. */
export interface WaypointPolicy {
  readonly workload: Workload;
  readonly semantics: Semantics;
  service(service: Service): WaypointService;
  /** For what is addressed to a workload itself: any port, nothing to route. */
  readonly direct: InboundPolicy;
  /** Whether the server name of TLS inside the tunnel is looked for: only on ports that a service declares as TLS. */
  readsServerName(port: number): boolean;
}

export interface WaypointOptions {
  readonly semantics: Semantics;
  readonly cache?: AuthorizationCache;
}

/** Compiles a waypoint; what is for one service when it is first asked about. Pure. */
export function compileWaypoint(mesh: Mesh, workload: Workload, options: WaypointOptions): WaypointPolicy {
  const services = new Map<Service, WaypointService>();
  let tlsPorts: ReadonlySet<number> | undefined;
  let direct: InboundPolicy | undefined;
  return {
    workload,
    semantics: options.semantics,
    service(service) {
      let compiled = services.get(service);
      if (compiled === undefined) {
        compiled = compileService(mesh, workload, service, options);
        services.set(service, compiled);
      }
      return compiled;
    },
    get direct() {
      direct ??= compileFor(mesh, workload, null, { ports: new Map(), otherPorts: "auto" }, options);
      return direct;
    },
    readsServerName(port) {
      tlsPorts ??= tlsPortsOf(servicesOfWaypoint(mesh, workload));
      return tlsPorts.has(port);
    },
  };
}

function tlsPortsOf(services: readonly Service[]): ReadonlySet<number> {
  const ports = services.flatMap((service) => service.ports);
  return new Set(
    ports.filter(({ protocol }) => protocol === "tls" || protocol === "https").map(({ port }) => port),
  );
}

function compileService(
  mesh: Mesh,
  workload: Workload,
  service: Service,
  options: WaypointOptions,
): WaypointService {
  const ports = new Map<number, ChainProtocol>();
  for (const { port, protocol } of service.ports)
    if (protocol !== "udp") ports.set(port, chainProtocol(protocol));
  return {
    inbound: compileFor(mesh, workload, service, { ports, otherPorts: null }, options),
    routes: compileWaypointRoutes(mesh, workload, service),
  };
}

function compileFor(
  mesh: Mesh,
  workload: Workload,
  service: Service | null,
  waypoint: WaypointChains,
  { semantics, cache }: WaypointOptions,
): InboundPolicy {
  const { config } = mesh;
  const trustDomains = [...new Set([config.trustDomain, ...config.trustDomainAliases])];
  const federated = semantics === "strict" ? config.federatedTrustDomains : [];
  const context = { semantics, trustDomains, federated, forwardedFor: { entryFromRight: 0 } };
  const root = config.rootNamespace;
  const policies = waypointPolicies(mesh.authorizationPolicies, workload, service, root);
  return {
    workload,
    semantics,
    pathNormalization: config.pathNormalization,
    transport: () => HBONE,
    jwt: compileJwtRules(waypointPolicies(mesh.requestAuthentications, workload, service, root)),
    trustDomains,
    federated,
    forwardedFor: context.forwardedFor,
    unprotected: false,
    ports: waypoint.ports,
    http: compileAttached(mesh, policies, { ...context, http: true }, HTTP_ANSWERS, cache),
    tcp: compileAttached(mesh, policies, { ...context, http: false }, TCP_ANSWERS, cache),
    gateway: null,
    waypoint,
  };
}

/** Whatever PeerAuthentication says: a waypoint is spoken to through HBONE alone. */
const HBONE = Object.freeze({ mode: "STRICT", policy: null } as const);

const TELLS_CLIENT = "ambient.istio.io/xfcc-include-client-identity";

/** What a waypoint tells of the client in X-Forwarded-Client-Cert: nothing, unless its pods are annotated so. */
export function waypointHop({ annotations, spiffeId }: Workload, principal: string | null): HttpHop {
  const tells = (annotations[TELLS_CLIENT] ?? "").toLowerCase() === "true" && principal !== null;
  return tells
    ? { position: "waypoint", clientCert: `By=${spiffeId};URI=spiffe://${principal}` }
    : { position: "waypoint" };
}
