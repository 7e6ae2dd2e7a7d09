/** What network policies let through after a change that they did not before, and the other way round, between the pods of both meshes and the outside. */
import { resolveTargetPort } from "../../model/build-services.ts";
import type { Mesh } from "../../model/mesh.ts";
import { type AddressRange, formatRange } from "../../policy/network/address-range.ts";
import {
  ConnectionAlgebra,
  type ConnectionSet,
  hasConnection,
  type NetworkProtocol,
} from "../../policy/network/connection-set.ts";
import { type NetworkEdge, NetworkMap } from "../../policy/network/network-map.ts";
import { networkPolicies } from "../../policy/network/network-policies.ts";
import type { AccessRequest } from "../../policy/path/access-request.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import type { Cause } from "./causes.ts";
import { commonPods, type PodCause, TouchedPods } from "./touched-pods.ts";

/** From each of the one to each of the other; not from a pod to itself. */
export interface NetworkChange {
  readonly change: "widened" | "narrowed";
  /** Workloads, `namespace/name`, or ranges of addresses outside. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** `All Connections`, or `TCP 80,8080-8090,UDP 53`. */
  readonly connections: string;
  /** One that policies judge differently before and after: over TCP where they do so, at a port that the server declares. */
  readonly connection: NetworkConnection;
  /** The same as a request that `can` answers differently before and after. Absent for UDP and SCTP, of which it asks nothing. */
  readonly witness?: AccessRequest;
  /** True where `can` answers alike: what lies before or behind refuses it, or it knows no way from the one to the other. */
  readonly heldBack?: true;
  readonly causes: readonly Cause[];
}

export interface NetworkConnection {
  /** A workload, or an address outside. */
  readonly from: string;
  readonly to: string;
  readonly protocol: NetworkProtocol;
  readonly port: number;
}

/** So many pairs of unlike pods are compared; beyond, it is said that they are not. */
const MAX_PAIRS = 40_000_000;

export interface NetworkDiffOptions {
  /** Tells what opens, and not what closes: policies of their own for a thousand pods close a million ways. */
  readonly widenedOnly?: boolean;
}

/** @throws {AnalysisLimit} where there are too many unlike pods that the change touches. */
export function networkChanges(
  before: Mesh,
  after: Mesh,
  { widenedOnly = false }: NetworkDiffOptions = {},
): readonly NetworkChange[] {
  const sides = commonPods(before, after);
  const touched = new TouchedPods(before, after, sides);
  if (touched.isNothing) return [];
  const [old, now] = [networkPolicies(before), networkPolicies(after)];
  const options = { blocks: "outside", families: [4, 6], algebra: new ConnectionAlgebra() } as const;
  const maps = [
    new NetworkMap(old, sides.before, { ...options, alsoCutBy: now }),
    new NetworkMap(now, sides.after, { ...options, alsoCutBy: old }),
  ] as const;
  const groups = groupPods(sides.keys, maps, touched);
  const compared = groups.filter(({ causes }) => causes.length > 0).length * groups.length;
  if (compared > MAX_PAIRS)
    throw new AnalysisLimit(
      `${groups.length} unlike pods of which too many change: by network policies not compared`,
    );
  const found = new Findings(maps[0].algebra, declaredPorts(after), widenedOnly);
  for (const group of groups) {
    if (group.causes.length === 0) continue;
    for (const other of groups) {
      comparePods(maps, group, other, found);
      if (other.causes.length === 0) comparePods(maps, other, group, found);
    }
    compareOutside(maps, group, found);
  }
  return found.changes();
}

/** By workload: the ports that it, or a Service for it, declares. */
function declaredPorts({ workloads, services }: Mesh): ReadonlyMap<string, readonly number[]> {
  const declared = new Map(workloads.map(({ key, ports }) => [key, ports.map(({ port }) => port)]));
  for (const { ports, endpoints } of services)
    for (const { workload } of endpoints)
      if (workload !== undefined)
        declared.get(workload.key)?.push(...ports.flatMap((port) => resolveTargetPort(port, workload) ?? []));
  return declared;
}

/** What is mostly asked for outside. */
const USUAL_PORTS: readonly number[] = [443, 80];

type Maps = readonly [before: NetworkMap, after: NetworkMap];

/** Pods that policies treat alike before, and alike after, for the same reasons. */
interface PodGroup {
  readonly example: number;
  readonly keys: readonly string[];
  readonly causes: readonly PodCause[];
}

function groupPods(keys: readonly string[], maps: Maps, touched: TouchedPods): readonly PodGroup[] {
  const groups = new Map<string, PodGroup & { readonly keys: string[] }>();
  for (const [at, key] of keys.entries()) {
    const causes = touched.of(at);
    const why = causes.map(({ cause: { resource, change } }) => `${change} ${resource}`);
    const profile = [...maps.map((map) => map.profileOf(at)), ...why].join("|");
    const known = groups.get(profile);
    if (known === undefined) groups.set(profile, { example: at, keys: [key], causes });
    else known.keys.push(key);
  }
  return [...groups.values()];
}

function comparePods(maps: Maps, from: PodGroup, to: PodGroup, found: Findings): void {
  const causes = [...causesOf(from, "asSource"), ...causesOf(to, "asDestination")];
  if (causes.length === 0 || (from === to && from.keys.length === 1)) return;
  const [old, now] = maps.map((map) => map.between(from.example, to.example));
  if (old === undefined || now === undefined || old === now) return;
  found.note({ from: from.keys, to: to.keys, causes }, old, now);
}

