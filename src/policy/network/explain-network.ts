/** Network policies' decisions in words: which policies select the pod, which rule matched, and which came nearest. */

import { ConnectionAlgebra } from "./connection-set.ts";
import {
  hasPort,
  matchesPeers,
  type NetworkQuestion,
  type NetworkVerdict,
  selectingPolicies,
} from "./decide-network.ts";
import type {
  NetworkPeer,
  NetworkPolicies,
  NetworkPolicy,
  NetworkPort,
  NetworkRule,
} from "./network-policies.ts";
import { formatPorts } from "./port-set.ts";

export function explainNetwork(
  policies: NetworkPolicies,
  question: NetworkQuestion,
  verdict: NetworkVerdict,
): readonly string[] {
  const { direction, subject, protocol, port } = question;
  const selecting = selectingPolicies(policies, question);
  const what = `${protocol} ${port} ${direction === "ingress" ? "from" : "to"} ${otherName(question)}`;
  if (selecting.length === 0)
    return [`no network policy selects ${subject.name} for ${direction}: ${what} is not restricted`];
  const selected = `${subject.name} is selected for ${direction} by ${selecting.map(({ name }) => name).join(", ")}`;
  return [selected, ...outcomeLines(question, verdict, what), ...nearestLines(question, verdict, selecting)];
}

function outcomeLines(
  { direction, subject }: NetworkQuestion,
  { cause, policy, rule }: NetworkVerdict,
  what: string,
): readonly string[] {
  const by = policy === null ? "" : `${policy.name}${rule === null ? "" : ` ${ruleName(direction, rule)}`}`;
  switch (cause) {
    case "not-isolated":
      return [`none of them has a rule for ${what}, and no NetworkPolicy isolates the pod: allowed`];
    case "network-rule":
    case "admin-allow":
    case "baseline-allow":
      return [`${by} allows ${what}`];
    case "admin-deny":
    case "baseline-deny":
      return [`${by} denies ${what}`];
    case "network-isolated":
      return [`NetworkPolicies let in only what their rules name: no rule allows ${what}`];
    case "address-unknown":
      return [`unknown: ${by} asks for addresses, and that of the other side is not known`];
    case "source-unknown":
      return [`unknown: ${by} asks who connects, and only an identity is known (give from.workload)`];
    case "host-network-unknown":
      return [
        `unknown: Kubernetes leaves open how policies hold for pods on the host's network${by === "" ? "" : `, and ${by} decides`}`,
        `a plugin that cannot tell ${subject.name} from its node does not apply them`,
      ];
  }
}

/** Rules that want the same port of others, or another port of the same other side. */
function nearestLines(
  question: NetworkQuestion,
  { outcome, cause }: NetworkVerdict,
  selecting: readonly NetworkPolicy[],
): readonly string[] {
  if (outcome === "allow" || cause !== "network-isolated") return [];
  const { direction } = question;
  const near: string[] = [];
  for (const policy of selecting) {
    if (policy.tier !== "policy") continue;
    const rules = policy[direction] ?? [];
    if (rules.length === 0) near.push(`${policy.name} has no ${direction} rules: it lets nothing through`);
    for (const rule of rules) {
      const name = `nearest: ${policy.name} ${ruleName(direction, rule)}`;
      if (matchesPeers(rule, question) !== "no") near.push(`${name} wants ${portsText(rule.ports)}`);
      else if (hasPort(rule, question)) near.push(`${name} wants ${peersText(rule.peers)}`);
    }
  }
  return near.slice(0, 3);
}

function ruleName(direction: string, { index, name }: NetworkRule): string {
  return `${direction} rule ${index}${name === undefined || name === "" ? "" : ` (${name})`}`;
}

function otherName({ other }: NetworkQuestion): string {
  if ("pod" in other) return other.pod.name;
  if ("anybody" in other) return "somebody";
  return other.address ?? "outside";
}

const ALGEBRA = new ConnectionAlgebra();

function portsText(ports: readonly NetworkPort[] | null): string {
  if (ports === null) return ALGEBRA.all.text;
  return ports
    .map((port) =>
      "name" in port
        ? `the port named ${port.name}`
        : `${port.protocol} ${formatPorts([port.first, port.last])}`,
    )
    .join(" or ");
}

function peersText(peers: readonly NetworkPeer[] | null): string {
  return (peers ?? []).map(peerText).join(" or ");
}

function peerText(peer: NetworkPeer): string {
  switch (peer.kind) {
    case "addresses":
      return `an address in ${peer.text}`;
    case "nodes":
      return "a node";
    case "pods": {
      const { namespaces, pods } = peer;
      const own = pods.text === "" ? "any pod" : `pods with ${pods.text}`;
      if ("name" in namespaces) return `${own} of namespace ${namespaces.name}`;
      return namespaces.labels.text === ""
        ? `${own} of any namespace`
        : `${own} of namespaces with ${namespaces.labels.text}`;
    }
  }
}
