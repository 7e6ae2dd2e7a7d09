/**
 * Network policies as nftables rules for the place that forwards between pods, outside of their namespaces. The rules follow from the policies
 * alone; which pods are meant stands in sets, so that pods come and go by a change of elements. The source address of a packet has to be believed: who
 * forwards has to have dropped what is not from behind its link.
 */
import { type AddressFamily, type AddressRange, addressRange, formatAddress } from "./address-range.ts";
import type { NetworkProtocol } from "./connection-set.ts";
import { type NetworkPod, selects } from "./network-pod.ts";
import type {
  NetworkDirection,
  NetworkPeer,
  NetworkPolicies,
  NetworkPolicy,
  NetworkPort,
  NetworkRule,
} from "./network-policies.ts";

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
const FAMILIES: readonly AddressFamily[] = [4, 6];

/** One `nft -f` script that replaces the whole table, in one transaction: all of it counts, or none. */
export function nftablesScript(
  policies: NetworkPolicies,
  pods: readonly NetworkPod[],
  options: NftablesOptions,
): string {
  const { table, priority } = options;
  const sets = new Sets(policies);
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
  return [...new Sets(policies).elements(table, pods, true), ""].join("\n");
}

/** The sets that rules name, each for both families. */
class Sets {
  readonly #pods = new Map<string, { readonly name: string; readonly has: (pod: NetworkPod) => boolean }>();
  readonly #ports = new Map<
    string,
    { readonly name: string; readonly port: Extract<NetworkPort, { name: string }> }
  >();
  readonly #blocks = new Map<string, { readonly name: string; readonly ranges: readonly AddressRange[] }>();

  constructor({ admin, policies, baseline }: NetworkPolicies) {
    for (const direction of ["ingress", "egress"] as const) {
      this.isolated(policies, direction);
      for (const policy of [...admin, ...policies, ...baseline]) {
        this.subject(policy);
        for (const { peers, ports } of policy[direction] ?? []) {
          for (const peer of peers ?? []) this.peer(peer);
          for (const port of ports ?? []) if ("name" in port) this.port(port);
        }
      }
    }
  }

  subject({ subject }: NetworkPolicy): string {
    return this.#podSet(scopeKey(subject), (pod) => selects(subject, pod));
  }

  isolated(policies: readonly NetworkPolicy[], direction: NetworkDirection): string {
    const own = policies.filter((policy) => policy[direction] !== null);
    return this.#podSet(`isolated ${direction}`, (pod) => own.some(({ subject }) => selects(subject, pod)));
  }

  /** Undefined: the peer is nobody that an address tells. */
  peer(peer: NetworkPeer): string | undefined {
    if (peer.kind === "pods") return this.#podSet(scopeKey(peer), (pod) => selects(peer, pod));
    if (peer.kind === "nodes") return undefined;
    let own = this.#blocks.get(peer.text);
    if (own === undefined) {
      own = { name: `block${this.#blocks.size}`, ranges: peer.ranges };
      this.#blocks.set(peer.text, own);
    }
    return own.name;
  }

  port(port: Extract<NetworkPort, { name: string }>): string {
    const key = `${port.name} ${port.protocol ?? ""}`;
    let own = this.#ports.get(key);
    if (own === undefined) {
      own = { name: `port${this.#ports.size}`, port };
      this.#ports.set(key, own);
    }
    return own.name;
  }

  declarations(): readonly string[] {
    return FAMILIES.flatMap((family) => [
      ...[...this.#pods.values()].map(({ name }) => `  set ${name}_${family} { type ipv${family}_addr; }`),
      ...[...this.#ports.values()].map(
        ({ name }) => `  set ${name}_${family} { type ipv${family}_addr . inet_proto . inet_service; }`,
      ),
      ...[...this.#blocks.values()].map(({ name, ranges }) => blockSet(name, family, ranges)),
    ]);
  }

  elements(table: string, pods: readonly NetworkPod[], flush: boolean): readonly string[] {
    // What is on the host's network has the node's address: that would mean all of the node.
    const own = pods.filter(({ hostNetwork }) => !hostNetwork);
    return FAMILIES.flatMap((family) => [
      ...[...this.#pods.values()].flatMap(({ name, has }) =>
        fill(
          table,
          `${name}_${family}`,
          own.filter(has).flatMap((pod) => addressesOf(pod, family)),
          flush,
        ),
      ),
      ...[...this.#ports.values()].flatMap(({ name, port }) =>
        fill(
          table,
          `${name}_${family}`,
          own.flatMap((pod) => portElements(pod, port, family)),
          flush,
        ),
      ),
    ]);
  }

  #podSet(key: string, has: (pod: NetworkPod) => boolean): string {
    let own = this.#pods.get(key);
    if (own === undefined) {
      own = { name: `pods${this.#pods.size}`, has };
      this.#pods.set(key, own);
    }
    return own.name;
  }
}

function scopeKey({ namespaces, pods }: NetworkPolicy["subject"]): string {
  return `${"name" in namespaces ? `=${namespaces.name}` : `~${namespaces.labels.text}`}|${pods.text}`;
}

function blockSet(name: string, family: AddressFamily, ranges: readonly AddressRange[]): string {
  const own = ranges.filter((range) => range.family === family);
  const elements = own.map(({ first, last }) =>
    first === last
      ? formatAddress(family, first)
      : `${formatAddress(family, first)}-${formatAddress(family, last)}`,
  );
  const filled = elements.length === 0 ? "" : ` elements = { ${elements.join(", ")} }`;
  return `  set ${name}_${family} { type ipv${family}_addr; flags interval;${filled} }`;
}

function addressesOf({ addresses }: NetworkPod, family: AddressFamily): readonly string[] {
  return addresses.filter((address) => addressRange(address)?.family === family);
}

function portElements(
  pod: NetworkPod,
  { name, protocol }: Extract<NetworkPort, { name: string }>,
  family: AddressFamily,
): readonly string[] {
  const ports = pod.ports.filter(
    (own) => own.name === name && (protocol === undefined || own.protocol === protocol),
  );
  return addressesOf(pod, family).flatMap((address) =>
    ports.map((own) => `${address} . ${own.protocol.toLowerCase()} . ${own.port}`),
  );
}

function fill(table: string, set: string, elements: readonly string[], flush: boolean): readonly string[] {
  const wanted = [...new Set(elements)];
  return [
    ...(flush ? [`flush set ${table} ${set}`] : []),
    ...(wanted.length === 0 ? [] : [`add element ${table} ${set} { ${wanted.join(", ")} }`]),
  ];
}

/**
 * The tiers of one direction. INVARIANT: no chain that is gone to comes back, so that `goto` from within a policy's chain never goes on with the
 * policies after it.
 */
function directionChains(
  direction: NetworkDirection,
  { admin, policies, baseline }: NetworkPolicies,
  sets: Sets,
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
  sets: Sets,
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
function matches(rule: NetworkRule, direction: NetworkDirection, sets: Sets): readonly string[] {
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

function portMatches(ports: readonly NetworkPort[], family: AddressFamily, sets: Sets): readonly string[] {
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
