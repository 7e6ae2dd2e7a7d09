/**
 * Where workloads may be sent something: each with where the connection ends on the network, and whom the policies there let in. The sets over all of them are
 * what reach is computed with.
 */
import type { Semantics } from "../../policy/inbound.ts";
import { addBits, type Bits, clearBit, hasBit, noBits, setBit } from "./bits.ts";
import { EntryBuilder, type EntryPoint, type Found } from "./entry-builder.ts";
import type { GainGraph } from "./gains.ts";

export type { EntryPoint, EntryWay } from "./entry-builder.ts";

export class EntryPoints {
  readonly all: readonly EntryPoint[];
  /** Open to who shows no identity. */
  readonly anonymous: Bits;
  /** Open to every identity but exceptions. */
  readonly everybody: Bits;
  /** Of pods that ztunnels send to in clear. */
  readonly withoutTunnel: Bits;
  /** By the tunnel port, of pods and waypoints. */
  readonly tunnels: Bits;
  /** By the identities that policies name. */
  readonly #named = new Map<string, number[]>();
  readonly #refused = new Map<string, number[]>();
  readonly #namedAt: readonly (readonly string[])[];
  readonly #ownPrefix: string;
  readonly #trustDomains: readonly Found["trustDomains"][];
  readonly #byTrustDomain = new Map<string, Bits>();
  /** By where they end. */
  readonly byEnd: ReadonlyMap<number, readonly number[]>;
  readonly byTarget: ReadonlyMap<number, readonly number[]>;
  /** Workloads whose policies could not be analysed: they count as open to everybody. */
  readonly notAnalysed: readonly { readonly workload: string; readonly why: string }[];

  /** @param besides identities that no file tells of, and that are asked about. */
  constructor(graph: GainGraph, semantics: Semantics, besides: readonly string[] = []) {
    const builder = new EntryBuilder(graph, semantics, besides);
    const found = builder.build();
    this.#ownPrefix = `${graph.mesh.config.trustDomain}/`;
    this.#trustDomains = found.map(({ trustDomains }) => trustDomains);
    this.all = found.map(({ entry }) => entry);
    this.notAnalysed = builder.notAnalysed;
    this.#namedAt = found.map(({ callers }) => [...callers.named]);
    this.anonymous = noBits(found.length);
    this.everybody = noBits(found.length);
    this.withoutTunnel = noBits(found.length);
    this.tunnels = noBits(found.length);
    const byEnd = new Map<number, number[]>();
    const byTarget = new Map<number, number[]>();
    for (const [at, { entry, callers, tunnelled }] of found.entries()) {
      if (callers.anonymous) setBit(this.anonymous, at);
      if (callers.everybody) setBit(this.everybody, at);
      if (!tunnelled) setBit(this.withoutTunnel, at);
      if (entry.way === "hbone" || entry.way === "waypoint") setBit(this.tunnels, at);
      const index = callers.everybody ? this.#refused : this.#named;
      for (const principal of callers.named) push(index, principal, at);
      push(byEnd, entry.end, at);
      push(byTarget, entry.target, at);
    }
    this.byEnd = byEnd;
    this.byTarget = byTarget;
  }

  get size(): number {
    return this.all.length;
  }

  /** Those that let this identity in by its name. */
  namedFor(principal: string): readonly number[] {
    return this.#named.get(principal) ?? [];
  }

  /** The identities that policies name there, to let them in or to keep them out. */
  namedAt(at: number): readonly string[] {
    return this.#namedAt[at] ?? [];
  }

  /** All that let this identity in, added to a set. */
  addFor(principal: string, into: Bits): void {
    const refused = this.#refused.get(principal) ?? [];
    const trusting = this.#trusting(principal);
    const isPlain = refused.length === 0 && trusting === undefined;
    const own = isPlain ? this.everybody : this.everybody.slice();
    for (const at of refused) clearBit(own, at);
    if (trusting !== undefined)
      for (const [word, bits] of trusting.entries()) own[word] = (own[word] ?? 0) & bits;
    addBits(into, own);
    for (const at of this.namedFor(principal))
      if (trusting === undefined || hasBit(trusting, at)) setBit(into, at);
  }

  /** Whether this entry lets the identity in; null: nobody's. */
  lets(at: number, principal: string | null): boolean {
    if (principal === null) return hasBit(this.anonymous, at);
    const trusting = this.#trusting(principal);
    if (trusting !== undefined && !hasBit(trusting, at)) return false;
    if (hasBit(this.everybody, at)) return this.#refused.get(principal)?.includes(at) !== true;
    return this.namedFor(principal).includes(at);
  }

  /** Those that take the trust domain of an identity at all; undefined: the mesh's own, which all take. */
  #trusting(principal: string): Bits | undefined {
    if (principal.startsWith(this.#ownPrefix)) return undefined;
    const trustDomain = principal.slice(0, principal.indexOf("/"));
    let bits = this.#byTrustDomain.get(trustDomain);
    if (bits === undefined) {
      bits = noBits(this.size);
      for (const [at, taken] of this.#trustDomains.entries())
        if (taken === "any" || taken.includes(trustDomain)) setBit(bits, at);
      this.#byTrustDomain.set(trustDomain, bits);
    }
    return bits;
  }
}

function push<K>(index: Map<K, number[]>, key: K, value: number): void {
  const list = index.get(key);
  if (list === undefined) index.set(key, [value]);
  else list.push(value);
}
