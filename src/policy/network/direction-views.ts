/**
 * One direction of a whole mesh: what each pod's policies let through, from (ingress) or to (egress) every other pod and every part of the
 * outside. Pods that the same policies select share a view; pods that the same rules name share an entry in it.
 */
import type { AddressPartition } from "./address-partition.ts";
import { type AddressFamily, addressRange, liesIn } from "./address-range.ts";
import type { ConnectionAlgebra, ConnectionSet } from "./connection-set.ts";
import { addressIn, connectionsOf, type NetworkPod } from "./network-pod.ts";
import type {
  NetworkDirection,
  NetworkPeer,
  NetworkPolicies,
  NetworkPolicy,
  NetworkRule,
} from "./network-policies.ts";
import type { SelectorIndex } from "./selector-index.ts";
import { allowedConnections, type MatchingRule } from "./tiers.ts";

export interface DirectionView {
  /** With a pod that no rule names. */
  readonly otherwise: ConnectionSet;
  /** By the other side's class, where that is not the same. */
  readonly byClass: ReadonlyMap<number, ConnectionSet>;
  /** By family's parts of the outside: ascending runs, nothing left out. */
  outside(partition: AddressPartition): readonly OutsideRun[];
}

export interface OutsideRun {
  readonly first: number;
  readonly last: number;
  readonly connections: ConnectionSet;
}

export interface DirectionViews {
  /** Of each pod, by its place. */
  readonly viewOf: readonly DirectionView[];
  /** Of each pod as the other side. */
  readonly classOf: readonly number[];
  readonly classes: number;
}

/** A rule as it stands for all the pods of a view. */
interface ViewRule extends MatchingRule {
  /** Classes of pods that it names; null: all, and outside. */
  readonly classes: readonly number[] | null;
  readonly rule: NetworkRule;
}

export interface ViewOptions {
  /**
   * Whether a block of addresses also means pods: `outside` never; `addresses` those with an address in it, as Kubernetes' own tests of network
   * plugins have it. Templates have no addresses.
   */
  readonly blocks: "outside" | "addresses";
  /** Of the addresses that pods meet by; absent: each pod's first. */
  readonly family?: AddressFamily;
}

export function directionViews(
  algebra: ConnectionAlgebra,
  policies: NetworkPolicies,
  pods: readonly NetworkPod[],
  index: SelectorIndex,
  direction: NetworkDirection,
  options: ViewOptions,
): DirectionViews {
  const ordered = [...policies.admin, ...policies.policies, ...policies.baseline].filter(
    (policy) => policy[direction] !== null,
  );
  const peers = new PeerClasses(pods, index, options);
  const names = direction === "egress" ? portNames(ordered, direction) : new Set<string>();
  for (const policy of ordered)
    for (const rule of policy[direction] ?? []) for (const peer of rule.peers ?? []) peers.note(peer);
  const { classOf, examples } = peers.finish(names);
  const subjects = subjectsOf(ordered, index, pods.length);
  const views = new Map<string, DirectionView>();
  const viewOf = pods.map((pod, at) => {
    const own = subjects[at] ?? [];
    const ports =
      direction === "ingress"
        ? portsText(
            pod,
            portNames(
              own.map((i) => ordered[i]),
              direction,
            ),
          )
        : "";
    const key = `${own.join(",")}|${ports}`;
    let view = views.get(key);
    if (view === undefined) {
      const selecting = own.flatMap((i) => ordered[i] ?? []);
      view = makeView(algebra, selecting, direction, pod, examples, peers);
      views.set(key, view);
    }
    return view;
  });
  return { viewOf, classOf, classes: examples.length };
}

/** Of each pod the policies that select it, by their places. */
function subjectsOf(policies: readonly NetworkPolicy[], index: SelectorIndex, count: number): number[][] {
  const subjects: number[][] = Array.from({ length: count }, () => []);
  for (const [at, { subject }] of policies.entries())
    for (const pod of index.select(subject.namespaces, subject.pods)) subjects[pod]?.push(at);
  return subjects;
}

