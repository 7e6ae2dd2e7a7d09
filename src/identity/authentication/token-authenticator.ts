import type { AuthenticatedCaller } from "./caller.ts";
import type { TokenUses } from "./token-uses.ts";

/** A caller whose token was found good, and what is remembered of that token. */
export interface TokenCaller extends AuthenticatedCaller {
  readonly tokenId: string | undefined;
  /** Where the caller's requests come from; empty when that is not known. */
  readonly ownAddresses: readonly string[];
}

/** Checks the tokens of one issuer. */
export interface TokenAuthenticator {
  /** `iss`, exactly. */
  readonly issuer: string;
  /** What is kept of the issuer's tokens to know a replay; undefined: nothing. */
  readonly uses: TokenUses | undefined;
  /** Longest life of a certificate that its tokens may ask for; undefined: the CA's own maximum. */
  readonly maxTtlSeconds?: number | undefined;
  /** @throws {BulwarkError} BW_TOKEN_…; no message holds any part of the token. */
  authenticate(jwt: string): Promise<TokenCaller>;
}
