import type { Resource } from "../resources/resource.ts";
import { apiGroup } from "../resources/scope.ts";
import type { ContainerPort, Labels, Namespace, Workload, WorkloadKind } from "./mesh.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { Owners } from "./owners.ts";

type Json = Readonly<Record<string, unknown>>;

/** Kinds with a pod template. A kind of the same name in another group is none of ours. */
const TEMPLATE_KINDS: Readonly<Record<string, string>> = Object.assign(Object.create(null), {
  Deployment: "apps",
  StatefulSet: "apps",
  DaemonSet: "apps",
  ReplicaSet: "apps",
  Job: "batch",
  CronJob: "batch",
});

/**
 * Every workload of the mesh: pod templates, bare pods, and WorkloadEntries. What another object here has made (a
 * Deployment's ReplicaSets and their Pods) is part of that one. Keys are unique.
 */
export function buildWorkloads(
  resources: readonly Resource[],
  namespaces: ReadonlyMap<string, Namespace>,
  config: MeshConfig,
): Workload[] {
  const owners = new Owners(resources);
  const workloads: Workload[] = [];
  const podsOf = new Map<Resource, Workload[]>();
  for (const resource of resources) {
    const workload = toWorkload(resource, namespaces, config);
    if (workload === undefined) continue;
    const owner = owners.topOwner(resource);
    if (owner === resource) workloads.push(workload);
    else if (workload.kind === "Pod") podsOf.set(owner, [...(podsOf.get(owner) ?? []), workload]);
  }
  return withUniqueKeys(workloads.map((workload) => withPods(workload, podsOf.get(workload.resource) ?? [])));
}

/** Pods that run already know better than their template: their addresses, and whether a proxy was injected. */
function withPods(workload: Workload, pods: readonly Workload[]): Workload {
  const addressed = pods.filter(({ addresses }) => addresses.length > 0);
  if (addressed.length === 0) return workload;
  return {
    ...workload,
    addresses: [...new Set(addressed.flatMap(({ addresses }) => addresses))],
    tlsMode: addressed.every(({ tlsMode }) => tlsMode === "istio") ? "istio" : "disabled",
  };
}

/** Which of several workloads of one name is meant by the name alone. */
const KIND_ORDER: readonly WorkloadKind[] = [
  "Deployment",
  "StatefulSet",
  "DaemonSet",
  "ReplicaSet",
  "Pod",
  "WorkloadEntry",
  "Job",
  "CronJob",
];

/** The others of the same name are called `namespace/name[Kind]`. */
function withUniqueKeys(workloads: readonly Workload[]): Workload[] {
  const first = new Map<string, Workload>();
  for (const workload of workloads) {
    const other = first.get(workload.key);
    const isFirst = other === undefined || KIND_ORDER.indexOf(workload.kind) < KIND_ORDER.indexOf(other.kind);
    if (isFirst) first.set(workload.key, workload);
  }
  return workloads.map((workload) =>
    first.get(workload.key) === workload
      ? workload
      : { ...workload, key: `${workload.key}[${workload.kind}]` },
  );
}

function toWorkload(
  resource: Resource,
  namespaces: ReadonlyMap<string, Namespace>,
  config: MeshConfig,
): Workload | undefined {
  const group = apiGroup(resource.apiVersion);
  if (resource.kind === "WorkloadEntry" && group === "networking.istio.io") {
    return fromWorkloadEntry(resource, config);
  }
  if (resource.kind === "Pod" && group === "")
    return fromPod(resource, resource.body, resource, namespaces, config);
  if (TEMPLATE_KINDS[resource.kind] !== group || group === "") return undefined;
  const spec = record(
    resource.kind === "CronJob" ? record(record(resource.spec).jobTemplate).spec : resource.spec,
  );
  return fromPod(resource, record(spec.template), spec, namespaces, config);
}

function fromPod(
  resource: Resource,
  pod: Json,
  owner: unknown,
  namespaces: ReadonlyMap<string, Namespace>,
  config: MeshConfig,
): Workload {
  const metadata = record(pod.metadata);
  const spec = record(pod.spec);
  const status = record(pod.status);
  const labels = strings(metadata.labels);
  const annotations = strings(metadata.annotations);
  const serviceAccount = text(spec.serviceAccountName) ?? text(spec.serviceAccount) ?? "default";
  const hostNetwork = spec.hostNetwork === true;
  const addresses = podAddresses(status);
  const dataplane = dataplaneOf(
    labels,
    annotations,
    namespaces.get(resource.namespace)?.labels ?? {},
    hostNetwork,
  );
  const replicas = record(owner).replicas;
  return {
    key: `${resource.namespace}/${resource.name}`,
    namespace: resource.namespace,
    name: resource.name,
    kind: resource.kind as WorkloadKind,
    labels,
    annotations,
    serviceAccount,
    spiffeId: `spiffe://${config.trustDomain}/ns/${resource.namespace}/sa/${serviceAccount}`,
    role: roleOf(labels, annotations),
    dataplane,
    tlsMode: tlsModeOf(labels, addresses, dataplane),
    ports: containerPorts(spec),
    replicas: typeof replicas === "number" ? replicas : 1,
    addresses,
    hostNetwork,
    resource,
  };
}

