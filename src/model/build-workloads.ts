import type { Resource } from "../resources/resource.ts";
import { apiGroup } from "../resources/scope.ts";
import { roleOf, runsProxyAs } from "./gateway-role.ts";
import { hasProxyContainer, type InjectablePod, InjectionRules, TLS_MODE_LABEL } from "./injection.ts";
import type { ContainerPort, Labels, Namespace, Workload, WorkloadKind } from "./mesh.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { Owners } from "./owners.ts";
import { readTrafficCapture } from "./traffic-capture.ts";
import { podOf, type WrittenPod } from "./written-pod.ts";

type Json = Readonly<Record<string, unknown>>;

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
  const injection = injectionRules(resources, namespaces);
  const workloads: Workload[] = [];
  const podsOf = new Map<Resource, Workload[]>();
  for (const resource of resources) {
    const workload = toWorkload(resource, injection, config);
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
  "Rollout",
  "CloneSet",
  "DeploymentConfig",
  "ReplicationController",
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

/** The rules that hold for every pod and pod template of these resources. */
export function injectionRules(
  resources: readonly Resource[],
  namespaces: ReadonlyMap<string, Namespace>,
): InjectionRules {
  return new InjectionRules(resources, namespaces, resources.flatMap(injectablePodOf));
}

/** @returns the pod, or that of the template, as the injector sees it; nothing for other kinds. */
export function injectablePodOf(resource: Resource): readonly InjectablePod[] {
  const own = podOf(resource);
  return own === undefined ? [] : [injectable(resource, own.pod)];
}

function injectable({ namespace }: Resource, pod: Json): InjectablePod {
  const metadata = record(pod.metadata);
  const spec = record(pod.spec);
  const labels = strings(metadata.labels);
  const annotations = strings(metadata.annotations);
  return {
    namespace,
    labels,
    annotations,
    hostNetwork: spec.hostNetwork === true,
    hasProxy: hasProxyContainer(spec) || runsProxyAs("router", spec),
    isGateway: roleOf(labels, annotations, spec) !== "application",
    runs: podAddresses(record(pod.status)).length > 0,
  };
}

function toWorkload(resource: Resource, injection: InjectionRules, config: MeshConfig): Workload | undefined {
  if (resource.kind === "WorkloadEntry" && apiGroup(resource.apiVersion) === "networking.istio.io") {
    return fromWorkloadEntry(resource, config);
  }
  const own = podOf(resource);
  return own === undefined ? undefined : fromPod(resource, own, injection, config);
}

function fromPod(
  resource: Resource,
  { pod, owner }: WrittenPod,
  injection: InjectionRules,
  config: MeshConfig,
): Workload {
  const spec = record(pod.spec);
  const seen = injectable(resource, pod);
  const { labels, annotations, hostNetwork } = seen;
  const serviceAccount = text(spec.serviceAccountName) ?? text(spec.serviceAccount) ?? "default";
  const addresses = podAddresses(record(pod.status));
  const choice = injection.choose(seen);
  const { dataplane } = choice;
  const role = roleOf(labels, annotations, spec);
  const capture =
    dataplane === "sidecar" && role === "application" ? readTrafficCapture(annotations) : undefined;
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
    role,
    dataplane,
    ...(choice.dataplane === "none" ? { unproxied: choice.why } : {}),
    ...(capture === undefined ? {} : { capture }),
    tlsMode: injection.tlsMode(seen),
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
  const label = labels[TLS_MODE_LABEL];
  if (label !== undefined) return label === "istio" ? "istio" : "disabled";
  return serviceAccount === undefined ? "disabled" : "istio";
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
