/**
 * Network policies as nftables rules for the place that forwards between pods, outside of their namespaces. The rules follow from the policies
 * alone; which pods are meant stands in sets, so that pods come and go by a change of elements. The source address of a packet has to be believed: who
 * forwards has to have dropped what is not from behind its link.
 */
import type { AddressFamily } from "./address-range.ts";
import type { NetworkProtocol } from "./connection-set.ts";
import type { NetworkPod } from "./network-pod.ts";
import type {
  NetworkDirection,
  NetworkPolicies,
  NetworkPolicy,
  NetworkPort,
  NetworkRule,
} from "./network-policies.ts";
import { FAMILIES, NftablesSets } from "./nftables-sets.ts";

export interface NftablesOptions {
  /** `inet bulwark_policy`: made anew, and nobody else's. */
  readonly table: string;
  /** Among the chains that forward: after those that drop what is not to be believed. */
  readonly priority: number;
  /**
   * How refused connections end: silently, or for TCP by a reset. With a mark they are let on under it, to a chain of the
   * caller's, of a higher priority, that drops them and tells of each.
   */
  readonly refusal: "drop" | "reset" | { readonly mark: number };
  /**
   * Another number for each script (1 to 2³¹ − 1): connections that were let through under another one are asked about again, by their next
   * packet. Without it they go on.
   */
  readonly generation?: number;
  /** Group of the kernel's packet log that refusals are told to, with the reason as prefix; without it they are counted alone. */
  readonly logGroup?: number;
}

const PREFIX: Readonly<Record<AddressFamily, string>> = { 4: "ip", 6: "ip6" };

/** One `nft -f` script that replaces the whole table, in one transaction: all of it counts, or none. */
export function nftablesScript(
  policies: NetworkPolicies,
  pods: readonly NetworkPod[],
  options: NftablesOptions,
): string {
  const { table, priority } = options;
  const sets = new NftablesSets(policies);
  const chains = [
    ...directionChains("ingress", policies, sets),
    ...directionChains("egress", policies, sets),
  ];
  return [
    `table ${table} {}`,
    `delete table ${table}`,
    `table ${table} {`,
    ...sets.declarations(),
    ...refusalChains(policies, options),
    "  chain accepted {",
    `    ${options.generation === undefined ? "" : `ct mark set ${options.generation} `}accept`,
    "  }",
    ...chains,
    "  chain forward {",
    `    type filter hook forward priority ${priority}; policy drop;`,
    ...standing(options),
    "    goto egress",
    "  }",
    "}",
    ...sets.elements(table, pods, false),
    "",
  ].join("\n");
}

/** Answers are let be: of a connection that is refused now nothing is acknowledged any more. */
function standing({ generation }: NftablesOptions): readonly string[] {
  if (generation === undefined) return ["    ct state established,related accept"];
  return [
    `    ct state established ct mark ${generation} accept`,
    "    ct state established ct direction reply accept",
    "    ct state related accept",
  ];
}

/** The script for other pods under the same policies: elements of sets alone, in one transaction. Open connections go on. */
export function nftablesPods(policies: NetworkPolicies, pods: readonly NetworkPod[], table: string): string {
  return [...new NftablesSets(policies).elements(table, pods, true), ""].join("\n");
}

/**
 * The tiers of one direction. INVARIANT: no chain that is gone to comes back, so that `goto` from within a policy's chain never goes on with the
 * policies after it.
 */
function directionChains(
  direction: NetworkDirection,
  { admin, policies, baseline }: NetworkPolicies,
  sets: NftablesSets,
): readonly string[] {
  const side = direction === "egress" ? "saddr" : "daddr";
  const passed = direction === "egress" ? "ingress" : "accepted";
  const has = (policy: NetworkPolicy): boolean => policy[direction] !== null;
  const below = `${direction}_policies`;
  const verdicts = { Allow: passed, Deny: "", Pass: below };
  const chains: string[] = [];
  const asked = (list: readonly NetworkPolicy[], tier: string): string[] =>
    list.filter(has).flatMap((policy, at) => {
      const chain = `${direction}_${tier}${at}`;
      chains.push(
        ...policyChain(chain, policy, direction, sets, {
          ...verdicts,
          Deny: refusalChain(policy, direction),
        }),
      );
      return FAMILIES.map(
        (family) => `    ${PREFIX[family]} ${side} @${sets.subject(policy)}_${family} jump ${chain}`,
      );
    });
  const tierChain = (name: string, lines: readonly string[], last: readonly string[]): string[] => [
    `  chain ${name} {`,
    ...lines,
    ...last,
    "  }",
  ];
  const isolated = sets.isolated(policies, direction);
  const top = tierChain(direction, asked(admin, "admin"), [`    goto ${below}`]);
  const middle = tierChain(below, asked(policies, "policy"), [
    ...FAMILIES.map(
      (family) => `    ${PREFIX[family]} ${side} @${isolated}_${family} goto refuse_${direction}_isolated`,
    ),
    `    goto ${direction}_baseline`,
  ]);
  const bottom = tierChain(`${direction}_baseline`, asked(baseline, "baseline"), [`    goto ${passed}`]);
  // A chain stands before those that name it.
  return [...chains, ...bottom, ...middle, ...top];
}

