/** What Ingresses, OpenShift's Routes and the Gateway API's routes open to the outside: pods behind Services, by their ports. */
import type { Mesh } from "../../model/mesh.ts";
import type { Resource } from "../../resources/resource.ts";
import { apiGroup } from "../../resources/scope.ts";
import type { ConnectionAlgebra, ConnectionSet } from "./connection-set.ts";
import type { MapNode } from "./map-nodes.ts";
import { portRange } from "./port-set.ts";

type Json = Readonly<Record<string, unknown>>;

/** A Service that a route names, and its port; without one, all. The port may also be the pods': Routes say so, and some controllers follow an Ingress that does. */
export interface Backend {
  readonly namespace: string;
  readonly service: string;
  readonly port?: number | string;
}

/** Connections that a controller outside of the files makes to pods. Absent: none. */
export function exposedBackends(
  mesh: Mesh,
  nodes: readonly MapNode[],
  algebra: ConnectionAlgebra,
): ReadonlyMap<number, ConnectionSet> {
  const places = new Map(nodes.flatMap(({ workloads }, at) => workloads.map((own) => [own, at] as const)));
  const services = new Map(
    [...mesh.services, ...mesh.undiscoveredServices]
      .filter(({ origin }) => origin === "kubernetes")
      .map((service) => [`${service.namespace}/${service.name}`, service]),
  );
  const exposed = new Map<number, ConnectionSet>();
  for (const backend of mesh.resources.flatMap((resource) => backendsOf(resource, mesh.resources))) {
    const service = services.get(`${backend.namespace}/${backend.service}`);
    for (const { workload } of service?.endpoints ?? []) {
      const at = workload === undefined ? undefined : places.get(workload);
      if (at === undefined || service === undefined) continue;
      const opened = openedPorts(algebra, servicePorts(service.resource), backend, nodes[at]);
      const before = exposed.get(at) ?? algebra.none;
      exposed.set(at, algebra.union(before, opened));
    }
  }
  return exposed;
}

function servicePorts(service: Resource): readonly Json[] {
  return list(record(service.spec).ports).filter(
    ({ protocol }) => protocol === undefined || protocol === "TCP",
  );
}

function openedPorts(
  algebra: ConnectionAlgebra,
  ports: readonly Json[],
  { port: wanted }: Backend,
  node: MapNode | undefined,
): ConnectionSet {
  let opened = algebra.none;
  for (const { name, port, targetPort = port } of ports) {
    const isMeant = wanted === undefined || wanted === name || wanted === port || wanted === targetPort;
    if (!isMeant) continue;
    for (const number of containerPorts(targetPort, node))
      opened = algebra.union(opened, algebra.of({ TCP: portRange(number, number) }));
    if (wanted !== undefined) break;
  }
  return opened;
}

/** A number stands for itself where a container declares it: a controller has nobody to send to on others that is known. */
function containerPorts(target: unknown, node: MapNode | undefined): readonly number[] {
  const declared = (node?.pod.ports ?? []).filter(({ protocol }) => protocol === "TCP");
  return declared.filter(({ name, port }) => target === name || target === port).map(({ port }) => port);
}

function backendsOf(resource: Resource, all: readonly Resource[]): readonly Backend[] {
  const group = apiGroup(resource.apiVersion);
  if (group === "networking.k8s.io" && resource.kind === "Ingress") return ingressBackends(resource);
  if (group === "route.openshift.io" && resource.kind === "Route") return routeBackends(resource);
  if (group === "gateway.networking.k8s.io" && resource.kind.endsWith("Route"))
    return gatewayBackends(resource, all);
  return [];
}

/** The Services that an Ingress names. */
export function ingressBackends({ spec, namespace }: Resource): readonly Backend[] {
  const { defaultBackend, rules } = record(spec);
  const paths = list(rules).flatMap(({ http }) => list(record(http).paths));
  return [record(defaultBackend), ...paths.map(({ backend }) => record(backend))].flatMap((backend) => {
    const { name, port } = record(backend.service);
    if (typeof name !== "string") return [];
    const wanted = record(port).name ?? record(port).number;
    return [backendTo(namespace, name, wanted)];
  });
}

function routeBackends({ spec, namespace }: Resource): readonly Backend[] {
  const { to, alternateBackends, port } = record(spec);
  return [record(to), ...list(alternateBackends)].flatMap(({ kind = "Service", name }) =>
    kind === "Service" && typeof name === "string"
      ? [backendTo(namespace, name, record(port).targetPort)]
      : [],
  );
}

function gatewayBackends(route: Resource, all: readonly Resource[]): readonly Backend[] {
  const { parentRefs, rules } = record(route.spec);
  // A route of a Service is the mesh's own, not the outside's.
  if (!list(parentRefs).some(({ kind = "Gateway" }) => kind === "Gateway")) return [];
  return list(rules)
    .flatMap(({ backendRefs }) => list(backendRefs))
    .flatMap(({ kind = "Service", name, namespace = route.namespace, port }) =>
      kind === "Service" && typeof name === "string" && isGranted(route, String(namespace), all)
        ? [backendTo(String(namespace), name, port)]
        : [],
    );
}

/** A route may name a Service of another namespace only where that one grants it. */
function isGranted(route: Resource, namespace: string, all: readonly Resource[]): boolean {
  if (namespace === route.namespace) return true;
  return all.some(
    (grant) =>
      grant.kind === "ReferenceGrant" &&
      grant.namespace === namespace &&
      list(record(grant.spec).from).some(
        (from) => from.namespace === route.namespace && from.kind === route.kind,
      ) &&
      list(record(grant.spec).to).some(({ kind }) => kind === "Service"),
  );
}

function backendTo(namespace: string, service: string, port: unknown): Backend {
  const isPort = typeof port === "number" || (typeof port === "string" && port !== "");
  return { namespace, service, ...(isPort ? { port } : {}) };
}

function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function list(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(record) : [];
}
