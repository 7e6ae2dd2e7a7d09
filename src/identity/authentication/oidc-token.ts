import { type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import type { SpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { refuseFutureToken, tokenError } from "../service-account-token.ts";
import type { TokenAuthenticator } from "./token-authenticator.ts";
import type { TokenUses } from "./token-uses.ts";

/** Tokens in which every claim has exactly this text speak for this identity. */
export interface ClaimRule {
  /** At least one. */
  readonly claims: Readonly<Record<string, string>>;
  readonly spiffeId: SpiffeId;
}

export interface OidcIssuerOptions {
  readonly issuer: string;
  /** At least one; a token must be for one of them. */
  readonly audiences: readonly string[];
  readonly keys: JWTVerifyGetKey;
  /** The first that fits decides; a token that fits none is refused. */
  readonly rules: readonly ClaimRule[];
  readonly uses: TokenUses | undefined;
  /** As a TokenAuthenticator has it. */
  readonly maxTtlSeconds?: number | undefined;
  /** Whether a token without `jti` or `nonce` is refused: what may be shown once must be told from others. */
  readonly singleUse: boolean;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

/** Asymmetric only: with HS256 whoever has the public key could sign. */
const ALGORITHMS = [
  "ES256",
  "ES384",
  "ES512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "EdDSA",
  "Ed25519",
];

/** ID tokens of an issuer outside of the mesh. Nothing in them is an identity by itself: rules say which claims stand for which. */
export function oidcTokenAuthenticator(options: OidcIssuerOptions): TokenAuthenticator {
  const { issuer, uses, rules, singleUse } = options;
  return {
    issuer,
    uses,
    maxTtlSeconds: options.maxTtlSeconds,
    async authenticate(jwt) {
      const payload = await verifiedPayload(jwt, options);
      const tokenId = [payload.jti, payload.nonce].find((id) => typeof id === "string");
      if (singleUse && tokenId === undefined)
        throw new BulwarkError("BW_TOKEN_CLAIMS", "a token for one use needs a `jti` or a `nonce`");
      const rule = rules.find(({ claims }) => fits(claims, payload));
      if (rule === undefined)
        throw new BulwarkError("BW_OIDC_UNMAPPED", "no rule gives an identity to the token's claims");
      return {
        spiffeId: rule.spiffeId,
        method: "oidc",
        issuedAtMs: (payload.iat ?? 0) * 1000,
        notAfterMs: (payload.exp ?? 0) * 1000,
        pod: undefined,
        tokenId: typeof tokenId === "string" ? tokenId : undefined,
        ownAddresses: [],
      };
    },
  };
}

async function verifiedPayload(jwt: string, options: OidcIssuerOptions): Promise<JWTPayload> {
  const { issuer, audiences, keys, clock } = options;
  let payload: JWTPayload;
  try {
    ({ payload } = await jwtVerify(jwt, keys, {
      algorithms: ALGORITHMS,
      issuer,
      audience: [...audiences],
      requiredClaims: ["exp", "iat", "sub"],
      currentDate: new Date(clock()),
    }));
  } catch (error) {
    throw error instanceof BulwarkError ? error : tokenError(error);
  }
  refuseFutureToken((payload.iat ?? 0) * 1000, clock());
  return payload;
}

function fits(claims: ClaimRule["claims"], payload: JWTPayload): boolean {
  const wanted = Object.entries(claims);
  return (
    wanted.length > 0 &&
    wanted.every(([name, text]) => Object.hasOwn(payload, name) && payload[name] === text)
  );
}
