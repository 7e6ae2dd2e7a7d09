/**
 * NetworkPolicies (networking.k8s.io/v1) and the admin policies of the network policy API (policy.networking.k8s.io/v1alpha1), compiled.
 * Three tiers are asked in turn, for each direction by itself: AdminNetworkPolicies by priority, the first rule that matches decides or
 * passes; NetworkPolicies, which isolate the pods that they select and add up; the BaselineAdminNetworkPolicy.
 */
import type { Mesh } from "../../model/mesh.ts";
import { byAge, type Resource, resourceName } from "../../resources/resource.ts";
import { apiGroup } from "../../resources/scope.ts";
import { type AddressRange, cidrRange, subtractRanges } from "./address-range.ts";
import type { NetworkProtocol } from "./connection-set.ts";
import { compileLabelSelector, type LabelMatcher } from "./label-matcher.ts";

export type NetworkAction = "Allow" | "Deny" | "Pass";
export type NetworkTier = "admin" | "policy" | "baseline";
export type NetworkDirection = "ingress" | "egress";

/** By name, or by labels. */
export type NamespaceScope = { readonly name: string } | { readonly labels: LabelMatcher };

/** Pods of namespaces; pods of nodes' networks (which no manifest tells) and addresses besides. */
export type NetworkPeer =
  | { readonly kind: "pods"; readonly namespaces: NamespaceScope; readonly pods: LabelMatcher }
  | { readonly kind: "addresses"; readonly ranges: readonly AddressRange[]; readonly text: string }
  | { readonly kind: "nodes"; readonly nodes: LabelMatcher };

/** Without `protocol` a name means the container's port of that name, whatever it speaks. */
export type NetworkPort =
  | { readonly protocol: NetworkProtocol; readonly first: number; readonly last: number }
  | { readonly name: string; readonly protocol?: NetworkProtocol };

export interface NetworkRule {
  /** In the policy's list. */
  readonly index: number;
  readonly name?: string;
  readonly action: NetworkAction;
  /** Null: anybody, outside included. */
  readonly peers: readonly NetworkPeer[] | null;
  /** Null: all ports of all protocols. */
  readonly ports: readonly NetworkPort[] | null;
}

export interface NetworkPolicy {
  /** `NetworkPolicy finance/default-deny` */
  readonly name: string;
  readonly tier: NetworkTier;
  /** Of the admin tier; lower comes first. */
  readonly priority: number;
  readonly subject: { readonly namespaces: NamespaceScope; readonly pods: LabelMatcher };
  /** Null: it says nothing about the direction. A NetworkPolicy without rules there lets nothing through. */
  readonly ingress: readonly NetworkRule[] | null;
  readonly egress: readonly NetworkRule[] | null;
  /** Every range of addresses that stands in its rules, also where `policyTypes` leaves their direction out. */
  readonly ranges: Readonly<Record<NetworkDirection, readonly AddressRange[]>>;
  readonly resource: Resource;
}

export interface NetworkPolicies {
  /** By priority, then name. */
  readonly admin: readonly NetworkPolicy[];
  readonly policies: readonly NetworkPolicy[];
  /** One at most: validation wants the name `default`. */
  readonly baseline: readonly NetworkPolicy[];
}

const GROUPS: Readonly<Record<string, string>> = {
  NetworkPolicy: "networking.k8s.io",
  AdminNetworkPolicy: "policy.networking.k8s.io",
  BaselineAdminNetworkPolicy: "policy.networking.k8s.io",
};

export function isNetworkPolicy({ apiVersion, kind }: { apiVersion: string; kind: string }): boolean {
  return Object.hasOwn(GROUPS, kind) && GROUPS[kind] === apiGroup(apiVersion);
}

