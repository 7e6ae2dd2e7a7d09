/**
 * How far a compromise goes: what may be sent requests from what is held (one hop), and what comes of it if each of those is compromised in turn
 * (transitively). Kept apart throughout: to reach is to be let through, to control is to run code there or to act as its identity.
 */

import type { Mesh } from "../../model/mesh.ts";
import type { Semantics } from "../../policy/inbound.ts";
import { addBits, type Bits, bitsIn, countBits, hasBit, noBits, setBit } from "./bits.ts";
import { type HoldingId, kindOf, namesOf, principalOf, restOf } from "./component.ts";
import { EntryPoints } from "./entry-points.ts";
import { GainGraph } from "./gains.ts";
import { type Holdings, HoldingsIndex, workloadsByPrincipal } from "./holdings.ts";
import { NetworkRows } from "./network-rows.ts";

/** Sets of workloads, as bits by their places in the mesh's list. */
export interface Radius {
  /** Run code in, or act as. */
  readonly controlled: Bits;
  /** Let through at once, not controlled. */
  readonly reached: Bits;
  /** What else follows, if all that is reached is compromised in turn. */
  readonly further: Bits;
}

export interface RadiusCounts {
  readonly controlled: number;
  readonly reached: number;
  readonly further: number;
}

/** What may be sent, so far. All but `taken` by entry points. */
interface Sending {
  readonly keys: Bits;
  readonly free: Bits;
  readonly captured: Bits;
  readonly direct: Bits;
  /** Where policies may be taken away: whoever sends there is let in. */
  readonly loosened: Bits;
}

/** All that follows, and the means of it: who gets here has it all. */
interface Outcome extends Sending {
  readonly taken: Bits;
  readonly expanded: Bits;
  /** Entry points of which the targets are expanded. */
  readonly looked: Bits;
}

export class BlastModel {
  readonly mesh: Mesh;
  readonly graph: GainGraph;
  readonly entries: EntryPoints;
  readonly network: NetworkRows;
  readonly holdings: HoldingsIndex;
  /** Workloads that count: all but the parts of Istio that every pod speaks to. */
  readonly counted: Bits;
  readonly #byPrincipal: ReadonlyMap<string, readonly number[]>;
  readonly #outcomes = new Map<number, Outcome>();
  readonly #counts = new Map<string, RadiusCounts>();

  /** @param asked the component that is to be asked about: the key or token that leaked may be of an account that no file has. */
  constructor(mesh: Mesh, semantics: Semantics, asked?: HoldingId) {
    this.mesh = mesh;
    this.graph = new GainGraph(mesh);
    const besides = asked === undefined ? [] : identitiesBy(asked, mesh);
    this.entries = new EntryPoints(this.graph, semantics, besides);
    this.network = new NetworkRows(this.graph, this.entries);
    this.holdings = new HoldingsIndex(this.graph);
    this.#byPrincipal = workloadsByPrincipal(this.graph);
    this.counted = noBits(mesh.workloads.length);
    for (const [at, workload] of mesh.workloads.entries())
      if (!INFRASTRUCTURE.has(this.graph.parts.get(workload) ?? "")) setBit(this.counted, at);
  }

  get total(): number {
    return countBits(this.counted);
  }

  radiusOf(start: HoldingId): Radius {
    const own = this.holdings.of(start);
    const controlled = this.controlledBy(own);
    const sending = this.#sending();
    this.#add(own, sending);
    const reached = this.#targets(this.#open(sending, own));
    const everything = own.isAll ? this.counted : this.#outcome(start, own, sending, reached).taken;
    return this.#parted(controlled, reached, everything);
  }

  /** What holds the same means reaches the same: a sidecar mostly as its whole pod. */
  countsOf(start: HoldingId): RadiusCounts {
    const { yields: _yields, ...means } = this.holdings.of(start);
    const key = JSON.stringify(means);
    let counts = this.#counts.get(key);
    if (counts === undefined) {
      const { controlled, reached, further } = this.radiusOf(start);
      counts = {
        controlled: countBits(controlled),
        reached: countBits(reached),
        further: countBits(further),
      };
      this.#counts.set(key, counts);
    }
    return counts;
  }

  /** Workloads that are run code in, and those as whom it may act. */
  controlledBy({ isCa, code, keys }: Holdings): Bits {
    if (isCa) return this.counted.slice();
    const bits = noBits(this.mesh.workloads.length);
    for (const at of code) setBit(bits, at);
    for (const key of keys)
      for (const at of this.#byPrincipal.get(this.#underOwnName(key)) ?? []) setBit(bits, at);
    return bits;
  }

  /** An identity of an alias passes everywhere for that of the mesh's own trust domain. */
  #underOwnName(principal: string): string {
    const { trustDomain, trustDomainAliases } = this.mesh.config;
    const slash = principal.indexOf("/");
    const isAlias = trustDomainAliases.includes(principal.slice(0, slash));
    return isAlias ? `${trustDomain}${principal.slice(slash)}` : principal;
  }

