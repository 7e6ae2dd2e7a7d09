/** One destination as one kind of client sees it: endpoints, and the TLS to each. */
import type { AppProtocol, ServicePort } from "../../model/mesh.ts";
import { parseIpAddress } from "../ip-address.ts";
import { chooseTls, type TlsChoice } from "./cluster-tls.ts";
import type { MergedRule } from "./destination-rules.ts";
import type { PlacedEndpoint } from "./endpoint-group.ts";
import { clusterName, clusterSni, isWildcard } from "./host-name.ts";
import type { MeshIndex } from "./mesh-index.ts";
import type { RegistryService } from "./registry.ts";
import type { Subset, TrafficPolicy } from "./resource-shapes.ts";
import { endpointTlsMode, isPassthrough, policyForPort } from "./traffic-policy.ts";
import type { ClusterPlan, ClusterResolution, EndpointPlan, UpstreamTls } from "./types.ts";

export interface ClusterRequest {
  readonly service: RegistryService;
  readonly port: ServicePort;
  /** Empty for the whole service. */
  readonly subset: string;
  readonly rule: MergedRule | undefined;
  /** Gateways have no original destinations: their clusters are of endpoints. */
  readonly forGateway: boolean;
}

/** The cluster, or undefined where Istio makes none. */
export function buildClusterPlan(index: MeshIndex, request: ClusterRequest): ClusterPlan | undefined {
  const { service, port, rule } = request;
  if (service.resolution === "alias" || port.protocol === "udp") return undefined;
  const subset = findSubset(request);
  if (subset === null) return undefined;
  const policy = policyForPort(rule, subset, port.port);
  const resolution = resolutionOf(request, subset);
  const resolvesNames = resolution === "dynamic-dns";
  if (resolvesNames && (subset !== undefined || !FORWARDABLE.has(port.protocol))) return undefined;
  const placed = placedEndpoints(service, port, resolution, subset);
  if (isByDns(resolution) && placed.length === 0) return undefined;
  const tls = tlsOf(index, request, subset, policy, resolvesNames);
  const endpoints = placed.map((endpoint) => planEndpoint(index, request, subset, resolution, tls, endpoint));
  return assemble(request, resolution, policy, endpoints, tls, index);
}

/** What a proxy that resolves the name of each request can carry. */
const FORWARDABLE: ReadonlySet<AppProtocol> = new Set(["http", "tls", "grpc", "http2"]);

function findSubset({ subset, rule }: ClusterRequest): Subset | undefined | null {
  if (subset === "") return undefined;
  return rule?.subsets.find((candidate) => candidate.name === subset) ?? null;
}

function resolutionOf(
  { service, port, rule, forGateway }: ClusterRequest,
  subset: Subset | undefined,
): ClusterResolution {
  const general = policyForPort(rule, undefined, port.port);
  if (isPassthrough(general) || isPassthrough(subset?.trafficPolicy)) return "original-destination";
  switch (service.resolution) {
    case "dns":
    case "dns-round-robin":
      return service.resolution;
    case "dynamic-dns":
      return isWildcard(service.hostname) ? "dynamic-dns" : "static";
    case "none":
    case "passthrough":
      return forGateway ? "static" : "original-destination";
    default:
      return "static";
  }
}

function isByDns(resolution: ClusterResolution): boolean {
  return resolution === "dns" || resolution === "dns-round-robin";
}

function placedEndpoints(
  service: RegistryService,
  port: ServicePort,
  resolution: ClusterResolution,
  subset: Subset | undefined,
): readonly PlacedEndpoint[] {
  if (resolution === "dynamic-dns") return [];
  return service.group.onPort(port.port).filter(({ endpoint, address }) => {
    for (const [key, value] of Object.entries(subset?.labels ?? {}))
      if (endpoint.labels[key] !== value) return false;
    return isByDns(resolution) || address === undefined || parseIpAddress(address) !== undefined;
  });
}

function tlsOf(
  index: MeshIndex,
  { service, port, subset: name, rule, forGateway }: ClusterRequest,
  subset: Subset | undefined,
  policy: TrafficPolicy | undefined,
  resolvesNames: boolean,
): TlsChoice {
  const followsClient = isPassthrough(subset === undefined ? rule?.trafficPolicy : subset.trafficPolicy);
  return chooseTls(policy?.tls, {
    identities: resolvesNames ? [] : service.group.identities,
    ...(resolvesNames ? {} : { defaultSni: clusterSni(port.port, name, service.hostname) }),
    fromServiceEntry: !service.kubernetes,
    autoMutual:
      index.mesh.config.enableAutoMtls && serversTakeMutual(index, service, port.port, followsClient),
    mayUseCredentials: forGateway || rule?.selector !== undefined,
  });
}

