/** A listener's filter chains, and which of them takes a connection: by address, then SNI, then protocol, as Envoy does. */
import { type CidrBlock, cidrContains, parseCidrBlock, parseIpAddress } from "../ip-address.ts";
import { DomainTable } from "./domain-table.ts";
import type { HttpTable } from "./http-table.ts";
import type { TcpForward } from "./tcp-forward.ts";

export type ChainTarget =
  | { readonly kind: "http"; readonly table: HttpTable }
  | { readonly kind: "tcp"; readonly forward: TcpForward };

export interface FilterChain {
  /** Empty, or with `*`: any. */
  readonly serverNames: readonly string[];
  /** Destination blocks; empty: any. */
  readonly blocks: readonly string[];
  /** For clear HTTP only, as detected by the first bytes. */
  readonly onlyHttp: boolean;
  readonly target: ChainTarget;
}

export function takesEverything(chain: FilterChain): boolean {
  return anyServerName(chain) && chain.blocks.length === 0 && !chain.onlyHttp;
}

function anyServerName({ serverNames }: FilterChain): boolean {
  return serverNames.length === 0 || serverNames.includes("*");
}

/** Whether two chains have the same conditions, so that the later one is left out. */
export function sameConditions(a: FilterChain, b: FilterChain): boolean {
  return (
    a.onlyHttp === b.onlyHttp &&
    sameSet(a.serverNames.filter(notStar), b.serverNames.filter(notStar)) &&
    sameSet(a.blocks, b.blocks)
  );
}

function notStar(name: string): boolean {
  return name !== "*";
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.every((entry) => b.includes(entry)) && b.every((entry) => a.includes(entry));
}

/** What the first bytes of a connection are. */
export type Opening =
  | { readonly kind: "http" | "tcp"; readonly sni?: never }
  | { readonly kind: "tls"; readonly sni: string | undefined };

interface ChainNode {
  readonly http: ChainTarget | undefined;
  readonly any: ChainTarget | undefined;
}

interface NameNode {
  readonly named: DomainTable<ChainNode>;
  readonly unnamed: ChainNode;
}

/** INVARIANT: like Envoy's, the search never goes back: a more specific address without a fitting name ends at the default. */
export class ChainMatcher {
  readonly #blocks: readonly (readonly [block: CidrBlock, node: NameNode])[];
  readonly #anywhere: NameNode;
  readonly #fallback: ChainTarget | undefined;
  /** The SNI is looked at only where some chain asks for it. */
  readonly readsSni: boolean;

  constructor(chains: readonly FilterChain[]) {
    this.#fallback = chains.find(takesEverything)?.target;
    this.readsSni = chains.some((chain) => chain.serverNames.length > 0);
    this.#anywhere = nameNode(chains.filter((chain) => chain.blocks.length === 0));
    const byBlock = new Map<string, FilterChain[]>();
    for (const chain of chains)
      for (const block of chain.blocks) byBlock.set(block, [...(byBlock.get(block) ?? []), chain]);
    this.#blocks = [...byBlock]
      .flatMap(([text, own]) => {
        const block = parseCidrBlock(text);
        return block === undefined ? [] : [[block, nameNode(own)] as const];
      })
      .sort(([a], [b]) => b.prefixLength - a.prefixLength);
  }

  /** Undefined: no chain takes it, so the outbound traffic policy decides. */
  find(address: string | undefined, opening: Opening): ChainTarget | undefined {
    const names = this.#nodeFor(address);
    const { sni } = opening;
    const node = (sni === undefined ? undefined : names.named.find(sni.toLowerCase())) ?? names.unnamed;
    const target = opening.kind === "http" ? (node.http ?? node.any) : node.any;
    return target ?? this.#fallback;
  }

  /** The address is read only where some chain asks for one. */
  #nodeFor(text: string | undefined): NameNode {
    const address = text === undefined || this.#blocks.length === 0 ? undefined : parseIpAddress(text);
    if (address === undefined) return this.#anywhere;
    for (const [block, node] of this.#blocks) if (cidrContains(block, address)) return node;
    return this.#anywhere;
  }
}

function nameNode(chains: readonly FilterChain[]): NameNode {
  const named = Map.groupBy(
    chains
      .filter((chain) => !anyServerName(chain))
      .flatMap((chain) => chain.serverNames.map((name) => [name.toLowerCase(), chain] as const)),
    ([name]) => name,
  );
  const entries = [...named].map(([name, own]) => [name, chainNode(own.map(([, chain]) => chain))] as const);
  return { named: new DomainTable(entries), unnamed: chainNode(chains.filter(anyServerName)) };
}

function chainNode(chains: readonly FilterChain[]): ChainNode {
  return {
    http: chains.find((chain) => chain.onlyHttp)?.target,
    any: chains.find((chain) => !chain.onlyHttp)?.target,
  };
}