/** Names that rules use for ports: what they mean differs from pod to pod. */
function portNames(
  policies: readonly (NetworkPolicy | undefined)[],
  direction: NetworkDirection,
): ReadonlySet<string> {
  const names = new Set<string>();
  for (const policy of policies)
    for (const { ports } of policy?.[direction] ?? [])
      for (const port of ports ?? []) if ("name" in port) names.add(port.name);
  return names;
}

function portsText({ ports }: NetworkPod, names: ReadonlySet<string>): string {
  if (names.size === 0) return "";
  return ports
    .filter(({ name }) => name !== undefined && names.has(name))
    .map(({ name, port, protocol }) => `${name}=${protocol}${port}`)
    .sort()
    .join(",");
}

/** Groups pods by which peers of rules name them. */
class PeerClasses {
  readonly #pods: readonly NetworkPod[];
  readonly #index: SelectorIndex;
  readonly #options: ViewOptions;
  readonly #podsOf = new Map<readonly number[] | string, readonly number[]>();
  readonly #classesOf = new Map<readonly number[], readonly number[]>();

  constructor(pods: readonly NetworkPod[], index: SelectorIndex, options: ViewOptions) {
    this.#pods = pods;
    this.#index = index;
    this.#options = options;
  }

  note(peer: NetworkPeer): void {
    const pods = this.#select(peer);
    this.#podsOf.set(pods, pods);
  }

  finish(names: ReadonlySet<string>): { readonly classOf: number[]; readonly examples: NetworkPod[] } {
    const signatures: number[][] = this.#pods.map(() => []);
    const lists = [...this.#podsOf.values()];
    for (const [at, pods] of lists.entries()) for (const pod of pods) signatures[pod]?.push(at);
    const numbers = new Map<string, number>();
    const examples: NetworkPod[] = [];
    const classOf = this.#pods.map((pod, at) => {
      const key = `${signatures[at]?.join(",")}|${portsText(pod, names)}`;
      let number = numbers.get(key);
      if (number === undefined) {
        number = examples.push(pod) - 1;
        numbers.set(key, number);
      }
      return number;
    });
    for (const pods of lists) this.#classesOf.set(pods, [...new Set(pods.map((pod) => classOf[pod] ?? 0))]);
    return { classOf, examples };
  }

  classesOf(peer: NetworkPeer): readonly number[] {
    return this.#classesOf.get(this.#select(peer)) ?? [];
  }

  /** The same list for the same peer. */
  #select(peer: NetworkPeer): readonly number[] {
    switch (peer.kind) {
      case "pods":
        return this.#index.select(peer.namespaces, peer.pods);
      case "addresses":
        return this.#options.blocks === "outside" ? NOBODY : this.#inBlock(peer);
      case "nodes":
        return NOBODY;
    }
  }

  #inBlock({ ranges, text }: Extract<NetworkPeer, { kind: "addresses" }>): readonly number[] {
    let found = this.#podsOf.get(text);
    if (found === undefined) {
      found = this.#pods.flatMap((pod, at) => {
        const address = addressRange(addressIn(pod, this.#options.family) ?? "");
        return address !== undefined && liesIn(address, ranges) ? [at] : [];
      });
      this.#podsOf.set(text, found);
    }
    return found;
  }
}

const NOBODY: readonly number[] = [];

