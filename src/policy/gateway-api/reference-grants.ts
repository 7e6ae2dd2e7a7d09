/** Which references across namespaces their targets' namespaces allow. */
import type { Mesh } from "../../model/mesh.ts";
import type { Resource } from "../../resources/resource.ts";
import { GATEWAY_API_GROUP, type ReferenceGrantShape } from "./shapes.ts";

export interface ReferenceTarget {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** Whether a resource of the Gateway API may refer there. Within its own namespace it always may. */
export type MayRefer = (from: Resource, to: ReferenceTarget) => boolean;

/** @see https://gateway-api.sigs.k8s.io/api-types/referencegrant/ */
export function referenceGrants(mesh: Mesh): MayRefer {
  const grants = Map.groupBy(
    mesh.resources.filter(
      ({ kind, apiVersion }) => kind === "ReferenceGrant" && apiVersion.startsWith(`${GATEWAY_API_GROUP}/`),
    ),
    ({ namespace }) => namespace,
  );
  return (from, to) => {
    if (from.namespace === to.namespace) return true;
    return (grants.get(to.namespace) ?? []).some((grant) =>
      allows(grant.spec as ReferenceGrantShape, from, to),
    );
  };
}

function allows(
  { from = [], to = [] }: ReferenceGrantShape,
  source: Resource,
  target: ReferenceTarget,
): boolean {
  return (
    from.some(
      ({ group = "", kind, namespace }) =>
        group === GATEWAY_API_GROUP && kind === source.kind && namespace === source.namespace,
    ) &&
    to.some(
      ({ group = "", kind, name = "" }) =>
        group === target.group && kind === target.kind && (name === "" || name === target.name),
    )
  );
}
