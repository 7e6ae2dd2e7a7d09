/** What whoever reads a connectivity map has to know besides. */
import type { Diagnostic } from "../../resources/diagnostic.ts";
import { addressRange, liesIn } from "./address-range.ts";
import type { MapNode } from "./map-nodes.ts";
import type { NetworkPeer, NetworkPolicies, NetworkPolicy } from "./network-policies.ts";

/** Two admin policies of one priority: Kubernetes says that which of them comes first is not defined, so there is no answer. */
export function conflictingPriorities({ admin }: NetworkPolicies): Diagnostic[] {
  return admin.flatMap((policy, at) => {
    const before = admin[at - 1];
    if (before === undefined || before.priority !== policy.priority) return [];
    return [
      {
        code: "BW1520_SAME_PRIORITY",
        severity: "error",
        message: `has priority ${policy.priority}, as ${before.name} has: which of the two comes first is not defined`,
        resource: policy.name,
        span: policy.resource.locate(["spec", "priority"]),
        help: "give each AdminNetworkPolicy a priority of its own",
      } satisfies Diagnostic,
    ];
  });
}

export function mapNotes(
  policies: NetworkPolicies,
  nodes: readonly MapNode[],
  shown: { readonly ipv6: boolean; readonly blocks: "outside" | "addresses" },
): Diagnostic[] {
  return [
    ...hostNetworkNote(nodes),
    ...(shown.ipv6 ? [] : ipv6Note(policies)),
    ...(shown.blocks === "outside" ? podBlocksNote(policies, nodes) : []),
  ];
}

function hostNetworkNote(nodes: readonly MapNode[]): Diagnostic[] {
  const own = nodes.filter(({ pod }) => pod.hostNetwork).map(({ label }) => label);
  if (own.length === 0) return [];
  return [
    note(
      "BW1521_HOST_NETWORK",
      `on the host's network, where Kubernetes leaves open whether policies hold; shown as if they did: ${named(own)}`,
    ),
  ];
}

function ipv6Note(policies: NetworkPolicies): Diagnostic[] {
  const own = policiesWith(
    policies,
    (peer) => peer.kind === "addresses" && peer.ranges.some(({ family }) => family === 6),
  );
  if (own.length === 0) return [];
  return [
    note("BW1522_IPV6_LEFT_OUT", `name IPv6 addresses, of which --ipv6 shows the ranges: ${named(own)}`),
  ];
}

function podBlocksNote(policies: NetworkPolicies, nodes: readonly MapNode[]): Diagnostic[] {
  const addresses = nodes
    .flatMap(({ pod }) => pod.addresses.map(addressRange))
    .filter((own) => own !== undefined);
  const own = policiesWith(
    policies,
    (peer) => peer.kind === "addresses" && addresses.some((address) => liesIn(address, peer.ranges)),
  );
  if (own.length === 0) return [];
  return [
    note(
      "BW1523_BLOCK_HOLDS_PODS",
      `have blocks of addresses in which pods lie; they are taken for the outside alone, with --blocks addresses for these pods, too: ${named(own)}`,
    ),
  ];
}

function policiesWith(
  { admin, policies, baseline }: NetworkPolicies,
  isMeant: (peer: NetworkPeer) => boolean,
): readonly string[] {
  const hasOne = ({ ingress, egress }: NetworkPolicy): boolean =>
    [...(ingress ?? []), ...(egress ?? [])].some(({ peers }) => peers?.some(isMeant) === true);
  return [...admin, ...policies, ...baseline].filter(hasOne).map(({ name }) => name);
}

const NAMED = 5;

function named(names: readonly string[]): string {
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : "";
  return `${names.slice(0, NAMED).join(", ")}${more}`;
}

function note(code: string, message: string): Diagnostic {
  return { code, severity: "info", message };
}
