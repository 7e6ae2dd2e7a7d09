/** Why another proxy stands before a workload than did, or none. */
import type { Mesh, Workload } from "../../../model/mesh.ts";
import type { Resource } from "../../../resources/resource.ts";
import { type Cause, changedResources } from "../causes.ts";

/** Kinds that say which pods get a proxy, beside the pods' own. */
const MOVING: ReadonlySet<string> = new Set(["ConfigMap", "IstioOperator", "Namespace"]);

/** The workload's own resource, its namespace, and what the mesh says of injection: what of them has changed. */
export function movingCauses(
  meshes: readonly [before: Mesh, after: Mesh],
  workloads: readonly [before: Workload, after: Workload],
): readonly Cause[] {
  const { namespace: own } = workloads[0];
  const beside = ({ resources, config }: Mesh): readonly Resource[] =>
    resources.filter(
      ({ kind, name, namespace }) =>
        MOVING.has(kind) && (kind === "Namespace" ? name === own : namespace === config.rootNamespace),
    );
  return [
    ...changedResources([workloads[0].resource], [workloads[1].resource]),
    ...changedResources(beside(meshes[0]), beside(meshes[1])),
  ];
}
