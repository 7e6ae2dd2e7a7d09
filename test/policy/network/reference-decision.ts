/**
 * Network policies read off their resources, slowly and without any of the code under test: by the prose of Kubernetes' API reference
 * (NetworkPolicySpec) and of the network policy API (AdminNetworkPolicySpec).
 */

import type { NetworkPod } from "../../../src/policy/network/network-pod.ts";
import type { NetworkPolicies } from "../../../src/policy/network/network-policies.ts";

// biome-ignore lint/suspicious/noExplicitAny: the resources' JSON is walked as it stands.
type Json = any;
type End = { readonly pod: NetworkPod } | { readonly address?: string };

export function referenceAllows(
  { admin, policies, baseline }: NetworkPolicies,
  direction: "ingress" | "egress",
  subject: NetworkPod,
  other: End,
  protocol: string,
  port: number,
): boolean {
  const target = direction === "ingress" ? subject : "pod" in other ? other.pod : undefined;
  const side = direction === "ingress" ? "from" : "to";
  const firstAction = (list: NetworkPolicies["admin"]): string | undefined => {
    for (const { resource } of list) {
      const spec = resource.spec as Json;
      if (!adminSelects(spec.subject, subject)) continue;
      for (const rule of spec[direction] ?? []) {
        const peer = rule[side].some((one: Json) => adminPeer(one, other));
        if (peer && adminPorts(rule.ports, target, protocol, port)) return rule.action;
      }
    }
    return undefined;
  };
  // "Lower priority values have higher precedence."
  const sorted = [...admin].sort(
    (a, b) => (a.resource.spec as Json).priority - (b.resource.spec as Json).priority,
  );
  const action = firstAction(sorted);
  if (action === "Allow") return true;
  if (action === "Deny") return false;
  const selecting = policies.filter(({ resource }) => {
    const spec = resource.spec as Json;
    const types = spec.policyTypes ?? ["Ingress", ...((spec.egress ?? []).length > 0 ? ["Egress"] : [])];
    const isFor = types.includes(direction === "ingress" ? "Ingress" : "Egress");
    return isFor && resource.namespace === subject.namespace && selector(spec.podSelector, subject.labels);
  });
  if (selecting.length === 0) return firstAction(baseline) !== "Deny";
  return selecting.some(({ resource }) =>
    ((resource.spec as Json)[direction] ?? []).some((rule: Json) => {
      const peers = rule[side] ?? [];
      const peer =
        peers.length === 0 || peers.some((one: Json) => policyPeer(one, resource.namespace, other));
      const ports = rule.ports ?? [];
      return (
        peer && (ports.length === 0 || ports.some((one: Json) => policyPort(one, target, protocol, port)))
      );
    }),
  );
}

function policyPort(one: Json, target: NetworkPod | undefined, protocol: string, port: number): boolean {
  if ((one.protocol ?? "TCP") !== protocol) return false;
  if (one.port === undefined) return true;
  if (typeof one.port === "string") return named(one.port, target, protocol, port);
  return port >= one.port && port <= (one.endPort ?? one.port);
}

function named(name: string, target: NetworkPod | undefined, protocol: string, port: number): boolean {
  return (target?.ports ?? []).some(
    (own) => own.name === name && own.port === port && own.protocol === protocol,
  );
}

function policyPeer(one: Json, namespace: string, other: End): boolean {
  if (one.ipBlock !== undefined)
    return (
      inBlock(one.ipBlock.cidr, other) &&
      !(one.ipBlock.except ?? []).some((own: string) => inBlock(own, other))
    );
  if (!("pod" in other)) return false;
  const inNamespace =
    one.namespaceSelector === undefined
      ? other.pod.namespace === namespace
      : selector(one.namespaceSelector, other.pod.namespaceLabels);
  return inNamespace && selector(one.podSelector ?? {}, other.pod.labels);
}

function adminSelects(one: Json, pod: NetworkPod): boolean {
  if (one.namespaces !== undefined) return selector(one.namespaces, pod.namespaceLabels);
  return (
    selector(one.pods.namespaceSelector, pod.namespaceLabels) && selector(one.pods.podSelector, pod.labels)
  );
}

function adminPeer(one: Json, other: End): boolean {
  if (one.networks !== undefined) return one.networks.some((cidr: string) => inBlock(cidr, other));
  return "pod" in other && adminSelects(one, other.pod);
}

function adminPorts(ports: Json, target: NetworkPod | undefined, protocol: string, port: number): boolean {
  if (ports === undefined) return true;
  return ports.some((one: Json) => {
    if (one.namedPort !== undefined) return named(one.namedPort, target, protocol, port);
    const { protocol: own, port: single, start = single, end = single } = one.portNumber ?? one.portRange;
    return own === protocol && port >= start && port <= end;
  });
}

function selector(
  { matchLabels = {}, matchExpressions = [] }: Json,
  labels: Readonly<Record<string, string>>,
): boolean {
  if (!Object.entries(matchLabels).every(([key, value]) => labels[key] === value)) return false;
  return matchExpressions.every(({ key, operator, values = [] }: Json) => {
    const has = key in labels;
    if (operator === "Exists") return has;
    if (operator === "DoesNotExist") return !has;
    return operator === "In" ? has && values.includes(labels[key]) : !has || !values.includes(labels[key]);
  });
}

function inBlock(cidr: string, other: End): boolean {
  const text = "pod" in other ? other.pod.addresses[0] : other.address;
  if (text === undefined || text.includes(":") !== cidr.includes(":")) return false;
  const [network = "", length = ""] = cidr.split("/");
  return bits(text).slice(0, Number(length)) === bits(network).slice(0, Number(length));
}

function bits(text: string): string {
  if (!text.includes(":"))
    return text
      .split(".")
      .map((part) => Number(part).toString(2).padStart(8, "0"))
      .join("");
  const [head = "", tail] = text.split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const last = groups(tail ?? "");
  const first = groups(head);
  const zeros = tail === undefined ? [] : new Array<string>(8 - first.length - last.length).fill("0");
  return [...first, ...zeros, ...last]
    .map((group) => Number.parseInt(group, 16).toString(2).padStart(16, "0"))
    .join("");
}
