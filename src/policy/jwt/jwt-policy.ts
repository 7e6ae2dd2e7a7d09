/** RequestAuthentication, compiled: whose tokens a workload takes, and where it looks for them. */

export interface JwtRule {
  readonly issuer: string;
  readonly audiences: readonly string[];
  /** JWKS text as given inline; null where it is to be fetched. */
  readonly jwks: string | null;
  readonly jwksUri: string | null;
  readonly fromHeaders: readonly { readonly name: string; readonly prefix: string }[];
  readonly fromParams: readonly string[];
  readonly fromCookies: readonly string[];
  readonly forward: boolean;
  readonly outputPayloadToHeader: string | null;
  readonly outputClaimToHeaders: readonly { readonly header: string; readonly claim: string }[];
  readonly spaceDelimitedClaims: ReadonlySet<string>;
  readonly timeoutMs: number;
  /** `RequestAuthentication ns/name`. */
  readonly policy: string;
}

export interface JwtPolicy {
  /** Sorted by issuer, as Istio merges them. */
  readonly rules: readonly JwtRule[];
}

/** How keys are had that are not inline: resolves to the JWKS document's text; a rejection fails closed (401). */
export type FetchJwks = (uri: string, timeoutMs: number) => Promise<string>;