/** @param resources validated: what is none of the three kinds is passed over. */
export function compileNetworkPolicies(resources: readonly Resource[]): NetworkPolicies {
  const own = resources.filter(isNetworkPolicy).sort(byAge);
  const ofKind = (kind: string): Resource[] => own.filter((resource) => resource.kind === kind);
  return {
    admin: ofKind("AdminNetworkPolicy")
      .map((resource) => compileAdminPolicy(resource, "admin"))
      .sort((a, b) => a.priority - b.priority || (a.name < b.name ? -1 : 1)),
    policies: ofKind("NetworkPolicy").map(compilePolicy),
    baseline: ofKind("BaselineAdminNetworkPolicy").map((resource) =>
      compileAdminPolicy(resource, "baseline"),
    ),
  };
}

const COMPILED = new WeakMap<Mesh, NetworkPolicies>();

/** Those of a mesh, compiled when they are first asked for. */
export function networkPolicies(mesh: Mesh): NetworkPolicies {
  let policies = COMPILED.get(mesh);
  if (policies === undefined) {
    policies = compileNetworkPolicies(mesh.resources);
    COMPILED.set(mesh, policies);
  }
  return policies;
}

/** Every selector of pods in them, once. */
export function podMatchers({ admin, policies, baseline }: NetworkPolicies): readonly LabelMatcher[] {
  const matchers = new Map<string, LabelMatcher>();
  for (const { subject, ingress, egress } of [...admin, ...policies, ...baseline]) {
    matchers.set(subject.pods.text, subject.pods);
    for (const { peers } of [...(ingress ?? []), ...(egress ?? [])])
      for (const peer of peers ?? []) if (peer.kind === "pods") matchers.set(peer.pods.text, peer.pods);
  }
  return [...matchers.values()];
}

export function hasNetworkPolicies({ admin, policies, baseline }: NetworkPolicies): boolean {
  return admin.length + policies.length + baseline.length > 0;
}

type Json = Readonly<Record<string, unknown>>;

function compilePolicy(resource: Resource): NetworkPolicy {
  const spec = resource.spec as Json;
  const types = spec.policyTypes as readonly string[] | undefined;
  const hasTypes = types !== undefined && types.length > 0;
  const egress = (spec.egress ?? []) as readonly Json[];
  // Where no types are written, a policy is about ingress always, and about egress if it has rules for it.
  const isFor = (type: string, otherwise: boolean): boolean => (hasTypes ? types.includes(type) : otherwise);
  const rules = (list: unknown, peers: string): NetworkRule[] =>
    ((list ?? []) as readonly Json[]).map((rule, index) => ({
      index,
      action: "Allow",
      peers: policyPeers(rule[peers], resource.namespace),
      ports: policyPorts(rule.ports),
    }));
  const [from, to] = [rules(spec.ingress, "from"), rules(egress, "to")];
  return {
    name: resourceName(resource),
    tier: "policy",
    priority: 0,
    subject: { namespaces: { name: resource.namespace }, pods: compileLabelSelector(spec.podSelector) },
    ingress: isFor("Ingress", true) ? from : null,
    egress: isFor("Egress", egress.length > 0) ? to : null,
    ranges: { ingress: rangesOf(from), egress: rangesOf(to) },
    resource,
  };
}

function rangesOf(rules: readonly NetworkRule[] | null): readonly AddressRange[] {
  return (rules ?? []).flatMap(({ peers }) =>
    (peers ?? []).flatMap((peer) => (peer.kind === "addresses" ? peer.ranges : [])),
  );
}

/** An empty list is none: anybody. */
function policyPeers(peers: unknown, namespace: string): readonly NetworkPeer[] | null {
  const list = (peers ?? []) as readonly Json[];
  if (list.length === 0) return null;
  return list.map(({ ipBlock, namespaceSelector, podSelector }): NetworkPeer => {
    if (ipBlock !== undefined) return addressesPeer(ipBlock as Json);
    return {
      kind: "pods",
      // Absent means the policy's own namespace; empty means every namespace.
      namespaces:
        namespaceSelector === undefined
          ? { name: namespace }
          : { labels: compileLabelSelector(namespaceSelector) },
      pods: compileLabelSelector(podSelector),
    };
  });
}

