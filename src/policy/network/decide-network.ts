/** May this connection be made, as far as network policies have a say? One direction at a time, each at its own pod. */
import { type AddressFamily, type AddressRange, addressRange, liesIn } from "./address-range.ts";
import { ConnectionAlgebra, hasConnection, type NetworkProtocol } from "./connection-set.ts";
import { addressIn, connectionsOf, type NetworkPod, selects } from "./network-pod.ts";
import type {
  NetworkDirection,
  NetworkPeer,
  NetworkPolicies,
  NetworkPolicy,
  NetworkRule,
} from "./network-policies.ts";

/** The other side: a pod, an address that is no pod's (absent where it is not known), or somebody of whom not even that is known. */
export type NetworkEnd =
  | { readonly pod: NetworkPod }
  | { readonly address?: string }
  | { readonly anybody: true };

/** The connection as it really is on the wire, after a Service's address was replaced by a pod's. */
export interface NetworkQuestion {
  readonly direction: NetworkDirection;
  /** Whose policies are asked: the destination's for `ingress`, the source's for `egress`. */
  readonly subject: NetworkPod;
  readonly other: NetworkEnd;
  readonly protocol: NetworkProtocol;
  readonly port: number;
  /** By which address another pod is met: blocks of addresses tell families apart. Absent: by its first. */
  readonly family?: AddressFamily;
}

export type NetworkCause =
  | "not-isolated"
  | "network-rule"
  | "network-isolated"
  | "admin-allow"
  | "admin-deny"
  | "baseline-allow"
  | "baseline-deny"
  | "address-unknown"
  | "source-unknown"
  | "host-network-unknown";

export interface NetworkVerdict {
  readonly outcome: "allow" | "deny" | "unknown";
  readonly cause: NetworkCause;
  /** The policy and rule that decided; null where none did, and where a pod is isolated by several. */
  readonly policy: NetworkPolicy | null;
  readonly rule: NetworkRule | null;
}

/** Whether a rule's peer is the other side. `maybe`: it hangs on what no file tells. */
export type PeerMatch = "yes" | "no" | "maybe";

export function decideNetwork(policies: NetworkPolicies, question: NetworkQuestion): NetworkVerdict {
  const selecting = selectingPolicies(policies, question);
  const verdict = decideTiers(selecting, question);
  // Kubernetes leaves open whether policies hold for pods on the host's network: only what both readings say is said.
  if (question.subject.hostNetwork && verdict.outcome !== "allow")
    return { outcome: "unknown", cause: "host-network-unknown", policy: verdict.policy, rule: verdict.rule };
  return verdict;
}

/** The policies that select the pod for the direction, in their tiers' order. */
export function selectingPolicies(
  { admin, policies, baseline }: NetworkPolicies,
  { subject, direction }: Pick<NetworkQuestion, "subject" | "direction">,
): readonly NetworkPolicy[] {
  return [...admin, ...policies, ...baseline].filter(
    (policy) => policy[direction] !== null && selects(policy.subject, subject),
  );
}

function decideTiers(selecting: readonly NetworkPolicy[], question: NetworkQuestion): NetworkVerdict {
  const ofTier = (tier: NetworkPolicy["tier"]): readonly NetworkPolicy[] =>
    selecting.filter((policy) => policy.tier === tier);
  const own = ofTier("policy");
  const below = (): NetworkVerdict =>
    own.length > 0
      ? decideUnion(own, question)
      : decideInOrder(ofTier("baseline"), question, () => decided("allow", "not-isolated", null, null));
  return decideInOrder(ofTier("admin"), question, below);
}

/** The first rule that matches decides, or passes to what is below. */
function decideInOrder(
  policies: readonly NetworkPolicy[],
  question: NetworkQuestion,
  below: () => NetworkVerdict,
): NetworkVerdict {
  const maybe: NetworkVerdict[] = [];
  for (const policy of policies) {
    for (const rule of policy[question.direction] ?? []) {
      if (!hasPort(rule, question)) continue;
      const match = matchesPeers(rule, question);
      if (match === "no") continue;
      const verdict = rule.action === "Pass" ? below() : byRule(policy, rule);
      if (match === "yes") return agreed(maybe, verdict, question);
      maybe.push(verdict);
    }
  }
  return agreed(maybe, below(), question);
}

