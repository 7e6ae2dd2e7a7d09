import { loadAll } from "js-yaml";
import { byAge, type Resource } from "../resources/resource.ts";
import { KUBERNETES_SCHEMA } from "../resources/yaml-schema.ts";
import { buildServices } from "./build-services.ts";
import { buildWorkloads } from "./build-workloads.ts";
import { isReadByIstiod, undiscoveredNamespaces } from "./discovery.ts";
import { markGateway } from "./gateway-role.ts";
import type { Labels, Mesh, Namespace, Workload } from "./mesh.ts";
import { DEFAULT_MESH_CONFIG, type MeshConfig, parseMeshConfig } from "./mesh-config.ts";

/** Builds the snapshot. Pure: the same resources give an equal mesh; what a resource gets wrong was rejected before. */
export function buildMesh(resources: readonly Resource[]): Mesh {
  const config = meshConfigOf(resources);
  const namespaces = namespacesOf(resources);
  const undiscovered = undiscoveredNamespaces(config.discoverySelectors, namespaces);
  const isHidden = (resource: Resource): boolean =>
    undiscovered.has(resource.namespace) && isReadByIstiod(resource);
  const seen = undiscovered.size === 0 ? resources : resources.filter((resource) => !isHidden(resource));
  const hidden = undiscovered.size === 0 ? [] : resources.filter(isHidden);
  return { ...discoveredMesh(seen, hidden, namespaces, config), undiscovered };
}

function discoveredMesh(
  resources: readonly Resource[],
  hidden: readonly Resource[],
  namespaces: ReadonlyMap<string, Namespace>,
  config: MeshConfig,
): Omit<Mesh, "undiscovered"> {
  const gateways = ofKind<Mesh["gateways"][number]>(resources, "Gateway", "networking.istio.io");
  const workloads = buildWorkloads(resources, namespaces, config).map((workload) =>
    markGateway(workload, gateways),
  );
  const hiddenServices = hidden.filter(({ kind, apiVersion }) => kind === "Service" && apiVersion === "v1");
  return {
    config,
    namespaces,
    workloads,
    services: buildServices(resources, workloads, config),
    undiscoveredServices: buildServices(hiddenServices, workloads, config),
    authorizationPolicies: ofKind(resources, "AuthorizationPolicy", "security.istio.io"),
    peerAuthentications: ofKind(resources, "PeerAuthentication", "security.istio.io"),
    requestAuthentications: ofKind(resources, "RequestAuthentication", "security.istio.io"),
    virtualServices: ofKind(resources, "VirtualService", "networking.istio.io"),
    destinationRules: ofKind(resources, "DestinationRule", "networking.istio.io"),
    serviceEntries: ofKind(resources, "ServiceEntry", "networking.istio.io"),
    sidecars: ofKind(resources, "Sidecar", "networking.istio.io"),
    gateways,
    resources,
  };
}

/** The workload named `namespace/name`. */
export function findWorkload(mesh: Mesh, key: string): Workload | undefined {
  return mesh.workloads.find((workload) => workload.key === key);
}

/** The ConfigMap `istio`; where there are several, that of the usual namespace. */
export function meshConfigOf(resources: readonly Resource[]): MeshConfig {
  const maps = resources.filter(
    (r) => r.apiVersion === "v1" && r.kind === "ConfigMap" && r.name === "istio" && "mesh" in dataOf(r),
  );
  const map = maps.find(({ namespace }) => namespace === DEFAULT_MESH_CONFIG.rootNamespace) ?? maps[0];
  if (map === undefined) return DEFAULT_MESH_CONFIG;
  const text = String(dataOf(map).mesh);
  // Comments alone are no document to the parser.
  const [raw] = loadAll(text, { schema: KUBERNETES_SCHEMA });
  const isMap = typeof raw === "object" && raw !== null && !Array.isArray(raw);
  return parseMeshConfig(isMap ? (inCamelCase(raw) as Readonly<Record<string, unknown>>) : {}, map.namespace);
}

/** Protobuf's JSON takes both spellings of a field; names in capitals are keys of maps. */
function inCamelCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inCamelCase);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [camelCase(key), inCamelCase(entry)]),
  );
}

function camelCase(key: string): string {
  if (!/^[a-z0-9]+(_[a-z0-9]+)+$/.test(key)) return key;
  return key.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function dataOf(resource: Resource): Readonly<Record<string, unknown>> {
  const data = resource.body.data;
  return typeof data === "object" && data !== null ? (data as Record<string, unknown>) : {};
}

/** Namespaces that are declared, and those that are only used. */
export function namespacesOf(resources: readonly Resource[]): Map<string, Namespace> {
  const namespaces = new Map<string, Namespace>();
  for (const { namespace } of resources)
    namespaces.set(namespace, { name: namespace, labels: nameLabel(namespace) });
  for (const { apiVersion, kind, name, labels } of resources) {
    if (apiVersion === "v1" && kind === "Namespace")
      namespaces.set(name, { name, labels: { ...nameLabel(name), ...labels } });
  }
  namespaces.delete("");
  return namespaces;
}

/** Kubernetes itself sets this label on every namespace. */
function nameLabel(name: string): Labels {
  return { "kubernetes.io/metadata.name": name };
}

function ofKind<T extends Resource>(resources: readonly Resource[], kind: string, group: string): T[] {
  return resources.filter((r): r is T => r.kind === kind && r.apiVersion.startsWith(`${group}/`)).sort(byAge);
}
