/** Which AuthorizationPolicies and RequestAuthentications a sidecar carries out. */
import type { Labels, Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import type { Resource } from "../../resources/resource.ts";

interface Scoped {
  readonly selector?: { readonly matchLabels?: Labels };
  readonly targetRef?: unknown;
  readonly targetRefs?: readonly unknown[];
}

/** Those of its own namespace, then those of the root namespace, whose selector fits. `targetRefs` are for gateways and waypoints. */
export function policiesFor(mesh: Mesh, workload: Workload, policies: readonly Resource[]): Resource[] {
  const namespaces = new Set([workload.namespace, mesh.config.rootNamespace]);
  return [...namespaces].flatMap((namespace) =>
    policies.filter((policy) => {
      const { selector, targetRef, targetRefs = [] } = (policy.spec ?? {}) as Scoped;
      if (policy.namespace !== namespace || targetRef !== undefined || targetRefs.length > 0) return false;
      return matchesLabels(selector?.matchLabels ?? {}, workload.labels);
    }),
  );
}
