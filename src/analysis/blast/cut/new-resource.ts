/** What a resource that is not there yet is called, and whom it selects: it may neither replace one that is there nor hold for pods it is not meant for. */
import type { Mesh, Workload } from "../../../model/mesh.ts";
import type { Resource } from "../../../resources/resource.ts";
import { apiGroup } from "../../../resources/scope.ts";
import type { Json } from "./change.ts";

/** Shorter than Kubernetes asks for (253): a name that a person reads. */
const NAME_AT_MOST = 63;

export interface NameWanted {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** The name itself where it is short enough and free; else with a hash of the whole behind it. */
export function freeName(mesh: Mesh, wanted: NameWanted): string {
  const taken = namesIn(mesh).get(placeOf(wanted));
  for (let attempt = 0; ; attempt++) {
    const name = attempt === 0 ? wanted.name : hashed(wanted.name, attempt);
    if (name.length <= NAME_AT_MOST && taken?.has(name) !== true) return name;
  }
}

/** Asked for each of thousands of changes. */
const NAMES = new WeakMap<Mesh, ReadonlyMap<string, ReadonlySet<string>>>();

function namesIn(mesh: Mesh): ReadonlyMap<string, ReadonlySet<string>> {
  const known = NAMES.get(mesh);
  if (known !== undefined) return known;
  const names = new Map<string, Set<string>>();
  for (const resource of mesh.resources) {
    const place = placeOf(resource);
    const own = names.get(place) ?? new Set<string>();
    names.set(place, own.add(resource.name));
  }
  NAMES.set(mesh, names);
  return names;
}

function placeOf({
  apiVersion,
  kind,
  namespace,
}: Pick<Resource, "apiVersion" | "kind" | "namespace">): string {
  return [apiGroup(apiVersion), kind, namespace].join("/");
}

/** FNV-1a (32 bits): tells names apart, and guards nothing. */
function hashed(name: string, attempt: number): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(`${name} ${attempt}`))
    hash = Math.imul(hash ^ byte, 0x01000193);
  const digits = (hash >>> 0).toString(16).padStart(8, "0");
  return `${name.slice(0, NAME_AT_MOST - 9).replace(/[^a-z0-9]+$/, "")}-${digits}`;
}

/** Labels that say what it is, and not which version: others change with each. */
const LASTING = [
  "app",
  "app.kubernetes.io/name",
  "app.kubernetes.io/instance",
  "app.kubernetes.io/component",
];

/**
 * `matchLabels` that select this workload and no other of those that the resource would hold for; undefined where its labels do not tell it apart, or it has none
 * (empty ones would select everybody). A policy of the root namespace holds for all namespaces.
 */
export function selectorOf(mesh: Mesh, workload: Workload, isForAllInRoot: boolean): Json | undefined {
  const isWide = isForAllInRoot && workload.namespace === mesh.config.rootNamespace;
  const candidates = isWide ? mesh.workloads : (workloadsIn(mesh).get(workload.namespace) ?? []);
  const others = candidates.filter((other) => other !== workload);
  const lasting = LASTING.filter((key) => workload.labels[key] !== undefined);
  for (const keys of [...lasting.map((key) => [key]), lasting, Object.keys(workload.labels)]) {
    const labels = Object.fromEntries(keys.map((key) => [key, workload.labels[key] ?? ""]));
    const selectsOther = others.some((other) => keys.every((key) => other.labels[key] === labels[key]));
    if (keys.length > 0 && !selectsOther) return labels;
  }
  return undefined;
}

const WORKLOADS = new WeakMap<Mesh, ReadonlyMap<string, readonly Workload[]>>();

function workloadsIn(mesh: Mesh): ReadonlyMap<string, readonly Workload[]> {
  const known = WORKLOADS.get(mesh) ?? Map.groupBy(mesh.workloads, ({ namespace }) => namespace);
  WORKLOADS.set(mesh, known);
  return known;
}
