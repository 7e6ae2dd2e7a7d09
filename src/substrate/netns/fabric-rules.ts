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
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/** Attempts that are told apart; those beyond are counted and dropped all the same. */
const MAX_ATTEMPTS = 16_384;
const ATTEMPT_TTL = "2m";

/**
 * The firewall outside of the pods: nothing that a pod's root does undoes it. Every packet between pods, and to the
 * outside, is forwarded by it; what it drops stands in the set of its reason, by addresses, protocol and ports.
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
    "  set gateways4 { type ipv4_addr; }",
    "  set gateways6 { type ipv6_addr; }",
    ...DROP_REASONS.flatMap(dropChain),
    ...FORWARD,
    ...LEAVE,
    ...INPUT,
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

/** The name of a reason's set; nft takes no names that begin with a digit or hold a hyphen everywhere. */
export function attemptSet(reason: DropReason, family: 4 | 6): string {
  return `${reason.replaceAll("-", "_")}_${family}`;
}

/** Full sets refuse new elements, which ends that rule: the drop is one of its own. */
function dropChain(reason: DropReason): string[] {
  const kinds = ([4, 6] as const).map((family) => {
    const address = family === 4 ? "ip" : "ip6";
    const type = `ipv${family}_addr . ipv${family}_addr . inet_proto . inet_service . inet_service`;
    const set = attemptSet(reason, family);
    return {
      set: `  set ${set} { type ${type}; flags dynamic,timeout; timeout ${ATTEMPT_TTL}; size ${MAX_ATTEMPTS}; }`,
      rules: [
        `    meta l4proto { tcp, udp, sctp } update @${set} { ${address} saddr . ${address} daddr . meta l4proto . th sport . th dport counter }`,
        `    meta l4proto != { tcp, udp, sctp } update @${set} { ${address} saddr . ${address} daddr . meta l4proto . 0 . 0 counter }`,
      ],
    };
  });
  return [
    ...kinds.map(({ set }) => set),
    `  chain drop_${reason.replaceAll("-", "_")} {`,
    ...kinds.flatMap(({ rules }) => rules),
    "    counter name dropped drop",
    "  }",
  ];
}

const FORWARD = [
  "  chain forward {",
  "    type filter hook forward priority 0; policy drop;",
  "    meta nfproto ipv4 iifname . ip saddr != @links4 iifname != outside goto drop_spoofed_address",
  "    meta nfproto ipv6 iifname . ip6 saddr != @links6 iifname != outside goto drop_spoofed_address",
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
