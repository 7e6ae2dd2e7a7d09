/** The connectivity of a mesh's pods as a list that is ready to be shown. */
import type { Mesh } from "../../model/mesh.ts";
import { type AddressFamily, type AddressRange, formatRange } from "./address-range.ts";
import { ConnectionAlgebra, type ConnectionSet } from "./connection-set.ts";
import { exposedBackends } from "./exposed-backends.ts";
import { INGRESS_CONTROLLER, type MapNode, mapNodes } from "./map-nodes.ts";
import { NetworkMap } from "./network-map.ts";
import { addressIn, type NetworkPod } from "./network-pod.ts";
import { networkPolicies } from "./network-policies.ts";

export interface MeshMapOptions {
  /** Of the outside; IPv4 alone without. */
  readonly families?: readonly AddressFamily[];
  /** Whether blocks of addresses also mean pods with an address in them; `outside` without. */
  readonly blocks?: "outside" | "addresses";
  /** The ends that are pods; {@link mapNodes} without. */
  readonly nodes?: readonly MapNode[];
  /** Of a node's place, those that are worth looking at, ascending; undefined: all. Who wants few lines need not see all pairs. */
  readonly candidates?: (from: number) => readonly number[] | undefined;
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
  /** What `connections` says, but for the family. */
  readonly set: ConnectionSet;
  /** Of an end that is outside: its addresses. Absent for `{ingress-controller}`, too. */
  readonly range?: AddressRange;
}

/**
 * Every pair with a connection that network policies let through: from outside, between pods, to the outside, and by controllers of Ingresses
 * and routes. Sorted by both ends; nothing is collected, so that a mesh of any size can be written out.
 * Where blocks of addresses mean pods and both families are shown, pairs that they tell apart have a line for each.
 */
export function* meshMap(mesh: Mesh, options: MeshMapOptions = {}): Generator<MapEntry> {
  const nodes = options.nodes ?? mapNodes(mesh);
  const maps = familyMaps(mesh, nodes, options);
  const name = endNames(nodes);
  for (let at = 0; at < nodes.length; at++)
    for (const { map } of maps)
      for (const edge of map.fromOutside(at)) yield entry(name, edge.from, edge.to, edge.connections);
  for (let at = 0; at < nodes.length; at++) {
    for (const { to, connections, family } of betweenPods(maps, at, options.candidates?.(at)))
      if (to !== nodes.length) yield entry(name, at, to, connections, family);
    for (const { map } of maps)
      for (const edge of map.toOutside(at)) yield entry(name, at, edge.to, edge.connections);
  }
  const [{ map }] = maps;
  const exposed = exposedBackends(mesh, nodes, map.algebra);
  for (const [at, opened] of [...exposed].sort(([a], [b]) => a - b)) {
    const connections = map.algebra.intersect(map.between(nodes.length, at), opened);
    if (connections !== map.algebra.none) yield entry(name, nodes.length, at, connections);
  }
}

/** Who meets by addresses of a family that it has not got, or of which no file tells, is met by none of them. */
interface FamilyMap {
  readonly map: NetworkMap;
  /** Absent: the map holds for whichever family. */
  readonly family?: AddressFamily;
  readonly has: (at: number) => boolean;
}

type FamilyMaps = readonly [FamilyMap, ...FamilyMap[]];

function familyMaps(
  mesh: Mesh,
  nodes: readonly MapNode[],
  { families = [4], blocks = "outside" }: MeshMapOptions,
): FamilyMaps {
  const policies = networkPolicies(mesh);
  const pods = [...nodes.map(({ pod }) => pod), controllerPod()];
  if (blocks === "outside" || families.length < 2)
    return [{ map: new NetworkMap(policies, pods, { families, blocks }), has: () => true }];
  const algebra = new ConnectionAlgebra();
  const [first, ...others] = families.map((family): FamilyMap => {
    const map = new NetworkMap(policies, pods, { families: [family], blocks, family, algebra });
    const has = (at: number): boolean => {
      const { addresses = [] } = pods[at] ?? {};
      return addresses.length === 0 || addressIn({ addresses }, family) !== undefined;
    };
    return { map, family, has };
  });
  if (first === undefined) throw new Error("BUG: two families and no map");
  return [first, ...others];
}

/** One line for a pair that all families have alike. */
function* betweenPods(
  maps: FamilyMaps,
  from: number,
  candidates: readonly number[] | undefined,
): Generator<{ readonly to: number; readonly connections: ConnectionSet; readonly family?: AddressFamily }> {
  const [only] = maps;
  if (maps.length === 1) {
    if (candidates === undefined || candidates.length >= only.map.candidateCount(from))
      yield* only.map.toPods(from);
    else
      for (const to of candidates) {
        const connections = only.map.between(from, to);
        if (to !== from && connections !== only.map.algebra.none) yield { to, connections };
      }
    return;
  }
  const reached = new Set(maps.flatMap(({ map }) => [...map.toPods(from)].map(({ to }) => to)));
  for (const to of [...reached].sort((a, b) => a - b)) {
    const meeting = maps.filter(({ has }) => has(from) && has(to));
    const sets = meeting.map(({ map, family }) => ({ family, connections: map.between(from, to) }));
    const isAlike = sets.every(({ connections }) => connections === sets[0]?.connections);
    for (const { family, connections } of isAlike ? sets.slice(0, 1) : sets)
      if (connections.text !== "")
        yield { to, connections, ...(isAlike || family === undefined ? {} : { family }) };
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
  set: ConnectionSet,
  family?: AddressFamily,
): MapEntry {
  const [source, destination] = [name(from), name(to)];
  return {
    from: source.label,
    to: destination.label,
    connections: family === undefined ? set.text : `${set.text} over IPv${family}`,
    set,
    ...(typeof from === "number" ? {} : { range: from }),
    ...(typeof to === "number" ? {} : { range: to }),
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