/**
 * Whether the servers are believed to take mutual TLS, by mesh and namespace policies. Where the client picks the endpoint
 * itself the proxy cannot tell one from another, so a single one without a proxy turns it off for all.
 */
function serversTakeMutual(
  index: MeshIndex,
  service: RegistryService,
  port: number,
  followsClient: boolean,
): boolean {
  if (service.external) return false;
  if (service.resolution === "passthrough" || service.resolution === "none" || followsClient) {
    const placed = service.group.onPort(port);
    if (placed.length === 0 || placed.some(({ endpoint }) => endpoint.tlsMode === "disabled")) return false;
  }
  return index.peerMtls.namespaceMode(service.namespace) !== "DISABLE";
}

function planEndpoint(
  index: MeshIndex,
  { port, rule }: ClusterRequest,
  subset: Subset | undefined,
  resolution: ClusterResolution,
  tls: TlsChoice,
  placed: PlacedEndpoint,
): EndpointPlan {
  const { endpoint, address } = placed;
  const perEndpoint = tls.automatic && resolution !== "original-destination";
  const clear = perEndpoint && !takesMutual(index, endpointTlsMode(rule, subset, port.port), placed);
  return {
    endpoint,
    ...(address === undefined ? {} : { address }),
    port: placed.port,
    tls: clear ? "plaintext" : (tls.settings?.mode ?? "plaintext"),
    weight: endpoint.weight ?? (address === undefined ? (endpoint.workload?.replicas ?? 1) : 1),
  };
}

function takesMutual(
  index: MeshIndex,
  asked: string | undefined,
  { endpoint, namespace, port }: PlacedEndpoint,
): boolean {
  if (asked !== undefined) return asked === "ISTIO_MUTUAL";
  return (
    endpoint.tlsMode === "istio" &&
    index.peerMtls.endpointMode(namespace, endpoint.labels, port) !== "DISABLE"
  );
}

function assemble(
  { service, port, subset, rule, forGateway }: ClusterRequest,
  resolution: ClusterResolution,
  policy: TrafficPolicy | undefined,
  endpoints: readonly EndpointPlan[],
  tls: TlsChoice,
  index: MeshIndex,
): ClusterPlan {
  const overall = overallTls(endpoints, tls.settings?.mode ?? "plaintext");
  const moved = resolution === "original-destination" && service.resolution === "none";
  return {
    name: clusterName(port.port, subset, service.hostname),
    port: port.port,
    subset,
    host: service.hostname,
    service: service.model,
    servicePort: port,
    resolution,
    endpoints,
    ...(moved && typeof port.targetPort === "number" && port.targetPort !== port.port
      ? { dialPort: port.targetPort }
      : {}),
    tls: overall,
    ...(tls.settings === undefined || overall === "plaintext" ? {} : { tlsSettings: tls.settings }),
    upstreamProtocol: upstreamProtocol(port.protocol, policy, index),
    followsClientProtocol:
      policy?.connectionPool?.http?.useClientProtocol === true || (port.protocol === "auto" && !forGateway),
    destinationRules: rule?.from ?? [],
  };
}

function overallTls(endpoints: readonly EndpointPlan[], asked: UpstreamTls): UpstreamTls | "mixed" {
  const first = endpoints[0]?.tls ?? asked;
  return endpoints.every((endpoint) => endpoint.tls === first) ? first : "mixed";
}

function upstreamProtocol(
  protocol: AppProtocol,
  policy: TrafficPolicy | undefined,
  index: MeshIndex,
): ClusterPlan["upstreamProtocol"] {
  if (protocol === "http2" || protocol === "grpc") return "http2";
  const http = policy?.connectionPool?.http;
  if (http?.useClientProtocol !== true) {
    if (http?.h2UpgradePolicy === "UPGRADE") return "http2";
    const byMesh =
      index.mesh.config.raw.h2UpgradePolicy === "UPGRADE" && http?.h2UpgradePolicy !== "DO_NOT_UPGRADE";
    if (protocol === "http" && byMesh) return "http2";
  }
  return protocol === "http" || protocol === "auto" ? "http1" : "tcp";
}
