/** Of all that is held, from where and as whom something is sent to an entry point: the first held, with its own identity where that will do. */
import { hasBit } from "./bits.ts";
import { EVERYWHERE, principalOf } from "./component.ts";
import type { Holdings } from "./holdings.ts";
import type { BlastModel } from "./radius.ts";

export interface Sender {
  /** Place of a workload; null: anywhere. */
  readonly from: number | null;
  /** Without `spiffe://`; null: without an identity. */
  readonly as: string | null;
  /** By the pod's ztunnel, which says who it is. */
  readonly captured: boolean;
  /** Why policies do not count, or not those of the network. */
  readonly loosened?: string;
}

interface Position {
  readonly at: number;
  readonly captured: boolean;
  readonly own: string;
}

/** Grows with what is held. */
export class Senders {
  readonly #model: BlastModel;
  readonly #positions: Position[] = [];
  readonly #known = new Set<string>();
  readonly #keys = new Set<string>();
  readonly #proxied = new Set<string>();
  #isAnywhere = false;
  #isCa = false;

  constructor(model: BlastModel) {
    this.#model = model;
  }

  add(own: Holdings): void {
    for (const key of own.keys) this.#keys.add(key);
    if (own.isAnywhere) this.#isAnywhere = true;
    if (own.isCa) this.#isCa = true;
    for (const namespace of own.proxied) this.#proxied.add(namespace);
    for (const at of own.free) this.#addPosition(at, false);
    for (const at of own.captured) this.#addPosition(at, true);
  }

  /** @param entry place of an entry point that is open to all that is held together. */
  to(entry: number): Sender {
    const { entries } = this.#model;
    const other = this.#keyFor(entry);
    const isOpen = entries.lets(entry, null);
    for (const position of this.#positions) {
      const sender = this.#from(position, entry, other, isOpen);
      if (sender !== undefined) return sender;
    }
    if (this.#isAnywhere && (other !== undefined || isOpen))
      return { from: null, as: other ?? null, captured: false };
    if (isOpen && this.#isProxied(entry))
      return { from: null, as: null, captured: false, loosened: "the API server connects to it, as nobody" };
    const from = this.#positions[0]?.at ?? null;
    if (this.#isCa) return { from, as: null, captured: false, loosened: "the CA signs any identity" };
    return { from, as: other ?? null, captured: false, loosened: "what is held takes policies away" };
  }

  /** The API server connects for it. */
  #isProxied(entry: number): boolean {
    if (this.#proxied.size === 0) return false;
    const { mesh, entries } = this.#model;
    const { namespace = "" } = mesh.workloads[entries.all[entry]?.end ?? -1] ?? {};
    return this.#proxied.has(EVERYWHERE) || this.#proxied.has(namespace);
  }

  #addPosition(at: number, captured: boolean): void {
    const workload = this.#model.mesh.workloads[at];
    const key = `${at} ${captured}`;
    if (workload === undefined || this.#known.has(key)) return;
    this.#known.add(key);
    this.#positions.push({ at, captured, own: principalOf(workload) });
  }

  #keyFor(entry: number): string | undefined {
    const { entries } = this.#model;
    const named = entries
      .namedAt(entry)
      .find((principal) => this.#keys.has(principal) && entries.lets(entry, principal));
    if (named !== undefined) return named;
    if (!hasBit(entries.everybody, entry)) return undefined;
    for (const key of this.#keys) if (entries.lets(entry, key)) return key;
    return undefined;
  }

  #from(
    { at, captured, own }: Position,
    entry: number,
    other: string | undefined,
    isOpen: boolean,
  ): Sender | undefined {
    const { entries, network } = this.#model;
    if (!hasBit(network.fromPlace(at), entry)) return undefined;
    const sender = (as: string | null): Sender => ({ from: at, as, captured });
    if (captured) {
      if (hasBit(entries.tunnels, entry)) return entries.lets(entry, own) ? sender(own) : undefined;
      if (!hasBit(entries.withoutTunnel, entry)) return undefined;
    } else if (this.#keys.has(own) && entries.lets(entry, own)) return sender(own);
    if (isOpen) return sender(null);
    return other === undefined ? undefined : sender(other);
  }
}
