/** What two holdings yield together that neither yields by itself, whichever accounts they come from. */
import { podOf } from "../../model/written-pod.ts";
import { EVERY_NODE, EVERYWHERE, type HoldingId, kindOf, restOf } from "./component.ts";
import type { Gain, GainGraph } from "./gains.ts";

const VOLUMES: HoldingId = `volumes/${EVERYWHERE}`;
const PLACEMENT: HoldingId = `placement/${EVERYWHERE}`;

export interface JointGain extends Gain {
  readonly from: HoldingId;
}

/** @param held all that is held so far. */
export function jointGains(graph: GainGraph, held: ReadonlyMap<HoldingId, unknown>): readonly JointGain[] {
  return [...pastPodSecurity(held), ...drivenPods(graph, held)].filter(({ to }) => !held.has(to));
}

/** Pods and volumes of nodes' folders; pods and their namespace's labels, by one of which Pod Security holds. */
function pastPodSecurity(held: ReadonlyMap<HoldingId, unknown>): readonly JointGain[] {
  if (held.has(EVERY_NODE)) return [];
  const hasVolumes = held.has(VOLUMES);
  for (const id of held.keys()) {
    if (kindOf(id) !== "pods") continue;
    const labels = [`labels/${restOf(id)}`, `labels/${EVERYWHERE}`].some((own) => held.has(own));
    if (!hasVolumes && !labels) continue;
    const why = hasVolumes
      ? "a pod of the namespace claims a volume that is a folder of its node"
      : "nothing keeps privileged pods out of the namespace once its Pod Security label is changed";
    return [{ from: id, to: EVERY_NODE, why, evidence: [] }];
  }
  return [];
}

/** Who has a node, and may make all others unfit, has all pods put there that are made anew. Those of DaemonSets are there already. */
function drivenPods(graph: GainGraph, held: ReadonlyMap<HoldingId, unknown>): readonly JointGain[] {
  if (!held.has(PLACEMENT) || held.has(EVERY_NODE)) return [];
  const node = [...held.keys()].find((id) => kindOf(id) === "node");
  if (node === undefined) return [];
  return graph.mesh.workloads.filter(isMovable).flatMap((workload) =>
    graph.componentsOf(workload).map((to) => ({
      from: PLACEMENT,
      to,
      why: `its pods are driven to ${node}, which it has`,
      evidence: [{ resource: workload.resource, path: [] }],
    })),
  );
}

/** A pod by itself is not made anew; one that names its node stays there. */
function isMovable({ kind, resource }: GainGraph["mesh"]["workloads"][number]): boolean {
  if (kind === "Pod" || kind === "DaemonSet" || kind === "WorkloadEntry") return false;
  const { nodeName } = (podOf(resource)?.pod.spec ?? {}) as { readonly nodeName?: unknown };
  return nodeName === undefined || nodeName === "";
}
