/**
 * The firewall that makes egress gateways the only way out, for places where Bulwark does not stand: as NetworkPolicies for a cluster, and as nftables rules for
 * the router between a cluster and the outside.
 */
import type { Labels, Mesh, Workload } from "../../model/mesh.ts";
import { type AddressRange, addressRange, cidrRange, formatRange } from "./address-range.ts";

export interface EgressFirewall {
  readonly gateways: readonly Workload[];
  /** Ports of hosts outside that the mesh knows: what a gateway has to reach there. */
  readonly ports: readonly number[];
  /** Namespaces whose pods are kept in, sorted. */
  readonly namespaces: readonly string[];
}

/** Where Kubernetes' own parts live, which other rules are for. */
const SYSTEM_NAMESPACES: ReadonlySet<string> = new Set(["kube-system", "kube-public", "kube-node-lease"]);

/** @param gateways those that serve hosts outside. */
export function egressFirewall(mesh: Mesh, gateways: readonly Workload[]): EgressFirewall {
  const outside = mesh.services.filter(({ external, origin }) => external && origin === "service-entry");
  const ports = outside.flatMap((service) =>
    service.ports.map(({ targetPort, port }) => (typeof targetPort === "number" ? targetPort : port)),
  );
  const namespaces = mesh.workloads
    .filter(({ kind }) => kind !== "WorkloadEntry")
    .map(({ namespace }) => namespace)
    .filter((name) => !SYSTEM_NAMESPACES.has(name) && name !== mesh.config.rootNamespace);
  return {
    gateways,
    ports: [...new Set(ports)].sort((a, b) => a - b),
    namespaces: [...new Set(namespaces)].sort(),
  };
}

type Json = Readonly<Record<string, unknown>>;

const POLICY_NAME = "egress-only-through-gateway";
const EVERY_POD: Json = { namespaceSelector: {} };
/** Metadata services of clouds and other links of the node: a gateway has no business there. */
const OUTSIDE: readonly Json[] = [
  { ipBlock: { cidr: "0.0.0.0/0", except: ["169.254.0.0/16"] } },
  { ipBlock: { cidr: "::/0", except: ["fe80::/10"] } },
];

/**
 * Pods of applications reach pods, nothing outside; gateways also reach outside, at the known ports, and are reached by pods alone. Pods on the
 * host's network are not held by NetworkPolicies in most clusters.
 */
export function egressNetworkPolicies({ gateways, ports, namespaces }: EgressFirewall): readonly Json[] {
  const kept = namespaces.flatMap((namespace) => {
    const own = gateways.filter((gateway) => gateway.namespace === namespace);
    const [first] = own;
    if (first === undefined) return [policy(namespace, POLICY_NAME, {}, [{ to: [EVERY_POD] }])];
    return allButGateways(namespace, own);
  });
  return [...kept, ...gateways.map((gateway) => gatewayPolicy(gateway, ports))];
}

/** A pod that lacks any one of the gateway's labels is not the gateway: a policy for each label. */
function allButGateways(namespace: string, gateways: readonly Workload[]): readonly Json[] {
  const labels = [...new Set(gateways.flatMap((gateway) => Object.keys(selectorOf(gateway))))].sort();
  return labels.map((key) => {
    const values = gateways.flatMap((gateway) => selectorOf(gateway)[key] ?? []);
    const selector = { matchExpressions: [{ key, operator: "NotIn", values: [...new Set(values)].sort() }] };
    const name = labels.length === 1 ? POLICY_NAME : `${POLICY_NAME}-${labels.indexOf(key)}`;
    return policy(namespace, name, selector, [{ to: [EVERY_POD] }]);
  });
}

function gatewayPolicy(gateway: Workload, ports: readonly number[]): Json {
  const out = { to: OUTSIDE, ports: ports.map((port) => ({ protocol: "TCP", port })) };
  const spec = policy(
    gateway.namespace,
    `egress-gateway-${gateway.name}`.slice(0, 253),
    { matchLabels: selectorOf(gateway) },
    [{ to: [EVERY_POD] }, ...(ports.length === 0 ? [] : [out])],
  );
  return {
    ...spec,
    spec: { ...(spec.spec as Json), policyTypes: ["Ingress", "Egress"], ingress: [{ from: [EVERY_POD] }] },
  };
}

/** Labels that a controller gives to one revision are no name of a gateway. */
function selectorOf({ labels }: Workload): Labels {
  const { istio, app } = labels;
  if (istio !== undefined) return { istio };
  if (app !== undefined) return { app };
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !key.includes("hash")));
}

function policy(namespace: string, name: string, podSelector: Json, egress: readonly Json[]): Json {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace },
    spec: { podSelector, policyTypes: ["Egress"], egress },
  };
}

export interface FirewallAddresses {
  /** CIDR blocks of pods and nodes. */
  readonly cluster: readonly string[];
  /** Addresses, or blocks, that gateways' connections come from as the router sees them. */
  readonly gateways: readonly string[];
}

/** One script for `nft -f`, on the router between the cluster and the outside: what is not between the two is none of its business. */
export function egressNftables({ ports }: EgressFirewall, { cluster, gateways }: FirewallAddresses): string {
  const set = (name: string, family: 4 | 6, blocks: readonly string[]): string => {
    const own = blocks
      .map(rangeOf)
      .filter((range) => range.family === family)
      .map(elementOf);
    return `  set ${name}${family} { type ipv${family}_addr; flags interval; auto-merge;${own.length === 0 ? "" : ` elements = { ${own.join(", ")} }`} }`;
  };
  const allowed = ports.length === 0 ? "tcp dport 0" : `tcp dport { ${ports.join(", ")} }`;
  return `# Egress gateways are the only way out of the cluster. Written by bulwark firewall export.
table inet bulwark_egress {}
delete table inet bulwark_egress
table inet bulwark_egress {
  counter left_by_gateways {}
  counter refused {}
${[...([4, 6] as const).map((family) => set("cluster", family, cluster)), ...([4, 6] as const).map((family) => set("gateways", family, gateways))].join("\n")}
  chain forward {
    type filter hook forward priority 0; policy accept;
    ct state established,related accept
    ip saddr @cluster4 ip daddr != @cluster4 goto leaving
    ip saddr @gateways4 ip daddr != @cluster4 goto leaving
    ip6 saddr @cluster6 ip6 daddr != @cluster6 goto leaving
    ip6 saddr @gateways6 ip6 daddr != @cluster6 goto leaving
  }
  chain leaving {
    ip saddr @gateways4 ip daddr != 169.254.0.0/16 ${allowed} counter name left_by_gateways accept
    ip6 saddr @gateways6 ip6 daddr != fe80::/10 ${allowed} counter name left_by_gateways accept
    limit rate 10/second log prefix "bulwark egress refused: "
    counter name refused drop
  }
}
`;
}

function rangeOf(text: string): AddressRange {
  return addressRange(text) ?? cidrRange(text);
}

function elementOf(range: AddressRange): string {
  const text = formatRange(range);
  return range.first === range.last ? (text.split("-", 1)[0] ?? text) : text;
}
