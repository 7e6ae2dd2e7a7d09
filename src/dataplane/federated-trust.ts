import { X509Certificate } from "node:crypto";
import {
  chainProblem,
  type LinkedCertificate,
  linkedChain,
  type TrustAnchors,
} from "../identity/peer-chain.ts";
import { decodePem } from "../identity/pem.ts";
import { parseSpiffeId, parseTrustDomain, type TrustDomain } from "../model/spiffe-id.ts";

/** A trust domain of others, and what its identities are verified against. */
export interface FederatedDomain {
  readonly trustDomain: TrustDomain;
  /** Its roots in PEM; empty: its bundle was never had, so nobody of it is believed. */
  readonly rootsPem: string;
}

/** The mesh's own names. */
export interface OwnTrustDomains {
  readonly trustDomain: TrustDomain;
  readonly aliases: readonly TrustDomain[];
}

/**
 * Which roots count for whom. INVARIANT: a trust domain has one set of roots; no identity is ever held against those of two domains, or a root of one could sign for
 * the other.
 */
export class FederatedTrust {
  readonly #ownRootsPem: string;
  readonly #rootsPem: ReadonlyMap<string, string>;
  readonly #anchors = new Map<string, TrustAnchors>();

  constructor(ownRootsPem: string, domains: readonly FederatedDomain[]) {
    this.#ownRootsPem = ownRootsPem;
    this.#rootsPem = new Map(domains.map(({ trustDomain, rootsPem }) => [trustDomain, rootsPem]));
  }

  /** Without it TLS knows only the mesh's own roots, and its word is enough. */
  get isFederated(): boolean {
    return this.#rootsPem.size > 0;
  }

  /** Roots of every domain: what a server has to know before it knows who its client is. */
  get allRootsPem(): string {
    return [this.#ownRootsPem, ...this.#rootsPem.values()].join("");
  }

  /**
   * Roots of every domain that one of these names belongs to: what a client needs of a server that must be one of them.
   * @param names undefined: any workload of the mesh.
   */
  rootsFor(names: readonly string[] | undefined, own: OwnTrustDomains): string {
    const domains: readonly string[] = names?.map(trustDomainOf) ?? [own.trustDomain, ...own.aliases];
    const roots = new Set(domains.map((domain) => this.#rootsPem.get(domain) ?? this.#ownRootsPem));
    return [...roots].join("");
  }

  /** Why a chain that TLS verified against more than one domain's roots is not one of `trustDomain`; undefined where it is. */
  problem(
    certificate: LinkedCertificate,
    trustDomain: TrustDomain,
    purpose: "client" | "server",
    nowMs: number,
  ): string | undefined {
    return chainProblem(linkedChain(certificate), this.#anchorsOf(trustDomain), purpose, nowMs);
  }

  /** An alias that has a bundle of its own is verified against that: its mesh still has roots of its own. */
  #anchorsOf(trustDomain: TrustDomain): TrustAnchors {
    const known = this.#anchors.get(trustDomain);
    if (known !== undefined) return known;
    const pem = this.#rootsPem.get(trustDomain) ?? this.#ownRootsPem;
    const anchors = decodePem("CERTIFICATE", pem).map((der) => new X509Certificate(der));
    this.#anchors.set(trustDomain, anchors);
    return anchors;
  }
}

/** Empty for what is no SPIFFE ID: such names are the mesh's own affair. */
function trustDomainOf(name: string): string {
  return parseSpiffeId(name)?.trustDomain ?? "";
}

/** @returns undefined for what another version of the control plane may send. */
export function readFederatedDomains(
  sent: readonly { readonly trustDomain: string; readonly rootsPem: string }[],
): readonly FederatedDomain[] {
  return sent.flatMap(({ trustDomain, rootsPem }) => {
    const parsed = parseTrustDomain(trustDomain);
    return parsed === undefined ? [] : [{ trustDomain: parsed, rootsPem }];
  });
}