function makeView(
  algebra: ConnectionAlgebra,
  selecting: readonly NetworkPolicy[],
  direction: NetworkDirection,
  subject: NetworkPod,
  examples: readonly NetworkPod[],
  peers: PeerClasses,
): DirectionView {
  const isolated = selecting.some(({ tier }) => tier === "policy");
  const rules = selecting.flatMap((policy) =>
    (policy[direction] ?? []).map((rule) => viewRule(algebra, policy, rule, direction, subject, peers)),
  );
  // A name of a port means another number at each pod that is connected to.
  const isNamed = ({ ports }: NetworkRule): boolean => ports?.some((port) => "name" in port) === true;
  const hasNames = direction === "egress" && rules.some(({ rule }) => isNamed(rule));
  const isNamedForAll = hasNames && rules.some(({ classes, rule }) => classes === null && isNamed(rule));
  const evaluate = evaluator(algebra, isolated);
  const resolved = (own: readonly ViewRule[], target: NetworkPod): readonly ViewRule[] =>
    hasNames
      ? own.map((rule) => ({ ...rule, connections: connectionsOf(algebra, rule.rule.ports, target) }))
      : own;
  const everywhere = rules.filter(({ classes }) => classes === null);
  const byClass = new Map<number, ConnectionSet>();
  const otherwise = evaluate(everywhere);
  for (const [at, own] of rulesByClass(rules, isNamedForAll ? examples.length : 0)) {
    const example = examples[at];
    if (example === undefined) continue;
    const connections = hasNames
      ? allowedConnections(algebra, resolved(own, example), isolated)
      : evaluate(own);
    if (connections !== otherwise) byClass.set(at, connections);
  }
  const runs = new Map<AddressPartition, readonly OutsideRun[]>();
  const outside = (partition: AddressPartition): readonly OutsideRun[] => {
    let found = runs.get(partition);
    if (found === undefined) {
      found = outsideRuns(rules, partition, evaluate);
      runs.set(partition, found);
    }
    return found;
  };
  return { otherwise, byClass, outside };
}

function viewRule(
  algebra: ConnectionAlgebra,
  { tier }: NetworkPolicy,
  rule: NetworkRule,
  direction: NetworkDirection,
  subject: NetworkPod,
  peers: PeerClasses,
): ViewRule {
  return {
    tier,
    action: rule.action,
    // Of an egress rule's names nothing is known where the other side is not: they stand for nothing outside.
    connections: connectionsOf(algebra, rule.ports, direction === "ingress" ? subject : undefined),
    classes: rule.peers === null ? null : [...new Set(rule.peers.flatMap((peer) => peers.classesOf(peer)))],
    rule,
  };
}

/** The classes that some rule names, each with all the rules that hold for it, in their order. */
function rulesByClass(rules: readonly ViewRule[], allClasses: number): Map<number, readonly ViewRule[]> {
  const named = new Map<number, Set<ViewRule>>();
  for (let at = 0; at < allClasses; at++) named.set(at, new Set());
  for (const rule of rules) {
    for (const at of rule.classes ?? NOBODY) {
      const own = named.get(at);
      if (own === undefined) named.set(at, new Set([rule]));
      else own.add(rule);
    }
  }
  const everywhere = rules.some(({ classes }) => classes === null);
  const result = new Map<number, readonly ViewRule[]>();
  for (const [at, own] of named)
    result.set(at, everywhere ? rules.filter((rule) => rule.classes === null || own.has(rule)) : [...own]);
  return result;
}

type Evaluate = (rules: readonly ViewRule[]) => ConnectionSet;

/** Most pods of a view are named by the same rules. */
function evaluator(algebra: ConnectionAlgebra, isolated: boolean): Evaluate {
  const known = new Map<string, ConnectionSet>();
  return (rules) => {
    const key = rules.map(({ tier, action, connections }) => `${tier}${action}${connections.id}`).join();
    let result = known.get(key);
    if (result === undefined) {
      result = allowedConnections(algebra, rules, isolated);
      known.set(key, result);
    }
    return result;
  };
}

/** Cuts the outside where a rule of the view does. */
function outsideRuns(
  rules: readonly ViewRule[],
  partition: AddressPartition,
  evaluate: Evaluate,
): OutsideRun[] {
  const count = partition.parts.length;
  const family = partition.parts[0]?.family;
  const spans = rules.map(({ rule }) =>
    rule.peers === null
      ? [[0, count - 1] as const]
      : rule.peers.flatMap((peer) =>
          peer.kind === "addresses"
            ? peer.ranges.filter((range) => range.family === family).map(partition.indexesOf)
            : [],
        ),
  );
  const starts = new Set([0]);
  for (const [first, last] of spans.flat()) starts.add(first).add(last + 1);
  const cuts = [...starts].filter((cut) => cut < count).sort((a, b) => a - b);
  return cuts.map((first, at) => {
    const holds = (_: ViewRule, own: number): boolean =>
      spans[own]?.some(([from, to]) => from <= first && first <= to) === true;
    return { first, last: (cuts[at + 1] ?? count) - 1, connections: evaluate(rules.filter(holds)) };
  });
}
