import type { Resource } from "../resources/resource.ts";
import { parsePortProtocol, selectProtocol } from "./app-protocol.ts";
import type { Endpoint, Labels, Service, ServiceEntrySpec, ServicePort, Workload } from "./mesh.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { matchesLabels } from "./selector.ts";

type Json = Readonly<Record<string, unknown>>;

/** Every host that clients can name: Kubernetes Services, and one entry for each host of each ServiceEntry. */
export function buildServices(
  resources: readonly Resource[],
  workloads: readonly Workload[],
  config: MeshConfig,
): Service[] {
  const byNamespace = Map.groupBy(workloads, (workload) => workload.namespace);
  return resources.flatMap((resource) => {
    const local = byNamespace.get(resource.namespace) ?? [];
    if (resource.kind === "Service" && resource.apiVersion === "v1") return [fromKubernetes(resource, local)];
    if (resource.kind === "ServiceEntry" && resource.apiVersion.startsWith("networking.istio.io/"))
      return fromServiceEntry(resource as Resource<ServiceEntrySpec>, local, config);
    return [];
  });
}

function fromKubernetes(resource: Resource, workloads: readonly Workload[]): Service {
  const spec = record(resource.spec);
  const clusterIps = [spec.clusterIP, ...list(spec.clusterIPs)].filter(
    (ip) => typeof ip === "string" && ip !== "",
  );
  const headless = clusterIps.includes("None");
  const selector = spec.selector === undefined ? undefined : (record(spec.selector) as Labels);
  const externalName = spec.type === "ExternalName" ? String(spec.externalName) : undefined;
  const selected =
    selector === undefined || Object.keys(selector).length === 0
      ? []
      : workloads.filter((w) => matchesLabels(selector, w.labels));
  return {
    hostname: `${resource.name}.${resource.namespace}.svc.cluster.local`,
    namespace: resource.namespace,
    name: resource.name,
    origin: "kubernetes",
    ports: list(spec.ports).map(record).map(kubernetesPort),
    addresses: headless ? [] : [...new Set(clusterIps as string[])],
    headless,
    ...(externalName === undefined ? {} : { externalName }),
    resolution: externalName !== undefined ? "dns" : headless ? "passthrough" : "static",
    external: externalName !== undefined,
    exportTo: (resource.annotations["networking.istio.io/exportTo"] ?? "")
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== ""),
    subjectAltNames: [],
    endpoints: selected.map(workloadEndpoint),
    resource,
  };
}

function kubernetesPort(port: Json): ServicePort {
  const number = Number(port.port);
  const target = port.targetPort;
  const name = text(port.name);
  const appProtocol = text(port.appProtocol);
  const transport = text(port.protocol);
  return {
    ...(name === undefined ? {} : { name }),
    port: number,
    targetPort: typeof target === "number" || typeof target === "string" ? target : number,
    protocol: selectProtocol({
      number,
      ...(name === undefined ? {} : { name }),
      ...(appProtocol === undefined ? {} : { appProtocol }),
      ...(transport === undefined ? {} : { protocol: transport }),
    }),
  };
}

const RESOLUTIONS: Readonly<Record<string, Service["resolution"]>> = {
  NONE: "none",
  STATIC: "static",
  DNS: "dns",
  DNS_ROUND_ROBIN: "dns-round-robin",
  DYNAMIC_DNS: "dynamic-dns",
};

function fromServiceEntry(
  resource: Resource<ServiceEntrySpec>,
  workloads: readonly Workload[],
  config: MeshConfig,
): Service[] {
  const spec = resource.spec;
  const selector = spec.workloadSelector?.labels;
  const endpoints =
    selector === undefined
      ? (spec.endpoints ?? []).map((endpoint) => writtenEndpoint(endpoint, resource.namespace, config))
      : workloads.filter((w) => matchesLabels(selector, w.labels)).map(workloadEndpoint);
  const ports = (spec.ports ?? []).map(
    (port): ServicePort => ({
      name: port.name,
      port: port.number,
      targetPort: port.targetPort ?? port.number,
      protocol: parsePortProtocol(port.protocol),
    }),
  );
  return (spec.hosts ?? []).map((hostname) => ({
    hostname,
    namespace: resource.namespace,
    name: resource.name,
    origin: "service-entry",
    ports,
    addresses: spec.addresses ?? [],
    headless: false,
    resolution: RESOLUTIONS[(spec.resolution as string | undefined) ?? "NONE"] ?? "none",
    external: spec.location !== "MESH_INTERNAL",
    exportTo: spec.exportTo ?? [],
    subjectAltNames: spec.subjectAltNames ?? [],
    endpoints,
    resource,
  }));
}

type WrittenEndpoint = NonNullable<ServiceEntrySpec["endpoints"]>[number];

function writtenEndpoint(endpoint: WrittenEndpoint, namespace: string, config: MeshConfig): Endpoint {
  const labels = endpoint.labels ?? {};
  const account = endpoint.serviceAccount;
  return {
    ...(endpoint.address === undefined ? {} : { address: endpoint.address }),
    labels,
    portOverrides: endpoint.ports ?? {},
    ...(account === undefined
      ? {}
      : {
          serviceAccount: account,
          spiffeId: `spiffe://${config.trustDomain}/ns/${namespace}/sa/${account}`,
        }),
    tlsMode: labels["security.istio.io/tlsMode"] === "istio" ? "istio" : "disabled",
    ...(endpoint.weight === undefined ? {} : { weight: endpoint.weight }),
  };
}

function workloadEndpoint(workload: Workload): Endpoint {
  return {
    workload,
    labels: workload.labels,
    portOverrides: Object.fromEntries(
      workload.kind === "WorkloadEntry" ? workload.ports.map((port) => [port.name ?? "", port.port]) : [],
    ),
    ...(hasIdentity(workload)
      ? { serviceAccount: workload.serviceAccount, spiffeId: workload.spiffeId }
      : {}),
    tlsMode: workload.tlsMode,
  };
}

/** A pod always has an account; a WorkloadEntry only the one that it names, and clients expect no other. */
function hasIdentity(workload: Workload): boolean {
  return (
    workload.kind !== "WorkloadEntry" || text(record(workload.resource.spec).serviceAccount) !== undefined
  );
}

/** The port on a workload that a Service's `targetPort` means: a number stands for itself, a name for the container port of that name. */
export function resolveTargetPort(port: ServicePort, workload: Workload | undefined): number | undefined {
  if (typeof port.targetPort === "number") return port.targetPort;
  const numeric = Number(port.targetPort);
  if (Number.isInteger(numeric)) return numeric;
  return workload?.ports.find((candidate) => candidate.name === port.targetPort)?.port;
}

function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