  /** Entry points that are open to who has all of these. */
  openTo(all: readonly Holdings[]): Bits {
    const growing = this.growing();
    for (const own of all) growing.add(own);
    return growing.open();
  }

  /** What is open to what is held so far, where more comes to be held. */
  growing(): { readonly add: (own: Holdings) => void; readonly open: () => Bits } {
    const sending = this.#sending();
    let isAll = false;
    return {
      add: (own) => {
        isAll ||= own.isAll;
        this.#add(own, sending);
      },
      open: () => this.#open(sending, { isAll }),
    };
  }

  #parted(controlled: Bits, reached: Bits, everything: Bits): Radius {
    const own = controlled.map((word, at) => word & (this.counted[at] ?? 0));
    const once = reached.map((word, at) => word & ~(own[at] ?? 0) & (this.counted[at] ?? 0));
    const rest = everything.map(
      (word, at) => word & ~(own[at] ?? 0) & ~(once[at] ?? 0) & (this.counted[at] ?? 0),
    );
    return { controlled: own, reached: once, further: rest };
  }

  #sending(): Sending {
    const { size } = this.entries;
    const [keys, free, captured, direct, loosened] = [
      noBits(size),
      noBits(size),
      noBits(size),
      noBits(size),
      noBits(size),
    ];
    return { keys, free, captured, direct, loosened };
  }

  #add(own: Holdings, into: Sending): void {
    const { entries, network, mesh } = this;
    if (own.isCa) addBits(into.keys, network.everything);
    for (const key of own.keys) entries.addFor(key, into.keys);
    if (own.isAnywhere) addBits(into.free, network.everything);
    for (const row of this.#rows(own.free)) addBits(into.free, row);
    for (const row of this.#rows(own.captured)) addBits(into.captured, row);
    for (const at of own.captured) {
      const workload = mesh.workloads[at];
      if (workload !== undefined) this.#addThroughZtunnel(principalOf(workload), network.fromPlace(at), into);
    }
    for (const namespace of own.loosened) this.#addNamespace(namespace, "target", into.loosened);
    for (const namespace of own.opened) {
      this.#addNamespace(namespace, "end", into.free);
      this.#addNamespace(namespace, "end", into.captured);
    }
    for (const namespace of own.inside) this.#addNamespace(namespace, "target", into.direct);
    for (const namespace of own.proxied) this.#addProxied(namespace, into.direct);
  }

  /** The API server is in no pod, and shows nobody's identity to one. */
  #addProxied(namespace: string, into: Bits): void {
    const there = noBits(this.entries.size);
    this.#addNamespace(namespace, "end", there);
    for (const [word, bits] of this.entries.anonymous.entries()) there[word] = (there[word] ?? 0) & bits;
    addBits(into, there);
  }

  #rows(places: readonly number[]): ReadonlySet<Bits> {
    const rows = new Set<Bits>();
    for (const at of places) {
      rows.add(this.network.fromPlace(at));
    }
    return rows;
  }

  /** As its own pod, by the tunnel where the other side takes it, else in clear as nobody. */
  #addThroughZtunnel(principal: string, row: Bits, { direct }: Sending): void {
    const { entries } = this;
    const own = noBits(entries.size);
    entries.addFor(principal, own);
    for (let word = 0; word < direct.length; word++) {
      const tunnelled = (own[word] ?? 0) & (entries.tunnels[word] ?? 0);
      const clear = (entries.anonymous[word] ?? 0) & (entries.withoutTunnel[word] ?? 0);
      direct[word] = ((direct[word] ?? 0) | ((row[word] ?? 0) & (tunnelled | clear))) >>> 0;
    }
  }

  #addNamespace(namespace: string, which: "target" | "end", into: Bits): void {
    if (namespace === "*") addBits(into, this.network.everything);
    for (const [at, entry] of this.entries.all.entries())
      if (this.mesh.workloads[entry[which]]?.namespace === namespace) setBit(into, at);
  }

  #open({ keys, free, captured, direct, loosened }: Sending, { isAll }: Pick<Holdings, "isAll">): Bits {
    if (isAll) return this.network.everything;
    const { anonymous, withoutTunnel } = this.entries;
    const open = new Uint32Array(direct.length);
    for (let at = 0; at < open.length; at++) {
      const taken = loosened[at] ?? 0;
      const asked = (keys[at] ?? 0) | (anonymous[at] ?? 0) | taken;
      const past = (captured[at] ?? 0) & ((withoutTunnel[at] ?? 0) | taken);
      open[at] = (direct[at] ?? 0) | (asked & ((free[at] ?? 0) | past));
    }
    return open;
  }

  #targets(open: Bits): Bits {
    const targets = noBits(this.mesh.workloads.length);
    for (const at of bitsIn(open)) setBit(targets, this.entries.all[at]?.target ?? 0);
    return targets;
  }

  /**
   * Results of workloads are kept: whoever reaches one of them has all that it has.
   * @param sending what is held, which grows here.
   * @param reached workloads that are reached at once.
   */
  #outcome(start: HoldingId, own: Holdings, sending: Sending, reached: Bits): Outcome {
    const at = this.#placeOf(start);
    // A sidecar has less than its whole pod.
    const isKept = at !== undefined && !start.startsWith("sidecar/");
    const known = (isKept ? this.#outcomes.get(at) : undefined) ?? this.#sharedBy(at, reached);
    const outcome = known ?? this.#grow(this.#fresh(own, sending, isKept ? at : undefined), at);
    if (isKept) this.#outcomes.set(at, outcome);
    return outcome;
  }

  /** Each has the other: what one has is all there is. */
  #sharedBy(at: number | undefined, reached: Bits): Outcome | undefined {
    if (at === undefined) return undefined;
    for (const target of bitsIn(reached)) {
      const known = this.#outcomes.get(target);
      if (known !== undefined && hasBit(known.expanded, at)) return known;
    }
    return undefined;
  }

  #fresh(own: Holdings, sending: Sending, at: number | undefined): Outcome {
    const expanded = noBits(this.mesh.workloads.length);
    if (at !== undefined) setBit(expanded, at);
    return { ...sending, taken: this.controlledBy(own), expanded, looked: noBits(this.entries.size) };
  }

  /** The place of a workload whose own compromise this is. */
  #placeOf(start: HoldingId): number | undefined {
    if (!/^(workload|sidecar|waypoint|gateway)\//.test(start)) return undefined;
    const [only] = this.holdings.of(start).code;
    return only;
  }

  #grow(outcome: Outcome, self: number | undefined): Outcome {
    for (let grown = true; grown; ) {
      grown = false;
      for (const at of bitsIn(this.#unlooked(outcome))) {
        setBit(outcome.looked, at);
        const target = this.entries.all[at]?.target ?? 0;
        if (hasBit(outcome.expanded, target)) continue;
        grown = true;
        const known = this.#outcomes.get(target);
        // Each has the other: what one has is all there is.
        if (known !== undefined && self !== undefined && hasBit(known.expanded, self)) return known;
        if (known === undefined) this.#expand(target, outcome);
        else join(known, outcome);
        setBit(outcome.expanded, target);
        setBit(outcome.taken, target);
      }
    }
    return outcome;
  }

  #unlooked(outcome: Outcome): Bits {
    const open = this.#open(outcome, NOT_ALL);
    for (let word = 0; word < open.length; word++)
      open[word] = (open[word] ?? 0) & ~(outcome.looked[word] ?? 0);
    return open;
  }

  #expand(target: number, outcome: Outcome): void {
    for (const own of this.heldAt(target)) {
      if (own.isAll) {
        addBits(outcome.taken, this.counted);
        addBits(outcome.expanded, this.counted);
        for (const bits of [outcome.keys, outcome.free]) addBits(bits, this.network.everything);
        return;
      }
      addBits(outcome.taken, this.controlledBy(own));
      this.#add(own, outcome);
    }
  }

  /** What the compromise of a workload yields. */
  heldAt(target: number): readonly Holdings[] {
    const workload = this.mesh.workloads[target];
    if (workload === undefined) return [];
    return this.graph.componentsOf(workload).map((id) => this.holdings.of(id));
  }
}

function identitiesBy(asked: HoldingId, { config }: Mesh): readonly string[] {
  if (kindOf(asked) === "key") return [restOf(asked)];
  const [namespace, account] = namesOf(asked);
  return kindOf(asked) === "token" ? [`${config.trustDomain}/ns/${namespace}/sa/${account}`] : [];
}

const NOT_ALL = { isAll: false };

const INFRASTRUCTURE: ReadonlySet<string> = new Set(["istiod", "ztunnel", "cni"]);

function join(known: Outcome, into: Outcome): void {
  addBits(into.keys, known.keys);
  addBits(into.free, known.free);
  addBits(into.captured, known.captured);
  addBits(into.direct, known.direct);
  addBits(into.loosened, known.loosened);
  addBits(into.taken, known.taken);
  addBits(into.expanded, known.expanded);
  addBits(into.looked, known.looked);
}
