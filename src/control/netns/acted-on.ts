import type { Diagnostic } from "../../resources/diagnostic.ts";

const KINDS = ["NetworkPolicy ", "AdminNetworkPolicy ", "BaselineAdminNetworkPolicy "];

/** What stays without effect where pods are network namespaces: network policies are enforced there. */
export function withoutNetworkPolicies(notActedOn: readonly Diagnostic[]): readonly Diagnostic[] {
  return notActedOn.filter(({ resource = "" }) => !KINDS.some((kind) => resource.startsWith(kind)));
}