function addressesPeer({ cidr, except }: Json): NetworkPeer {
  const excepted = (except ?? []) as readonly string[];
  const ranges = subtractRanges(cidrRange(String(cidr)), excepted.map(cidrRange));
  const text = excepted.length === 0 ? String(cidr) : `${cidr} except ${excepted.join(", ")}`;
  return { kind: "addresses", ranges, text };
}

const EVERY_PROTOCOL_PORT = { first: 1, last: 65_535 } as const;

function policyPorts(ports: unknown): readonly NetworkPort[] | null {
  const list = (ports ?? []) as readonly Json[];
  if (list.length === 0) return null;
  return list.map((entry): NetworkPort => {
    const protocol = (entry.protocol ?? "TCP") as NetworkProtocol;
    const { port, endPort } = entry;
    if (port === undefined) return { protocol, ...EVERY_PROTOCOL_PORT };
    if (typeof port === "string") return { protocol, name: port };
    return { protocol, first: Number(port), last: Number(endPort ?? port) };
  });
}

function compileAdminPolicy(resource: Resource, tier: "admin" | "baseline"): NetworkPolicy {
  const spec = resource.spec as Json;
  const subject = podsPeer(spec.subject as Json);
  const rules = (list: unknown, peers: string): NetworkRule[] | null => {
    const own = (list ?? []) as readonly Json[];
    return own.length === 0 ? null : own.map((rule, index) => adminRule(rule, index, peers));
  };
  const [from, to] = [rules(spec.ingress, "from"), rules(spec.egress, "to")];
  return {
    name: resourceName(resource),
    tier,
    priority: tier === "admin" ? Number(spec.priority) : 0,
    subject: { namespaces: subject.namespaces, pods: subject.pods },
    ingress: from,
    egress: to,
    ranges: { ingress: rangesOf(from), egress: rangesOf(to) },
    resource,
  };
}

function adminRule(rule: Json, index: number, peers: string): NetworkRule {
  const { name, action, ports } = rule;
  return {
    index,
    ...(name === undefined ? {} : { name: String(name) }),
    action: action as NetworkAction,
    peers: ((rule[peers] ?? []) as readonly Json[]).flatMap(adminPeers),
    ports: adminPorts(ports),
  };
}

function adminPeers(peer: Json): readonly NetworkPeer[] {
  if (peer.networks !== undefined)
    return (peer.networks as readonly string[]).map((text) => ({
      kind: "addresses",
      ranges: [cidrRange(text)],
      text,
    }));
  if (peer.nodes !== undefined) return [{ kind: "nodes", nodes: compileLabelSelector(peer.nodes) }];
  return [podsPeer(peer)];
}

function podsPeer({ namespaces, pods }: Json): Extract<NetworkPeer, { kind: "pods" }> {
  if (pods === undefined)
    return {
      kind: "pods",
      namespaces: { labels: compileLabelSelector(namespaces) },
      pods: compileLabelSelector({}),
    };
  const { namespaceSelector, podSelector } = pods as Json;
  return {
    kind: "pods",
    namespaces: { labels: compileLabelSelector(namespaceSelector) },
    pods: compileLabelSelector(podSelector),
  };
}

function adminPorts(ports: unknown): readonly NetworkPort[] | null {
  const list = (ports ?? []) as readonly Json[];
  if (list.length === 0) return null;
  return list.map(({ portNumber, portRange, namedPort }): NetworkPort => {
    if (namedPort !== undefined) return { name: String(namedPort) };
    const { port, start, end, protocol } = (portNumber ?? portRange) as Json;
    return {
      protocol: (protocol ?? "TCP") as NetworkProtocol,
      first: Number(port ?? start),
      last: Number(port ?? end),
    };
  });
}
