/** What the ports of a workload speak, as the Services and the Sidecar that name them say. */
import { resolveTargetPort } from "../model/build-services.ts";
import type { AppProtocol, Endpoint, Mesh, Service, ServicePort, Workload } from "../model/mesh.ts";
import { matchesLabels } from "../model/selector.ts";
import { byAge } from "../resources/resource.ts";

/** `auto`: detected per connection. */
export type ChainProtocol = "http" | "tcp" | "auto";

/** Ports that are declared; every other port is `auto`. */
export type PortProtocols = ReadonlyMap<number, ChainProtocol>;

const HTTP: ReadonlySet<AppProtocol> = new Set(["http", "http2", "grpc"]);

/**
 * Declared ports by container port. The listeners of a Sidecar take the place of all Services; of several Services that name one
 * port, the oldest says what it speaks.
 * @see https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/
 */
export function compilePortProtocols(mesh: Mesh, workload: Workload): PortProtocols {
  const ingress = sidecarIngress(mesh, workload);
  const protocols = new Map<number, ChainProtocol>();
  if (ingress.length > 0) {
    for (const { port } of ingress) {
      if (port?.number !== undefined && !protocols.has(port.number))
        protocols.set(port.number, sidecarProtocol(port.protocol ?? ""));
    }
    return protocols;
  }
  for (const { port, target } of serviceTargets(mesh, workload)) {
    if (!protocols.has(target)) protocols.set(target, chainProtocol(port.protocol));
  }
  return protocols;
}

/** A port of a Service, and the port of the workload behind it. */
export interface ServiceTarget {
  readonly service: Service;
  readonly port: ServicePort;
  readonly target: number;
}

/** The Service ports that lead to the workload, those of the oldest Service first. */
export function serviceTargets(mesh: Mesh, workload: Workload): readonly ServiceTarget[] {
  const memberships = endpointIndex(mesh);
  const keys = [workloadKey(workload), ...workload.addresses.map(addressKey)];
  const found = keys.flatMap((key) => memberships.get(key) ?? []);
  return found
    .toSorted((a, b) => a.age - b.age)
    .flatMap(({ service, endpoint }) =>
      service.ports.flatMap((port) => {
        const target = targetOf(port, endpoint, workload);
        return target === undefined ? [] : [{ service, port, target }];
      }),
    );
}

interface Membership {
  readonly service: Service;
  readonly endpoint: Endpoint;
  /** Rank of the Service by age. */
  readonly age: number;
}

type EndpointIndex = ReadonlyMap<string, readonly Membership[]>;

/** Meshes have as many endpoints as workloads, and every workload asks: the index is made once for each mesh. */
const indexes = new WeakMap<Mesh, EndpointIndex>();

function endpointIndex(mesh: Mesh): EndpointIndex {
  const known = indexes.get(mesh);
  if (known !== undefined) return known;
  const index = new Map<string, Membership[]>();
  const services = mesh.services.toSorted((a, b) => byAge(a.resource, b.resource));
  for (const [age, service] of services.entries()) {
    for (const endpoint of service.endpoints) {
      const key = endpointKey(endpoint);
      const members = index.get(key) ?? [];
      members.push({ service, endpoint, age });
      index.set(key, members);
    }
  }
  indexes.set(mesh, index);
  return index;
}

function endpointKey(endpoint: Endpoint): string {
  return endpoint.workload === undefined
    ? addressKey(endpoint.address ?? "")
    : workloadKey(endpoint.workload);
}

function workloadKey(workload: Workload): string {
  return `${workload.kind} ${workload.key}`;
}

function addressKey(address: string): string {
  return `address ${address}`;
}

function targetOf(port: ServicePort, endpoint: Endpoint, workload: Workload): number | undefined {
  const override = port.name === undefined ? undefined : endpoint.portOverrides[port.name];
  return override ?? resolveTargetPort(port, workload);
}

/** How a proxy takes a port that speaks this. */
export function chainProtocol(protocol: AppProtocol): ChainProtocol {
  if (protocol === "auto") return "auto";
  return HTTP.has(protocol) ? "http" : "tcp";
}

interface IngressListener {
  readonly port?: { readonly number?: number; readonly protocol?: string };
}

interface SidecarFields {
  readonly workloadSelector?: { readonly labels?: Readonly<Record<string, string>> };
  readonly ingress?: readonly IngressListener[];
}

/** The inbound listeners of the Sidecar that holds for the workload: one that selects it, else its namespace's, else the mesh's. */
function sidecarIngress(mesh: Mesh, workload: Workload): readonly IngressListener[] {
  const fields = (sidecar: { readonly spec: unknown }) => (sidecar.spec ?? {}) as SidecarFields;
  const inNamespace = (namespace: string) =>
    mesh.sidecars.filter((sidecar) => sidecar.namespace === namespace);
  const selector = (sidecar: { readonly spec: unknown }) => fields(sidecar).workloadSelector?.labels ?? {};
  const isDefault = (sidecar: { readonly spec: unknown }) => Object.keys(selector(sidecar)).length === 0;
  const own = inNamespace(workload.namespace);
  const chosen =
    own.find((sidecar) => !isDefault(sidecar) && matchesLabels(selector(sidecar), workload.labels)) ??
    own.find(isDefault) ??
    inNamespace(mesh.config.rootNamespace).find(isDefault);
  return chosen === undefined ? [] : (fields(chosen).ingress ?? []);
}

const SIDECAR_HTTP: ReadonlySet<string> = new Set(["http", "http2", "grpc", "grpc-web", "http_proxy"]);
const SIDECAR_TCP: ReadonlySet<string> = new Set(["tcp", "https", "tls", "mongo", "redis", "mysql", "udp"]);

function sidecarProtocol(protocol: string): ChainProtocol {
  const name = protocol.toLowerCase();
  if (SIDECAR_HTTP.has(name)) return "http";
  return SIDECAR_TCP.has(name) ? "tcp" : "auto";
}
