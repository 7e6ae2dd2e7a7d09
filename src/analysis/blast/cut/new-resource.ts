/** What a resource that is not there yet is called, and whom it selects: it may neither replace one that is there nor hold for pods it is not meant for. */
import { createHash } from "node:crypto";
import type { Mesh, Workload } from "../../../model/mesh.ts";
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
  const taken = new Set(
    mesh.resources
      .filter(
        ({ apiVersion, kind, namespace }) =>
          kind === wanted.kind &&
          namespace === wanted.namespace &&
          apiGroup(apiVersion) === apiGroup(wanted.apiVersion),
      )
      .map(({ name }) => name),
  );
  for (let attempt = 0; ; attempt++) {
    const name = attempt === 0 ? wanted.name : hashed(wanted.name, attempt);
    if (name.length <= NAME_AT_MOST && !taken.has(name)) return name;
  }
}

function hashed(name: string, attempt: number): string {
  const hash = createHash("sha256").update(`${name} ${attempt}`).digest("hex").slice(0, 8);
  return `${name.slice(0, NAME_AT_MOST - 9).replace(/[^a-z0-9]+$/, "")}-${hash}`;
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
  const others = mesh.workloads.filter(
    (other) => other !== workload && (isWide || other.namespace === workload.namespace),
  );
  const lasting = LASTING.filter((key) => workload.labels[key] !== undefined);
  for (const keys of [...lasting.map((key) => [key]), lasting, Object.keys(workload.labels)]) {
    const labels = Object.fromEntries(keys.map((key) => [key, workload.labels[key] ?? ""]));
    const selectsOther = others.some((other) => keys.every((key) => other.labels[key] === labels[key]));
    if (keys.length > 0 && !selectsOther) return labels;
  }
  return undefined;
}
