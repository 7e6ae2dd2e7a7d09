/** Pods that NetworkPolicies hold, and those that none does, or that one lets everything through to. */
import type { AuditContext } from "../audit/audit-context.ts";
import { isSelected } from "../audit/facts/injector-webhooks.ts";
import { type Direction, isForDirection, openRuleOf } from "../audit/facts/network-open.ts";
import { podsOf, SYSTEM_NAMESPACES } from "../audit/facts/pods.ts";
import { fieldsOf } from "../audit/facts/written.ts";

export interface Isolation {
  /** `Kind namespace/name` of what no policy selects, or one leaves open. */
  readonly open: readonly string[];
  readonly held: number;
}

/** A pod is held where some policy is for it in the direction, and none of them lets everything through. */
export function isolatedPods(audit: AuditContext, direction: Direction): Isolation {
  const policies = Map.groupBy(
    audit.of("networking.k8s.io", "NetworkPolicy").filter(({ spec }) => isForDirection(spec, direction)),
    ({ namespace }) => namespace,
  );
  const open: string[] = [];
  let held = 0;
  for (const { resource, namespace, labels } of audit.fact(podsOf)) {
    if (SYSTEM_NAMESPACES.has(namespace)) continue;
    const own = (policies.get(namespace) ?? []).filter(({ spec }) =>
      isSelected(fieldsOf(spec).podSelector, labels),
    );
    if (own.length > 0 && own.every(({ spec }) => openRuleOf(spec, direction) === undefined)) held += 1;
    else open.push(`${resource.kind} ${namespace}/${resource.name}`);
  }
  return { open, held };
}
