import type { Mesh, Workload } from "../model/mesh.ts";
import { podKey, type SkippedWorkload } from "./assignment.ts";

/** One replica to run. */
export interface WantedPod {
  readonly workload: Workload;
  readonly name: string;
  readonly replica: number;
}

/** As Istio's charts name it. */
const OWN_ZTUNNEL = "istio-system/ztunnel";

const RUN_KINDS: ReadonlySet<string> = new Set([
  "Deployment",
  "ReplicaSet",
  "ReplicationController",
  "StatefulSet",
  "DaemonSet",
  "Rollout",
  "CloneSet",
  "DeploymentConfig",
  "Pod",
  "WorkloadEntry",
]);

/**
 * Every replica to run, under names that are unique in their namespace, and the workloads that are left out.
 * @param runs.ambient whether ztunnels and waypoints can be.
 */
export function wantedPods(
  mesh: Mesh,
  runs: { readonly ambient: boolean },
): { wanted: WantedPod[]; skipped: SkippedWorkload[] } {
  const wanted: WantedPod[] = [];
  const skipped: SkippedWorkload[] = [];
  const keys = new Set<string>();
  const names = new Set<string>();
  for (const workload of mesh.workloads) {
    const why = keys.has(workload.key)
      ? "another workload of this name runs already"
      : whyNotRun(workload, runs.ambient);
    if (why !== undefined) {
      skipped.push({ workload: workload.key, kind: workload.kind, why });
      continue;
    }
    keys.add(workload.key);
    for (let replica = 0; replica < replicasOf(workload); replica++) {
      const name = uniqueName(workload, replica, names);
      names.add(podKey({ namespace: workload.namespace, name }));
      wanted.push({ workload, name, replica });
    }
  }
  return { wanted, skipped };
}

function whyNotRun(workload: Workload, runsAmbient: boolean): string | undefined {
  if (!RUN_KINDS.has(workload.kind)) return `a ${workload.kind} is not run`;
  if (workload.role === "waypoint" && !runsAmbient)
    return "waypoints need pods as network namespaces: --substrate netns";
  if (workload.kind === "DaemonSet" && workload.key === OWN_ZTUNNEL)
    return "each node with ambient pods gets a ztunnel by itself";
  return undefined;
}

function replicasOf(workload: Workload): number {
  return workload.kind === "DaemonSet" ? 1 : Math.max(0, Math.floor(workload.replicas));
}

/** A pod or WorkloadEntry is called by its own name; a replica `<workload>-<n>`, as a StatefulSet calls its pods. */
function uniqueName(workload: Workload, replica: number, taken: ReadonlySet<string>): string {
  const single = workload.kind === "Pod" || workload.kind === "WorkloadEntry";
  const plain = single ? workload.name : `${workload.name}-${replica}`;
  const isTaken = (name: string) => taken.has(podKey({ namespace: workload.namespace, name }));
  return isTaken(plain) ? `${workload.name}-${workload.kind.toLowerCase()}-${replica}` : plain;
}