type Verdicts = Readonly<Record<NetworkRule["action"], string>>;

function policyChain(
  chain: string,
  policy: NetworkPolicy,
  direction: NetworkDirection,
  sets: NftablesSets,
  verdicts: Verdicts,
): readonly string[] {
  const lines = (policy[direction] ?? []).flatMap((rule) =>
    matches(rule, direction, sets).map(
      (match) => `    ${match}${match === "" ? "" : " "}goto ${verdicts[rule.action]}`,
    ),
  );
  return [`  chain ${chain} {`, ...lines, "  }"];
}

/** Every way to match a rule: of each other side, family and kind of port one. */
function matches(rule: NetworkRule, direction: NetworkDirection, sets: NftablesSets): readonly string[] {
  const side = direction === "egress" ? "daddr" : "saddr";
  const peers =
    rule.peers === null
      ? FAMILIES.map((family) => ({ family, match: `meta nfproto ipv${family}` }))
      : rule.peers.flatMap((peer) => {
          const set = sets.peer(peer);
          return set === undefined
            ? []
            : FAMILIES.map((family) => ({ family, match: `${PREFIX[family]} ${side} @${set}_${family}` }));
        });
  return peers.flatMap(({ family, match }) => {
    if (rule.ports === null) return [match];
    return portMatches(rule.ports, family, sets).map((ports) => `${match} ${ports}`);
  });
}

function portMatches(
  ports: readonly NetworkPort[],
  family: AddressFamily,
  sets: NftablesSets,
): readonly string[] {
  const numbers = new Map<NetworkProtocol, string[]>();
  const named: string[] = [];
  for (const port of ports) {
    if ("name" in port)
      named.push(`${PREFIX[family]} daddr . meta l4proto . th dport @${sets.port(port)}_${family}`);
    else {
      const own = port.first === port.last ? `${port.first}` : `${port.first}-${port.last}`;
      numbers.set(port.protocol, [...(numbers.get(port.protocol) ?? []), own]);
    }
  }
  // One rule for each range: an anonymous set refuses ranges that overlap.
  const plain = [...numbers].flatMap(([protocol, list]) =>
    list.map((own) => `${protocol.toLowerCase()} dport ${own}`),
  );
  return [...plain, ...named];
}

/** Where refusals go: one chain for each reason, so that counters and the log tell who refused. */
function refusalChains({ admin, baseline }: NetworkPolicies, options: NftablesOptions): readonly string[] {
  const reasons = (["egress", "ingress"] as const).flatMap((direction) => [
    { chain: `refuse_${direction}_isolated`, why: `${direction} isolated` },
    ...[...admin, ...baseline]
      .filter((policy) => policy[direction]?.some(({ action }) => action === "Deny") === true)
      .map((policy) => ({ chain: refusalChain(policy, direction), why: `${direction} ${policy.name}` })),
  ]);
  const { refusal } = options;
  const end =
    typeof refusal === "object"
      ? [`    meta mark set ${refusal.mark} counter accept`]
      : refusal === "reset"
        ? ["    meta l4proto tcp counter reject with tcp reset", "    counter drop"]
        : ["    counter drop"];
  return reasons.flatMap(({ chain, why }) => [
    `  chain ${chain} {`,
    ...(options.logGroup === undefined ? [] : [`    log prefix "${logText(why)}" group ${options.logGroup}`]),
    ...end,
    "  }",
  ]);
}

function refusalChain({ tier, resource }: NetworkPolicy, direction: NetworkDirection): string {
  return `refuse_${direction}_${tier}_${resource.name.replaceAll(/[^a-z0-9]/g, "_")}`;
}

/** The kernel keeps 127 bytes. */
function logText(why: string): string {
  return `bulwark ${why.replaceAll(/[^A-Za-z0-9 ./-]/g, "_")}: `.slice(0, 120);
}