function causesOf({ causes }: PodGroup, side: "asSource" | "asDestination"): readonly Cause[] {
  return causes.filter((noted) => noted[side]).map(({ cause }) => cause);
}

function compareOutside(maps: Maps, group: PodGroup, found: Findings): void {
  const { example, keys } = group;
  const into = causesOf(group, "asDestination");
  if (into.length > 0)
    for (const { range, old, now } of ranges(maps, (map) => map.fromOutside(example), "from"))
      found.note({ from: [range], to: keys, causes: into }, old, now);
  const out = causesOf(group, "asSource");
  if (out.length > 0)
    for (const { range, old, now } of ranges(maps, (map) => map.toOutside(example), "to"))
      found.note({ from: keys, to: [range], causes: out }, old, now);
}

interface RangeChange {
  readonly range: AddressRange;
  readonly old: ConnectionSet;
  readonly now: ConnectionSet;
}

/** Neighbours that change alike are one range. */
function ranges(
  maps: Maps,
  edges: (map: NetworkMap) => Iterable<NetworkEdge>,
  end: "from" | "to",
): RangeChange[] {
  const { none } = maps[0].algebra;
  const parts = new Map<string, { range: AddressRange; old: ConnectionSet; now: ConnectionSet }>();
  for (const [side, map] of maps.entries())
    for (const edge of edges(map)) {
      const range = edge[end] as AddressRange;
      const part = parts.get(formatRange(range)) ?? { range, old: none, now: none };
      parts.set(formatRange(range), { ...part, [side === 0 ? "old" : "now"]: edge.connections });
    }
  const changed = [...parts.values()].filter(({ old, now }) => old !== now);
  const merged: RangeChange[] = [];
  for (const part of changed.sort((a, b) => compareRanges(a.range, b.range))) {
    const last = merged.at(-1);
    const joins =
      last?.old === part.old && last.now === part.now && last.range.family === part.range.family
        ? last.range.last + 1n === part.range.first
        : false;
    if (last !== undefined && joins)
      merged[merged.length - 1] = { ...last, range: { ...last.range, last: part.range.last } };
    else merged.push(part);
  }
  return merged;
}

function compareRanges(a: AddressRange, b: AddressRange): number {
  return a.family - b.family || (a.first < b.first ? -1 : 1);
}

type End = readonly string[] | readonly [AddressRange];

interface Found {
  readonly from: End;
  readonly to: End;
  readonly causes: readonly Cause[];
}

/** Collects changes, and tells those together that are alike but for one of their ends. */
class Findings {
  readonly #algebra: ConnectionAlgebra;
  readonly #declared: ReadonlyMap<string, readonly number[]>;
  readonly #widenedOnly: boolean;
  readonly #found: NetworkChange[] = [];

  constructor(
    algebra: ConnectionAlgebra,
    declared: ReadonlyMap<string, readonly number[]>,
    widenedOnly: boolean,
  ) {
    this.#algebra = algebra;
    this.#declared = declared;
    this.#widenedOnly = widenedOnly;
  }

  note(found: Found, old: ConnectionSet, now: ConnectionSet): void {
    this.#add("widened", found, this.#algebra.subtract(now, old));
    if (!this.#widenedOnly) this.#add("narrowed", found, this.#algebra.subtract(old, now));
  }

  changes(): readonly NetworkChange[] {
    const joined = joinEnds(joinEnds(this.#found, "from", "to"), "to", "from");
    return joined.toSorted((a, b) => (a.change === b.change ? 0 : a.change === "widened" ? -1 : 1));
  }

  #add(change: NetworkChange["change"], { from, to, causes }: Found, connections: ConnectionSet): void {
    const connection = this.#example(from, to, connections);
    if (connection === undefined) return;
    this.#found.push({
      change,
      from: from.map(nameOf),
      to: to.map(nameOf),
      connections: connections.text,
      connection,
      causes: [...new Map(causes.map((cause) => [cause.resource, cause])).values()],
    });
  }

  /** Not from a pod to itself, which always reaches itself. */
  #example(from: End, to: End, connections: ConnectionSet): NetworkConnection | undefined {
    const protocol = BY_USE.find((each) => connections.ports[each].length > 0);
    const [source, destination] = [from[0], to.find((end) => end !== from[0])];
    if (protocol === undefined || source === undefined || destination === undefined) return undefined;
    const wanted = typeof destination === "string" ? (this.#declared.get(destination) ?? []) : USUAL_PORTS;
    const port =
      wanted.find((own) => hasConnection(connections, protocol, own)) ?? connections.ports[protocol][0];
    if (port === undefined) return undefined;
    return { from: addressOf(source), to: addressOf(destination), protocol, port };
  }
}

const BY_USE: readonly NetworkProtocol[] = ["TCP", "UDP", "SCTP"];

function nameOf(end: string | AddressRange): string {
  return typeof end === "string" ? end : formatRange(end);
}

/** Of those that share everything else. */
function joinEnds(
  changes: readonly NetworkChange[],
  joined: "from" | "to",
  same: "from" | "to",
): NetworkChange[] {
  const groups = new Map<string, NetworkChange[]>();
  for (const change of changes) {
    const why = change.causes.map(({ resource }) => resource).sort();
    const key = JSON.stringify([change.change, change.connections, change[same].toSorted(), why]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [change]);
    else group.push(change);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    return first === undefined ? [] : [{ ...first, [joined]: group.flatMap((each) => each[joined]) }];
  });
}

function addressOf(end: string | AddressRange): string {
  return typeof end === "string" ? end : (formatRange(end).split("-")[0] ?? "");
}
