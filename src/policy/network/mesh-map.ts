/** The connectivity of a mesh's pods as a list that is ready to be shown. */
import type { Mesh } from "../../model/mesh.ts";
import { type AddressFamily, type AddressRange, formatRange } from "./address-range.ts";
import type { ConnectionSet } from "./connection-set.ts";
import { exposedBackends } from "./exposed-backends.ts";
import { INGRESS_CONTROLLER, type MapNode, mapNodes } from "./map-nodes.ts";
import { NetworkMap } from "./network-map.ts";
import type { NetworkPod } from "./network-pod.ts";
import { networkPolicies } from "./network-policies.ts";

export interface MeshMapOptions {
  /** Of the outside; IPv4 alone without. */
  readonly families?: readonly AddressFamily[];
  /** Whether blocks of addresses also mean pods with an address in them; `outside` without. */
  readonly blocks?: "outside" | "addresses";
}

/** One line of the map. No line: no connection. */
export interface MapEntry {
  readonly from: string;
  readonly to: string;
  /** `All Connections`, or `TCP 80,8080-8090,UDP 53`. */
  readonly connections: string;
  /** Absent for what is no pod of the mesh. */
  readonly source?: MapNode;
  readonly destination?: MapNode;
}

/**
 * Every pair with a connection that network policies let through: from outside, between pods, to the outside, and by controllers of Ingresses
 * and routes. Sorted by both ends; nothing is collected, so that a mesh of any size can be written out.
 */
export function* meshMap(mesh: Mesh, options: MeshMapOptions = {}): Generator<MapEntry> {
  const { families = [4], blocks = "outside" } = options;
  const nodes = mapNodes(mesh);
  const controller = controllerPod();
  const pods = [...nodes.map(({ pod }) => pod), controller];
  const map = new NetworkMap(networkPolicies(mesh), pods, { families, blocks });
  const name = endNames(nodes);
  for (let at = 0; at < nodes.length; at++)
    for (const edge of map.fromOutside(at)) yield entry(name, edge.from, edge.to, edge.connections);
  for (let at = 0; at < nodes.length; at++)
    for (const edge of map.from(at))
      if (edge.to !== nodes.length) yield entry(name, edge.from, edge.to, edge.connections);
  const exposed = exposedBackends(mesh, nodes, map.algebra);
  for (const [at, opened] of [...exposed].sort(([a], [b]) => a - b)) {
    const connections = map.algebra.intersect(map.between(nodes.length, at), opened);
    if (connections !== map.algebra.none) yield entry(name, nodes.length, at, connections);
  }
}

type End = { readonly label: string; readonly node?: MapNode };

/** Names are put together once: there are as many as ends, and as many lines as pairs. */
function endNames(nodes: readonly MapNode[]): (end: number | AddressRange) => End {
  const ends = nodes.map((node): End => ({ label: node.label, node }));
  const outside = new Map<AddressRange, End>();
  return (end) => {
    if (typeof end === "number") return ends[end] ?? { label: INGRESS_CONTROLLER };
    let found = outside.get(end);
    if (found === undefined) {
      found = { label: formatRange(end) };
      outside.set(end, found);
    }
    return found;
  };
}

function entry(
  name: (end: number | AddressRange) => End,
  from: number | AddressRange,
  to: number | AddressRange,
  { text }: ConnectionSet,
): MapEntry {
  const [source, destination] = [name(from), name(to)];
  return {
    from: source.label,
    to: destination.label,
    connections: text,
    ...(source.node === undefined ? {} : { source: source.node }),
    ...(destination.node === undefined ? {} : { destination: destination.node }),
  };
}

/** Nobody knows its labels or its namespace's: what policies let in from it they let in from any pod. */
function controllerPod(): NetworkPod {
  const namespace = "ingress-controller-ns";
  return {
    name: INGRESS_CONTROLLER,
    namespace,
    namespaceLabels: { "kubernetes.io/metadata.name": namespace },
    labels: {},
    ports: [],
    addresses: [],
    hostNetwork: false,
  };
}
