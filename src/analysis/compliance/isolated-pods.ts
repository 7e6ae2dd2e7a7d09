/** Pods that a NetworkPolicy selects, and those that none does. */
import type { AuditContext } from "../audit/audit-context.ts";
import { isSelected } from "../audit/facts/injector-webhooks.ts";
import { podsOf, SYSTEM_NAMESPACES } from "../audit/facts/pods.ts";
import { fieldsOf, textsOf } from "../audit/facts/written.ts";

export interface Isolation {
  /** `Kind namespace/name` of what no policy selects. */
  readonly open: readonly string[];
  readonly held: number;
}

/** Without `policyTypes` a policy is for ingress, and for egress where it has rules for that (Kubernetes' NetworkPolicySpec). */
export function isolatedPods(audit: AuditContext, direction: "ingress" | "egress"): Isolation {
  const isFor = ({ spec }: { readonly spec: unknown }): boolean => {
    const { policyTypes, egress } = fieldsOf(spec);
    if (policyTypes === undefined) return direction === "ingress" || egress !== undefined;
    return textsOf(policyTypes).includes(direction === "ingress" ? "Ingress" : "Egress");
  };
  const policies = Map.groupBy(
    audit.of("networking.k8s.io", "NetworkPolicy").filter(isFor),
    ({ namespace }) => namespace,
  );
  const open: string[] = [];
  let held = 0;
  for (const { resource, namespace, labels } of audit.fact(podsOf)) {
    if (SYSTEM_NAMESPACES.has(namespace)) continue;
    const isHeld = (policies.get(namespace) ?? []).some(({ spec }) =>
      isSelected(fieldsOf(spec).podSelector, labels),
    );
    if (isHeld) held += 1;
    else open.push(`${resource.kind} ${namespace}/${resource.name}`);
  }
  return { open, held };
}
