import type { Mesh } from "../model/mesh.ts";
import { INGRESS_CONTROLLER, type MapNode, mapNodes } from "../policy/network/map-nodes.ts";
import type { MapEntry } from "../policy/network/mesh-map.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { suggestion } from "../resources/did-you-mean.ts";

export interface MapFilter {
  readonly from?: readonly string[];
  readonly to?: readonly string[];
  readonly focus?: readonly string[];
  readonly namespace?: readonly string[];
  readonly exposure?: boolean;
}

const OUTSIDE = "outside";

/**
 * Which lines are asked for: those that every filter takes.
 * @throws {BulwarkError} BW_CLI_INPUT where a filter names what the files do not have.
 */
export function entryFilter(mesh: Mesh, filter: MapFilter): (entry: MapEntry) => boolean {
  const nodes = mapNodes(mesh);
  const { from, to, focus, namespace, exposure } = filter;
  for (const name of [...(from ?? []), ...(to ?? []), ...(focus ?? [])]) checkName(name, nodes);
  for (const name of namespace ?? []) checkNamespace(name, nodes);
  const isNamed = (names: readonly string[], label: string, node: MapNode | undefined): boolean =>
    names.some((name) => means(name, label, node));
  return (entry) => {
    const { source, destination } = entry;
    if (exposure === true && source !== undefined && destination !== undefined) return false;
    if (from !== undefined && !isNamed(from, entry.from, source)) return false;
    if (to !== undefined && !isNamed(to, entry.to, destination)) return false;
    if (
      focus !== undefined &&
      !isNamed(focus, entry.from, source) &&
      !isNamed(focus, entry.to, destination) &&
      !isWay(focus, entry)
    )
      return false;
    return (
      namespace === undefined ||
      [source, destination].some((node) => node !== undefined && namespace.includes(node.pod.namespace))
    );
  };
}

/** Whether it goes by one of these gateways or waypoints. */
function isWay(names: readonly string[], { from }: MapEntry): boolean {
  const [, way] = from.split(" by ");
  const bare = way?.slice(0, way.lastIndexOf("["));
  return bare !== undefined && names.some((name) => [way, bare, bare.split("/")[1]].includes(name));
}

/** `namespace/name[Kind]`, `namespace/name`, `name`, `outside`, or the end itself as it is printed. */
function means(name: string, label: string, node: MapNode | undefined): boolean {
  if (name === label) return true;
  if (node === undefined) return name === OUTSIDE;
  // A line by a waypoint names that, too: the end is the client.
  const bare = node.label.slice(0, node.label.lastIndexOf("["));
  return name === bare || name === bare.slice(bare.indexOf("/") + 1);
}

function checkName(name: string, nodes: readonly MapNode[]): void {
  if (name === OUTSIDE || name === INGRESS_CONTROLLER || /^[0-9a-f.:]+-[0-9a-f.:]+$/.test(name)) return;
  if (nodes.some((node) => means(name, node.label, node))) return;
  const known = nodes.map(({ label }) => label.slice(0, label.lastIndexOf("[")));
  const hint = suggestion(name, [...known, ...known.map((own) => own.slice(own.indexOf("/") + 1)), OUTSIDE]);
  throw new BulwarkError("BW_CLI_INPUT", `no workload is \`${name}\`${hint === "" ? "" : ` (${hint})`}`);
}

function checkNamespace(name: string, nodes: readonly MapNode[]): void {
  const known = [...new Set(nodes.map(({ pod }) => pod.namespace))];
  if (known.includes(name)) return;
  const hint = suggestion(name, known);
  throw new BulwarkError(
    "BW_CLI_INPUT",
    `no workload is in namespace \`${name}\`${hint === "" ? "" : ` (${hint})`}`,
  );
}