function byRule(policy: NetworkPolicy, rule: NetworkRule): NetworkVerdict {
  const isAdmin = policy.tier === "admin";
  return rule.action === "Allow"
    ? decided("allow", isAdmin ? "admin-allow" : "baseline-allow", policy, rule)
    : decided("deny", isAdmin ? "admin-deny" : "baseline-deny", policy, rule);
}

/** Whatever the rules that may match come to, the answer has to be the same. */
function agreed(
  maybe: readonly NetworkVerdict[],
  verdict: NetworkVerdict,
  { other }: NetworkQuestion,
): NetworkVerdict {
  const odd = maybe.find(({ outcome }) => outcome !== verdict.outcome);
  return odd === undefined ? verdict : { ...odd, outcome: "unknown", cause: unknownCause(other) };
}

/** Isolated pods take what any rule of any of their policies takes. */
function decideUnion(policies: readonly NetworkPolicy[], question: NetworkQuestion): NetworkVerdict {
  let maybe: NetworkVerdict | undefined;
  for (const policy of policies) {
    for (const rule of policy[question.direction] ?? []) {
      if (!hasPort(rule, question)) continue;
      const match = matchesPeers(rule, question);
      if (match === "yes") return decided("allow", "network-rule", policy, rule);
      if (match === "maybe") maybe ??= decided("unknown", unknownCause(question.other), policy, rule);
    }
  }
  const [only] = policies;
  return maybe ?? decided("deny", "network-isolated", policies.length === 1 ? (only ?? null) : null, null);
}

function unknownCause(other: NetworkEnd): NetworkCause {
  if ("anybody" in other) return "source-unknown";
  return "pod" in other && other.pod.hostNetwork ? "host-network-unknown" : "address-unknown";
}

const ALGEBRA = new ConnectionAlgebra();

/** Names stand for the ports of the pod that is connected to. */
export function hasPort(
  { ports }: NetworkRule,
  { direction, subject, other, protocol, port }: NetworkQuestion,
): boolean {
  const target = direction === "ingress" ? subject : "pod" in other ? other.pod : undefined;
  return hasConnection(connectionsOf(ALGEBRA, ports, target), protocol, port);
}

export function matchesPeers(
  { peers }: NetworkRule,
  { other, family }: Pick<NetworkQuestion, "other" | "family">,
): PeerMatch {
  if (peers === null) return "yes";
  if ("anybody" in other) return "maybe";
  let result: PeerMatch = "no";
  for (const peer of peers) {
    const match = matchesPeer(peer, other, family);
    if (match === "yes") return "yes";
    if (match === "maybe") result = "maybe";
  }
  return result;
}

function matchesPeer(
  peer: NetworkPeer,
  other: Exclude<NetworkEnd, { anybody: true }>,
  family: AddressFamily | undefined,
): PeerMatch {
  const pod = "pod" in other ? other.pod : undefined;
  switch (peer.kind) {
    case "pods":
      if (pod === undefined || !selects(peer, pod)) return "no";
      // Plugins that cannot tell them from their node do not know their labels.
      return pod.hostNetwork ? "maybe" : "yes";
    case "addresses":
      return matchesAddresses(
        peer.ranges,
        "pod" in other ? addressIn(other.pod, family) : other.address,
        family ?? 4,
      );
    case "nodes":
      return pod?.hostNetwork === true || ("address" in other && other.address !== undefined)
        ? "maybe"
        : "no";
  }
}

/** An address that is not known is taken to be some address of the family. */
function matchesAddresses(
  ranges: readonly AddressRange[],
  text: string | undefined,
  family: AddressFamily,
): PeerMatch {
  const address = text === undefined ? undefined : addressRange(text);
  if (address !== undefined) return liesIn(address, ranges) ? "yes" : "no";
  const own = ranges.filter((range) => range.family === family);
  if (own.length === 0) return "no";
  const last = family === 4 ? 0xffff_ffffn : 2n ** 128n - 1n;
  return own.some((range) => range.first === 0n && range.last === last) ? "yes" : "maybe";
}

function decided(
  outcome: NetworkVerdict["outcome"],
  cause: NetworkCause,
  policy: NetworkPolicy | null,
  rule: NetworkRule | null,
): NetworkVerdict {
  return { outcome, cause, policy, rule };
}