function fromWorkloadEntry(resource: Resource, config: MeshConfig): Workload {
  const spec = record(resource.spec);
  const labels = { ...strings(spec.labels), ...resource.labels };
  const serviceAccount = text(spec.serviceAccount) ?? "default";
  const address = text(spec.address);
  const ports = Object.entries(record(spec.ports)).map(
    ([name, port]): ContainerPort => ({ name, port: Number(port), protocol: "TCP" }),
  );
  return {
    key: `${resource.namespace}/${resource.name}`,
    namespace: resource.namespace,
    name: resource.name,
    kind: "WorkloadEntry",
    labels,
    annotations: resource.annotations,
    serviceAccount,
    spiffeId: `spiffe://${config.trustDomain}/ns/${resource.namespace}/sa/${serviceAccount}`,
    role: "application",
    dataplane: "sidecar",
    tlsMode: workloadEntryTlsMode(labels, text(spec.serviceAccount)),
    ports,
    replicas: 1,
    addresses: address === undefined ? [] : [address],
    hostNetwork: false,
    resource,
  };
}

/** A WorkloadEntry with an account is taken to run a proxy, unless its label says otherwise. */
function workloadEntryTlsMode(labels: Labels, serviceAccount: string | undefined): "istio" | "disabled" {
  const label = labels["security.istio.io/tlsMode"];
  if (label !== undefined) return label === "istio" ? "istio" : "disabled";
  return serviceAccount === undefined ? "disabled" : "istio";
}

/** A pod that runs already says by its label whether a proxy was injected; a template will be injected by its data plane. */
function tlsModeOf(
  labels: Labels,
  addresses: readonly string[],
  dataplane: Workload["dataplane"],
): "istio" | "disabled" {
  const label = labels["security.istio.io/tlsMode"];
  if (label !== undefined) return label === "istio" ? "istio" : "disabled";
  if (addresses.length > 0 && dataplane !== "ambient") return "disabled";
  return dataplane === "none" ? "disabled" : "istio";
}

function roleOf(labels: Labels, annotations: Labels): Workload["role"] {
  if (labels["gateway.istio.io/managed"] === "istio.io-mesh-controller") return "waypoint";
  const injected = annotations["inject.istio.io/templates"]?.split(",").includes("gateway") === true;
  return injected || labels["gateway.networking.k8s.io/gateway-name"] !== undefined
    ? "gateway"
    : "application";
}

function dataplaneOf(
  labels: Labels,
  annotations: Labels,
  namespaceLabels: Labels,
  hostNetwork: boolean,
): Workload["dataplane"] {
  const mode = labels["istio.io/dataplane-mode"] ?? namespaceLabels["istio.io/dataplane-mode"];
  const inject = labels["sidecar.istio.io/inject"] ?? annotations["sidecar.istio.io/inject"];
  if (mode === "ambient" && inject !== "true") return hostNetwork ? "none" : "ambient";
  if (inject !== undefined) return inject === "true" || inject === "enabled" ? "sidecar" : "none";
  if (namespaceLabels["istio-injection"] === "disabled" || hostNetwork) return "none";
  return "sidecar";
}

function podAddresses(status: Json): string[] {
  const several = Array.isArray(status.podIPs) ? status.podIPs.map((entry) => text(record(entry).ip)) : [];
  return [...new Set([text(status.podIP), ...several])].filter((address) => address !== undefined);
}

function containerPorts(podSpec: Json): ContainerPort[] {
  const containers = Array.isArray(podSpec.containers) ? podSpec.containers.map(record) : [];
  return containers.flatMap((container) => {
    const ports = Array.isArray(container.ports) ? container.ports.map(record) : [];
    return ports.map((port): ContainerPort => {
      const name = text(port.name);
      const protocol = port.protocol === "UDP" ? "UDP" : port.protocol === "SCTP" ? "SCTP" : "TCP";
      return { port: Number(port.containerPort), protocol, ...(name === undefined ? {} : { name }) };
    });
  });
}

function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function strings(value: unknown): Labels {
  return Object.fromEntries(Object.entries(record(value)).map(([key, entry]) => [key, String(entry)]));
}
