/** On which nodes workloads run, as far as files tell: `nodeName`, a selector that one node alone meets, DaemonSets. */

import type { Labels, Mesh, Workload } from "../../model/mesh.ts";
import { Owners } from "../../model/owners.ts";
import { matchesLabels } from "../../model/selector.ts";
import { podOf } from "../../model/written-pod.ts";

/** Where a workload's pods are. `nodes` empty and `isKnown` false: no file tells. */
export interface Place {
  readonly nodes: readonly string[];
  /** False: it may be on other nodes besides. */
  readonly isKnown: boolean;
}

const UNKNOWN: Place = { nodes: [], isKnown: false };
const NO_POD: Place = { nodes: [], isKnown: true };
const HOSTNAME = "kubernetes.io/hostname";

export class NodePlacement {
  /** Nodes that files have, or that pods name; sorted. */
  readonly names: readonly string[];
  readonly #labels = new Map<string, Labels>();
  /** Files have Node objects: then these are all there are. Where pods only name a node there may be others. */
  readonly #hasNodes: boolean;
  readonly #places = new Map<Workload, Place>();
  readonly #byNode = new Map<string, Workload[]>();

  constructor(mesh: Mesh) {
    const named = namedNodes(mesh);
    for (const { kind, apiVersion, name, labels } of mesh.resources)
      if (kind === "Node" && apiVersion === "v1") this.#labels.set(name, { [HOSTNAME]: name, ...labels });
    this.#hasNodes = this.#labels.size > 0;
    for (const nodes of named.values())
      for (const node of nodes) if (!this.#labels.has(node)) this.#labels.set(node, { [HOSTNAME]: node });
    this.names = [...this.#labels.keys()].sort();
    for (const workload of mesh.workloads) {
      const place = this.#find(workload, named.get(workload.resource) ?? []);
      this.#places.set(workload, place);
      for (const node of place.nodes) {
        const there = this.#byNode.get(node);
        if (there === undefined) this.#byNode.set(node, [workload]);
        else there.push(workload);
      }
    }
  }

  of(workload: Workload): Place {
    return this.#places.get(workload) ?? UNKNOWN;
  }

  /** Workloads that have a pod there for certain. */
  on(node: string): readonly Workload[] {
    return this.#byNode.get(node) ?? [];
  }

  #find(workload: Workload, named: readonly string[]): Place {
    const written = podOf(workload.resource);
    if (written === undefined) return NO_POD;
    const { nodeName, nodeSelector } = (written.pod.spec ?? {}) as {
      readonly nodeName?: unknown;
      readonly nodeSelector?: Labels | null;
    };
    if (typeof nodeName === "string" && nodeName !== "") return { nodes: [nodeName], isKnown: true };
    if (named.length > 0) return { nodes: named, isKnown: true };
    const fitting = this.names.filter((name) =>
      matchesLabels(nodeSelector ?? {}, this.#labels.get(name) ?? {}),
    );
    if (workload.kind === "DaemonSet") return { nodes: fitting, isKnown: true };
    const host = nodeSelector?.[HOSTNAME];
    if (host !== undefined) return { nodes: [host], isKnown: true };
    return fitting.length === 1 && this.#hasNodes ? { nodes: fitting, isKnown: true } : UNKNOWN;
  }
}

/** The nodes that pods name, by the resource that the workload is made of. */
function namedNodes({ resources }: Mesh): ReadonlyMap<Workload["resource"], readonly string[]> {
  const pods = resources.filter(({ kind, apiVersion }) => kind === "Pod" && apiVersion === "v1");
  const found = new Map<Workload["resource"], string[]>();
  const owners = pods.length === 0 ? undefined : new Owners(resources);
  for (const pod of pods) {
    const { nodeName } = (pod.spec ?? {}) as { readonly nodeName?: unknown };
    if (typeof nodeName !== "string" || nodeName === "" || owners === undefined) continue;
    const owner = owners.topOwner(pod);
    const nodes = found.get(owner) ?? [];
    if (!nodes.includes(nodeName)) found.set(owner, [...nodes, nodeName]);
  }
  for (const resource of resources) {
    const nodeName = (podOf(resource)?.pod.spec as { readonly nodeName?: unknown } | undefined)?.nodeName;
    if (typeof nodeName === "string" && nodeName !== "" && !found.has(resource))
      found.set(resource, [nodeName]);
  }
  return found;
}
