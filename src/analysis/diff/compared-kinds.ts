/** Which kinds of resources are compared, and what is said of changes of the others. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { unreadPods } from "../../model/unread-pods.ts";
import type { Resource } from "../../resources/resource.ts";
import { changedResources } from "./causes.ts";
import type { DiffOptions, NotAnalysed } from "./diff-access.ts";
import { WORKLOAD_KINDS } from "./workload-kinds.ts";

/** Gateways and waypoints send by routes and services, too. */
export function otherClients(
  before: Mesh,
  after: Mesh,
  isCompared: (workload: Workload) => boolean,
): readonly NotAnalysed[] {
  const of = ({ resources }: Mesh) => resources.filter(({ kind }) => CLIENT_KINDS.has(kind));
  if (changedResources(of(before), of(after)).length === 0) return [];
  const workloads = after.workloads
    .filter((workload) => workload.role !== "application" && isCompared(workload))
    .map(({ key }) => key);
  const why = "where gateways and waypoints send is not compared";
  return workloads.length === 0 ? [] : [{ workloads, why }];
}

/** Kinds of which what they mean to clients' sidecars is compared. */
const CLIENT_KINDS: ReadonlySet<string> = new Set([
  "Service",
  "ServiceEntry",
  "Sidecar",
  "DestinationRule",
  "VirtualService",
]);

/** Kinds of which all that they decide is compared, but for the fields of unread-fields.ts. */
const COMPARED: ReadonlySet<string> = new Set([
  "AuthorizationPolicy",
  "PeerAuthentication",
  "RequestAuthentication",
  ...WORKLOAD_KINDS,
  "Namespace",
  "ServiceAccount",
  "NetworkPolicy",
  "AdminNetworkPolicy",
  "BaselineAdminNetworkPolicy",
  // It says what is to be, and changes nothing.
  "AccessInvariant",
]);

/** Kinds that gateways and waypoints are made of. */
const PROXY_KINDS: ReadonlySet<string> = new Set([
  "Gateway",
  "HTTPRoute",
  "GRPCRoute",
  "TCPRoute",
  "TLSRoute",
  "ReferenceGrant",
]);

/** Resources of kinds that no comparison reads. */
export function notComparedOf(
  meshes: readonly [before: Mesh, after: Mesh],
  { withoutProxies = false }: Pick<DiffOptions, "withoutProxies">,
): [before: readonly Resource[], after: readonly Resource[]] {
  // Their kinds' names may be of kinds that are compared: a Service of Knative's.
  const unread = new Set(
    meshes.flatMap(({ resources }) => unreadPods(resources)).map(({ resource }) => resource),
  );
  const isNotCompared = (resource: Resource): boolean => {
    const { kind } = resource;
    if (unread.has(resource)) return true;
    return !COMPARED.has(kind) && !CLIENT_KINDS.has(kind) && !(withoutProxies && PROXY_KINDS.has(kind));
  };
  return [meshes[0].resources.filter(isNotCompared), meshes[1].resources.filter(isNotCompared)];
}
