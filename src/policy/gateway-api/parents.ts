/** What a route is attached to: listeners of Gateways, and services of the mesh. */
import type { Mesh } from "../../model/mesh.ts";
import type { Resource } from "../../resources/resource.ts";
import { CLUSTER_DOMAIN, hostsOverlap, isHostSubset, MESH_GATEWAY } from "../outbound/host-name.ts";
import { type Listener, refusesRoute } from "./listeners.ts";
import type { Report } from "./problem.ts";
import { GATEWAY_API_GROUP, type ParentReference, type RouteShape } from "./shapes.ts";

/** One place where a route holds. */
export interface Attachment {
  /** As VirtualServices name it: `mesh`, or a listener's Gateway. */
  readonly gateway: string;
  /** Names that it holds for there. */
  readonly hosts: readonly string[];
  /** Of the service in the mesh; absent = all of its ports. */
  readonly port?: number;
  /** A route in another namespace than its service is for that namespace's clients alone. */
  readonly consumerOnly: boolean;
  /** Absent in the mesh. */
  readonly listener?: Listener;
}

export function attachmentsOf(
  mesh: Mesh,
  route: Resource,
  listeners: readonly Listener[],
  report: Report,
): readonly Attachment[] {
  const { parentRefs = [], hostnames = [] } = route.spec as RouteShape<unknown>;
  const names = hostnames.map((name) => name.toLowerCase());
  return parentRefs.flatMap((parent, index) => {
    const refuse = (why: string): readonly Attachment[] => {
      report(route, ["spec", "parentRefs", index], why);
      return [];
    };
    const { group = GATEWAY_API_GROUP, kind = "Gateway" } = parent;
    if (group === GATEWAY_API_GROUP && kind === "Gateway")
      return atGateway(mesh, route, parent, names, listeners, refuse);
    return inMesh(mesh, route, parent, group, kind, refuse);
  });
}

type Refuse = (why: string) => readonly Attachment[];

function atGateway(
  mesh: Mesh,
  route: Resource,
  parent: ParentReference,
  hostnames: readonly string[],
  listeners: readonly Listener[],
  refuse: Refuse,
): readonly Attachment[] {
  const namespace = parent.namespace ?? route.namespace;
  const named = listeners.filter(
    ({ gateway, shape }) =>
      gateway.name === parent.name &&
      gateway.namespace === namespace &&
      (parent.sectionName === undefined || parent.sectionName === shape.name) &&
      (parent.port === undefined || parent.port === shape.port),
  );
  if (named.length === 0)
    return refuse(`Gateway \`${namespace}/${parent.name}\` has no listener for it that is served`);
  const refusals: string[] = [];
  const attached: Attachment[] = [];
  for (const listener of named) {
    const hosts = commonHosts(hostnames, (listener.shape.hostname ?? "*").toLowerCase());
    const refusal =
      refusesRoute(mesh, listener, route) ??
      (hosts.length === 0 ? `listener \`${listener.shape.name}\` is for none of its hostnames` : undefined);
    if (refusal === undefined)
      attached.push({ gateway: listener.boundAs, hosts, consumerOnly: false, listener });
    else refusals.push(refusal);
  }
  return attached.length === 0 ? refuse(refusals.join("; ")) : attached;
}

/** Each time the narrower of a route's and the listener's names. */
function commonHosts(hostnames: readonly string[], listener: string): readonly string[] {
  if (hostnames.length === 0) return [listener];
  return hostnames
    .filter((name) => hostsOverlap(name, listener))
    .map((name) => (isHostSubset(name, listener) ? name : listener));
}

/** @see https://gateway-api.sigs.k8s.io/mesh/ */
function inMesh(
  mesh: Mesh,
  route: Resource,
  parent: ParentReference,
  group: string,
  kind: string,
  refuse: Refuse,
): readonly Attachment[] {
  const namespace = parent.namespace ?? route.namespace;
  const hosts = hostsOfParent(mesh, group, kind, namespace, parent.name);
  if (hosts === undefined) return refuse(`parents of kind \`${kind}\` are not known`);
  if (hosts.length === 0) return refuse(`there is no ${kind} \`${namespace}/${parent.name}\``);
  const port = parent.port === undefined ? {} : { port: parent.port };
  return [{ gateway: MESH_GATEWAY, hosts, ...port, consumerOnly: namespace !== route.namespace }];
}

function hostsOfParent(
  mesh: Mesh,
  group: string,
  kind: string,
  namespace: string,
  name: string,
): readonly string[] | undefined {
  if (group === "" && kind === "Service") {
    const host = `${name}.${namespace}.svc.${CLUSTER_DOMAIN}`;
    return mesh.services.some(({ hostname }) => hostname === host) ? [host] : [];
  }
  if (group === "networking.istio.io" && kind === "ServiceEntry")
    return mesh.services
      .filter(
        ({ resource }) =>
          resource.kind === kind && resource.name === name && resource.namespace === namespace,
      )
      .map(({ hostname }) => hostname.toLowerCase());
  return undefined;
}
