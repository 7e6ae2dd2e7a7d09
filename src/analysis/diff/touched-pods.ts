/** Which pods a change of network policies, or of pods themselves, bears on. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { type NetworkPod, networkPod } from "../../policy/network/network-pod.ts";
import { type NetworkPolicies, networkPolicies } from "../../policy/network/network-policies.ts";
import { SelectorIndex } from "../../policy/network/selector-index.ts";
import type { Resource } from "../../resources/resource.ts";
import { type Cause, causeAt, changedResources } from "./causes.ts";

/** Pods of both meshes, in one order. */
export interface CommonPods {
  readonly keys: readonly string[];
  readonly before: readonly NetworkPod[];
  readonly after: readonly NetworkPod[];
  /** Of the new mesh. */
  readonly workloads: readonly Workload[];
}

/** A workload that is new, or gone, has no access that changed. */
export function commonPods(before: Mesh, after: Mesh): CommonPods {
  const keyOf = ({ key, kind }: Workload): string => `${key}[${kind}]`;
  const old = new Map(before.workloads.filter(isPod).map((workload) => [keyOf(workload), workload]));
  const common = after.workloads.filter(isPod).flatMap((workload) => {
    const known = old.get(keyOf(workload));
    old.delete(keyOf(workload));
    return known === undefined ? [] : [{ known, workload }];
  });
  return {
    keys: common.map(({ workload }) => workload.key),
    before: common.map(({ known }) => networkPod(before, known)),
    after: common.map(({ workload }) => networkPod(after, workload)),
    workloads: common.map(({ workload }) => workload),
  };
}

function isPod({ kind }: Workload): boolean {
  return kind !== "WorkloadEntry";
}

export interface PodCause {
  readonly cause: Cause;
  /** Whether it bears on what the pod may reach, and on who may reach it. */
  readonly asSource: boolean;
  readonly asDestination: boolean;
}

/** Pods that the change bears on: any other two are treated as before. */
export class TouchedPods {
  readonly #causes = new Map<number, PodCause[]>();

  constructor(before: Mesh, after: Mesh, sides: CommonPods) {
    for (const [mesh, pods] of [
      [before, sides.before],
      [after, sides.after],
    ] as const)
      this.#notePolicies(mesh, pods, changedPolicies(before, after));
    for (const [at, workload] of sides.workloads.entries()) {
      const cause = ownChange(before, after, sides, at, workload);
      if (cause !== undefined) this.#note(at, { cause, asSource: true, asDestination: true });
    }
  }

  get isNothing(): boolean {
    return this.#causes.size === 0;
  }

  of(at: number): readonly PodCause[] {
    return this.#causes.get(at) ?? [];
  }

  #notePolicies(mesh: Mesh, pods: readonly NetworkPod[], changed: ReadonlyMap<string, Cause>): void {
    const { admin, policies, baseline } = networkPolicies(mesh);
    const index = new SelectorIndex(pods);
    for (const { name, subject, ingress, egress } of [...admin, ...policies, ...baseline]) {
      const cause = changed.get(name);
      if (cause === undefined) continue;
      const noted = { cause, asSource: egress !== null, asDestination: ingress !== null };
      for (const at of index.select(subject.namespaces, subject.pods)) this.#note(at, noted);
    }
  }

  #note(at: number, noted: PodCause): void {
    const own = this.#causes.get(at);
    if (own === undefined) this.#causes.set(at, [noted]);
    else own.push(noted);
  }
}

function changedPolicies(before: Mesh, after: Mesh): ReadonlyMap<string, Cause> {
  const changed = changedResources(resourcesOf(networkPolicies(before)), resourcesOf(networkPolicies(after)));
  return new Map(changed.map((cause) => [cause.resource, cause]));
}

function resourcesOf({ admin, policies, baseline }: NetworkPolicies): readonly Resource[] {
  return [...admin, ...policies, ...baseline].map(({ resource }) => resource);
}

/** Other labels, ports or labels of its namespace: policies may see another pod in it. */
function ownChange(
  before: Mesh,
  after: Mesh,
  sides: CommonPods,
  at: number,
  { resource, namespace }: Workload,
): Cause | undefined {
  const text = (pod: NetworkPod | undefined): string =>
    JSON.stringify([sortedEntries(pod?.labels), pod?.ports, pod?.addresses, pod?.hostNetwork]);
  if (text(sides.before[at]) !== text(sides.after[at])) return causeAt(resource, "changed");
  const [old, now] = [before, after].map((mesh) => sortedEntries(mesh.namespaces.get(namespace)?.labels));
  if (JSON.stringify(old) === JSON.stringify(now)) return undefined;
  const declared = [after, before]
    .flatMap(({ resources }) => resources)
    .find(({ kind, name }) => kind === "Namespace" && name === namespace);
  return causeAt(declared ?? resource, "changed");
}

function sortedEntries(
  labels: Readonly<Record<string, string>> = {},
): readonly (readonly [string, string])[] {
  return Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
}
