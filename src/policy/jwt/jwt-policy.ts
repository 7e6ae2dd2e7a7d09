/** RequestAuthentication, compiled: whose tokens a workload takes, and where it looks for them. */
import type { Verdict } from "../verdict.ts";
import type { JwtResult } from "./jwt-result.ts";
import type { KeySource } from "./key-source.ts";

/** Where one rule looks for a token; names of headers in lower case. */
export interface JwtLocations {
  readonly headers: readonly { readonly name: string; readonly prefix: string }[];
  readonly params: readonly string[];
  readonly cookies: readonly string[];
}

/** Refusals of one rule, made when it was compiled. */
export interface JwtRefusals {
  readonly invalid: Verdict;
  /** Its keys were never had: whether the token is good cannot be known. */
  readonly noKeys: Verdict;
  readonly unknownIssuer: Verdict;
  readonly wrongAudience: Verdict;
  readonly required: Verdict;
}

export interface JwtRule {
  /** `RequestAuthentication ns/name` */
  readonly policy: string;
  readonly issuer: string;
  /** Without scheme and trailing slash, as Envoy compares them. Empty: any. */
  readonly audiences: ReadonlySet<string>;
  /** JWKS text as given inline; null where it is to be fetched. */
  readonly jwks: string | null;
  /** Null where keys are inline, or there is nowhere to ask for them. */
  readonly keySource: KeySource | null;
  readonly locations: JwtLocations;
  /** Whether the token stays in the request that goes on. */
  readonly forward: boolean;
  /** Lower case; null for none. */
  readonly outputPayloadToHeader: string | null;
  readonly outputClaimToHeaders: readonly { readonly header: string; readonly claim: string }[];
  /** Claims whose text is a list, split at spaces. */
  readonly spaceDelimitedClaims: ReadonlySet<string>;
  /** Whether a request without a token is refused. */
  readonly required: boolean;
  readonly refusals: JwtRefusals;
}

export interface JwtPolicy {
  /** Sorted by issuer, as Istio merges them. Never empty. */
  readonly rules: readonly JwtRule[];
  /** What a request without a token comes to, where none is required. */
  readonly noToken: JwtResult;
  /** Headers that any of the rules sets, in lower case. */
  readonly outputs: readonly string[];
}

/**
 * How keys are had that are not inline: resolves to the JWKS document's text. A rejection fails closed (401).
 * The implementation keeps what it fetched, bounds size and time, and reaches no link-local or metadata address.
 */
export type FetchJwks = (source: KeySource) => Promise<string>;

/**
 * Asks for keys anew, as a token names one that is not among those known. Resolves to the newest document, which may be the
 * same: how often it is really fetched is bounded by whoever implements this. Never rejects.
 */
export type RefetchJwks = (source: KeySource) => Promise<string | undefined>;
