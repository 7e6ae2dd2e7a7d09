/** What is compiled of a mesh to decide about it: for each workload once, when it is first asked about. */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import { type AmbientPolicy, compileAmbient } from "../ambient/ambient-policy.ts";
import { AuthorizationCache } from "../authorization-cache.ts";
import { compileInbound, type InboundPolicy, type Semantics } from "../inbound.ts";
import { compileGateway } from "../outbound/compile-gateway.ts";
import { compileOutbound } from "../outbound/compile-outbound.ts";
import type { GatewayPolicy, OutboundPolicy } from "../outbound/types.ts";
import { compileWaypoint, type WaypointPolicy } from "../waypoint/waypoint-policy.ts";

export interface CompiledPolicies {
  inbound(workload: Workload): InboundPolicy;
  gateway(workload: Workload): GatewayPolicy;
  outbound(workload: Workload): OutboundPolicy;
  ambient(workload: Workload): AmbientPolicy;
  waypoint(workload: Workload): WaypointPolicy;
}

/** Names and addresses of a mesh. */
export interface MeshDirectory {
  /** By their keys: `namespace/name`, and `namespace/name[Kind]` for others of that name. */
  readonly workloads: ReadonlyMap<string, Workload>;
  readonly byAddress: ReadonlyMap<string, Workload>;
  /** By host name in lower case, Kubernetes' own before ServiceEntries; those of namespaces that are not discovered as well. */
  readonly services: ReadonlyMap<string, Service>;
  readonly byVirtualAddress: ReadonlyMap<string, Service>;
  /** Of applications. */
  readonly modes: ReadonlySet<Workload["dataplane"]>;
}

const DIRECTORIES = new WeakMap<Mesh, MeshDirectory>();
const POLICIES = new WeakMap<Mesh, Map<Semantics, CompiledPolicies>>();
const CACHES = new WeakMap<Mesh, AuthorizationCache>();

export function meshDirectory(mesh: Mesh): MeshDirectory {
  const known = DIRECTORIES.get(mesh);
  if (known !== undefined) return known;
  const made = buildDirectory(mesh);
  DIRECTORIES.set(mesh, made);
  return made;
}

function buildDirectory(mesh: Mesh): MeshDirectory {
  const workloads = new Map(mesh.workloads.map((workload) => [workload.key, workload]));
  const byAddress = new Map<string, Workload>();
  for (const workload of mesh.workloads) {
    // Pods on the host's network share its address.
    if (!workload.hostNetwork)
      for (const address of workload.addresses) if (!byAddress.has(address)) byAddress.set(address, workload);
  }
  const services = new Map<string, Service>();
  const byVirtualAddress = new Map<string, Service>();
  for (const service of mesh.services) {
    const name = service.hostname.toLowerCase();
    const before = services.get(name);
    if (before === undefined || service.origin === "kubernetes") services.set(name, service);
    for (const address of service.addresses)
      if (!byVirtualAddress.has(address)) byVirtualAddress.set(address, service);
  }
  // Names that the mesh does not know are the cluster's all the same.
  for (const service of mesh.undiscoveredServices) {
    const name = service.hostname.toLowerCase();
    if (!services.has(name)) services.set(name, service);
    for (const address of service.addresses)
      if (!byVirtualAddress.has(address)) byVirtualAddress.set(address, service);
  }
  const applications = mesh.workloads.filter(({ role }) => role === "application");
  const modes = new Set(applications.map(({ dataplane }) => dataplane));
  return { workloads, byAddress, services, byVirtualAddress, modes };
}

/** As the cluster's DNS resolves a name for a pod of the namespace: as it is, then by the search path. */
export function findService(
  { services }: MeshDirectory,
  host: string,
  namespace: string | undefined,
): Service | undefined {
  const name = host.toLowerCase().replace(/\.$/, "");
  const local = namespace === undefined ? [] : [`${name}.${namespace}.svc.cluster.local`];
  const tried = [name, ...local, `${name}.svc.cluster.local`, `${name}.cluster.local`];
  for (const candidate of tried) {
    const service = services.get(candidate);
    if (service !== undefined) return service;
  }
  return undefined;
}

/** What is compiled of a mesh's AuthorizationPolicies. */
export function authorizationCache(mesh: Mesh): AuthorizationCache {
  const known = CACHES.get(mesh);
  if (known !== undefined) return known;
  const made = new AuthorizationCache();
  CACHES.set(mesh, made);
  return made;
}

/** Takes over what of an earlier snapshot's compiled policies holds in the next, before the next is asked anything. */
export function carryOver(from: Mesh, to: Mesh): void {
  CACHES.set(to, authorizationCache(from).successor(to.authorizationPolicies));
}

export function compiledPolicies(mesh: Mesh, semantics: Semantics): CompiledPolicies {
  let bySemantics = POLICIES.get(mesh);
  if (bySemantics === undefined) {
    bySemantics = new Map();
    POLICIES.set(mesh, bySemantics);
  }
  let policies = bySemantics.get(semantics);
  if (policies === undefined) {
    const cache = authorizationCache(mesh);
    policies = {
      inbound: memo((workload) => compileInbound(mesh, workload, { semantics, cache })),
      gateway: memo((workload) => compileGateway(mesh, workload, { semantics })),
      ambient: memo((workload) => compileAmbient(mesh, workload, { semantics })),
      waypoint: memo((workload) => compileWaypoint(mesh, workload, { semantics, cache })),
      // The client's side is the same under both, and shared by equal workloads.
      outbound: (workload) => compileOutbound(mesh, workload),
    };
    bySemantics.set(semantics, policies);
  }
  return policies;
}

function memo<T>(compile: (workload: Workload) => T): (workload: Workload) => T {
  const made = new Map<Workload, T>();
  return (workload) => {
    let policy = made.get(workload);
    if (policy === undefined) {
      policy = compile(workload);
      made.set(workload, policy);
    }
    return policy;
  };
}
