/** NetworkPolicies that let everything through: rules of all policies of a pod are joined, so that one such rule undoes all others. */
import { type Fields, fieldsOf, itemsOf, listOf, textOf } from "./written.ts";

export type Direction = "ingress" | "egress";

/** Without `policyTypes` a policy is for ingress, and for egress where it has rules for that (Kubernetes' NetworkPolicySpec). */
export function isForDirection(spec: unknown, direction: Direction): boolean {
  const { policyTypes, egress } = fieldsOf(spec);
  if (policyTypes === undefined) return direction === "ingress" || egress !== undefined;
  return listOf(policyTypes).includes(direction === "ingress" ? "Ingress" : "Egress");
}

/** The index of a rule by which everything passes: without peers, or with all addresses among them, and without ports. */
export function openRuleOf(spec: unknown, direction: Direction): number | undefined {
  if (!isForDirection(spec, direction)) return undefined;
  return [...itemsOf(fieldsOf(spec)[direction])].find(([, rule]) => isOpen(rule, direction))?.[0];
}

function isOpen(rule: Fields, direction: Direction): boolean {
  const peers = [...itemsOf(rule[direction === "ingress" ? "from" : "to"])];
  const isForEverybody = peers.length === 0 || peers.some(([, peer]) => isEveryAddress(peer));
  return isForEverybody && listOf(rule.ports).length === 0;
}

function isEveryAddress({ ipBlock }: Fields): boolean {
  const { cidr, except } = fieldsOf(ipBlock);
  return /\/0+$/.test(textOf(cidr)) && listOf(except).length === 0;
}
