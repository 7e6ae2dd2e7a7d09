import type { PodAssignment } from "../assignment.ts";
import { CLUSTER_DNS } from "./addresses.ts";

/** The table of ours outside of the pods. */
export const FABRIC_TABLE = "inet bulwark";
/** The link to the stand-ins for hosts outside. */
export const OUTSIDE_LINK = "outside";

/** Why a packet was dropped outside of its pod. */
export const DROP_REASONS = [
  "not-the-gateway",
  "not-tcp",
  "spoofed-address",
  "from-outside",
  "to-the-node",
  "network-policy",
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/** Attempts that are told apart; those beyond are counted and dropped all the same. */
const MAX_ATTEMPTS = 16_384;
const ATTEMPT_TTL = "2m";

/**
 * The firewall outside of the pods: nothing that a pod's root does undoes it. Every packet between pods, and to the
 * outside, is forwarded by it; what it drops stands in the sets of its reason.
 * It never widens what proxies decide: it is the layer below them.
 */
export function fabricRules(): string {
  return [
    `table ${FABRIC_TABLE} {}`,
    `delete table ${FABRIC_TABLE}`,
    `table ${FABRIC_TABLE} {`,
    "  counter left_by_gateways {}",
    "  counter left_by_others {}",
    "  counter dropped {}",
    "  set links4 { type ifname . ipv4_addr; }",
    "  set links6 { type ifname . ipv6_addr; }",
    "  set leaving4 { type ipv4_addr; }",
    "  set leaving6 { type ipv6_addr; }",
    "  set plain4 { type ipv4_addr; }",
    "  set plain6 { type ipv6_addr; }",
    "  set gateways4 { type ipv4_addr; }",
    "  set gateways6 { type ipv6_addr; }",
    ...DROP_REASONS.flatMap(dropChain),
    ...LEAVE,
    ...PAST_PROXIES,
    ...FORWARD,
    ...INPUT,
    ...REFUSED_BY_POLICY,
    "}",
    "",
  ].join("\n");
}

/** Who is behind which link, and who may leave: replaced in one transaction. */
export function fabricElements(pods: readonly PodAssignment[]): string {
  const networked = pods.flatMap((pod) => (pod.network === undefined ? [] : [{ pod, network: pod.network }]));
  const of = (pick: (each: (typeof networked)[number]) => string | undefined): string[] =>
    networked.flatMap((each) => pick(each) ?? []);
  const gateways = networked.filter(({ pod }) => pod.role === "gateway");
  const leaving = networked.filter(({ network }) => network.mayLeave);
  const plain = networked.filter(({ pod }) => !pod.proxied && pod.ambient !== true);
  return [
    ...elements(
      "links4",
      of(({ pod, network }) => `"${network.link}" . ${pod.address}`),
    ),
    ...elements(
      "links6",
      of(({ pod, network }) => `"${network.link}" . ${pod.address6 ?? "::"}`),
    ),
    ...elements(
      "leaving4",
      leaving.map(({ pod }) => pod.address),
    ),
    ...elements(
      "leaving6",
      leaving.flatMap(({ pod }) => pod.address6 ?? []),
    ),
    ...elements(
      "plain4",
      plain.map(({ pod }) => pod.address),
    ),
    ...elements(
      "plain6",
      plain.flatMap(({ pod }) => pod.address6 ?? []),
    ),
    ...elements(
      "gateways4",
      gateways.map(({ pod }) => pod.address),
    ),
    ...elements(
      "gateways6",
      gateways.flatMap(({ pod }) => pod.address6 ?? []),
    ),
    "",
  ].join("\n");
}

function elements(set: string, wanted: readonly string[]): string[] {
  const flush = `flush set ${FABRIC_TABLE} ${set}`;
  return wanted.length === 0
    ? [flush]
    : [flush, `add element ${FABRIC_TABLE} ${set} { ${wanted.join(", ")} }`];
}

/**
 * Attempts of one reason and family. nft joins five fields to a key at most: the link is part of it where the source
 * address is not to be believed, the ports are where there are some.
 */
export interface AttemptSet {
  readonly name: string;
  readonly reason: DropReason;
  readonly family: 4 | 6;
  readonly fields: readonly AttemptField[];
}

export type AttemptField = "link" | "source" | "destination" | "protocol" | "sourcePort" | "destinationPort";

const WITH_PORTS = ["source", "destination", "protocol", "sourcePort", "destinationPort"] as const;
const WITHOUT_PORTS = ["source", "destination", "protocol"] as const;
const BY_LINK = ["link", "source", "destination", "protocol"] as const;

export const ATTEMPT_SETS: readonly AttemptSet[] = DROP_REASONS.flatMap((reason) =>
  ([4, 6] as const).flatMap((family) => {
    const set = (suffix: string, fields: readonly AttemptField[]): AttemptSet => ({
      name: `${reason.replaceAll("-", "_")}${suffix}_${family}`,
      reason,
      family,
      fields,
    });
    return reason === "spoofed-address"
      ? [set("", BY_LINK)]
      : [set("", WITH_PORTS), set("_bare", WITHOUT_PORTS)];
  }),
);

const FIELD_TYPES: Readonly<Record<AttemptField, (family: 4 | 6) => string>> = {
  link: () => "iface_index",
  source: (family) => `ipv${family}_addr`,
  destination: (family) => `ipv${family}_addr`,
  protocol: () => "inet_proto",
  sourcePort: () => "inet_service",
  destinationPort: () => "inet_service",
};

const FIELD_VALUES: Readonly<Record<AttemptField, (ip: string) => string>> = {
  link: () => "iif",
  source: (ip) => `${ip} saddr`,
  destination: (ip) => `${ip} daddr`,
  protocol: () => "meta l4proto",
  sourcePort: () => "th sport",
  destinationPort: () => "th dport",
};

const PORTED = "{ tcp, udp, sctp }";

/** Full sets refuse new elements, which ends that rule: the drop is one of its own. */
function dropChain(reason: DropReason): string[] {
  const sets = ATTEMPT_SETS.filter((set) => set.reason === reason);
  return [
    ...sets.map(({ name, family, fields }) => {
      const type = fields.map((field) => FIELD_TYPES[field](family)).join(" . ");
      return `  set ${name} { type ${type}; flags dynamic,timeout; timeout ${ATTEMPT_TTL}; size ${MAX_ATTEMPTS}; }`;
    }),
    `  chain drop_${reason.replaceAll("-", "_")} {`,
    ...sets.map(({ name, family, fields }) => {
      const key = fields.map((field) => FIELD_VALUES[field](family === 4 ? "ip" : "ip6")).join(" . ");
      const isPorted = fields.includes("sourcePort");
      const match = fields.includes("link") ? "" : `meta l4proto ${isPorted ? "" : "!= "}${PORTED} `;
      return `    ${match}update @${name} { ${key} counter }`;
    }),
    "    counter name dropped drop",
    "  }",
  ];
}

/** What Kubernetes has besides TCP. */
const PAST = "{ udp, sctp }";

/**
 * No proxy sees these: they go where none stands, and network policies alone judge them. INVARIANT: a pod that gets a proxy
 * loses them at once, also what was under way.
 */
const PAST_PROXIES = [
  "  chain past_proxies {",
  `    iifname "${OUTSIDE_LINK}" ct state established ip daddr @plain4 accept`,
  `    iifname "${OUTSIDE_LINK}" ct state established ip6 daddr @plain6 accept`,
  `    iifname "${OUTSIDE_LINK}" goto drop_from_outside`,
  `    oifname "${OUTSIDE_LINK}" goto leave_past_proxies`,
  "    ip saddr @plain4 ip daddr @plain4 accept",
  "    ip6 saddr @plain6 ip6 daddr @plain6 accept",
  "    goto drop_not_tcp",
  "  }",
  "  chain leave_past_proxies {",
  "    ip saddr @plain4 ip saddr @leaving4 ct state new jump count_leaving",
  "    ip saddr @plain4 ip saddr @leaving4 accept",
  "    ip6 saddr @plain6 ip6 saddr @leaving6 ct state new jump count_leaving",
  "    ip6 saddr @plain6 ip6 saddr @leaving6 accept",
  "    goto drop_not_tcp",
  "  }",
];

const FORWARD = [
  "  chain forward {",
  "    type filter hook forward priority 0; policy drop;",
  "    meta nfproto ipv4 iifname . ip saddr != @links4 iifname != outside goto drop_spoofed_address",
  "    meta nfproto ipv6 iifname . ip6 saddr != @links6 iifname != outside goto drop_spoofed_address",
  `    meta l4proto ${PAST} goto past_proxies`,
  "    ct state established,related accept",
  `    iifname "${OUTSIDE_LINK}" goto from_outside`,
  `    oifname "${OUTSIDE_LINK}" goto leave`,
  "    meta l4proto tcp accept",
  "    goto drop_not_tcp",
  "  }",
  "  chain from_outside {",
  "    meta l4proto tcp ip daddr @gateways4 accept",
  "    meta l4proto tcp ip6 daddr @gateways6 accept",
  "    goto drop_from_outside",
  "  }",
];

const LEAVE = [
  "  chain leave {",
  "    meta l4proto != tcp goto drop_not_tcp",
  "    ip saddr @leaving4 jump count_leaving",
  "    ip saddr @leaving4 accept",
  "    ip6 saddr @leaving6 jump count_leaving",
  "    ip6 saddr @leaving6 accept",
  "    goto drop_not_the_gateway",
  "  }",
  "  chain count_leaving {",
  "    ip saddr @gateways4 counter name left_by_gateways return",
  "    ip6 saddr @gateways6 counter name left_by_gateways return",
  "    counter name left_by_others",
  "  }",
];

/** What the tables of NetworkPolicy refuse comes here under this mark: they stand between the two chains that forward. */
export const REFUSED_MARK = 0xb01;
export const POLICY_TABLE = "inet bulwark_policy";
export const POLICY_PRIORITY = 10;

const REFUSED_BY_POLICY = [
  "  chain refused_by_policy {",
  `    type filter hook forward priority ${POLICY_PRIORITY + 10}; policy accept;`,
  `    meta mark ${REFUSED_MARK} goto drop_network_policy`,
  "  }",
];

/** To the namespace that forwards, of which pods need their neighbour and the cluster's DNS. */
const INPUT = [
  "  chain input {",
  "    type filter hook input priority 0; policy drop;",
  '    iifname "lo" accept',
  "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
  "    icmpv6 type { nd-router-solicit, mld2-listener-report, mld-listener-report, mld-listener-done } drop",
  "    meta nfproto ipv4 iifname . ip saddr != @links4 goto drop_spoofed_address",
  "    meta nfproto ipv6 iifname . ip6 saddr != @links6 goto drop_spoofed_address",
  "    ct state established,related accept",
  ...[`ip daddr ${CLUSTER_DNS.address}`, `ip6 daddr ${CLUSTER_DNS.address6}`].flatMap((address) => [
    `    ${address} udp dport 53 accept`,
    `    ${address} tcp dport 53 accept`,
  ]),
  "    goto drop_to_the_node",
  "  }",
];
