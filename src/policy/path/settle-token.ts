/** What a request's token comes to at one proxy, without asking anybody for keys unless there is a way to. */
import type { HttpRequest } from "../http-request.ts";
import type { InboundPolicy } from "../inbound.ts";
import { isAudienceAllowed } from "../jwt/audience.ts";
import type { JwtPolicy } from "../jwt/jwt-policy.ts";
import { type Claims, type JwtResult, NO_TOKEN } from "../jwt/jwt-result.ts";
import { acceptClaims, verifyRequestJwt } from "../jwt/verify-jwt.ts";
import type { Verdict } from "../verdict.ts";
import type { Flight, JourneyContext } from "./journey.ts";

/** A token is refused for want of keys that could not be asked for here: whether it is good is not known. */
export const KEYS_UNKNOWN: Verdict = Object.freeze({
  allowed: false,
  code: 401,
  reason: "unknown",
  cause: "jwks-not-fetched",
  layer: "jwt",
  policy: null,
  rule: null,
});

/**
 * Sets `request.jwt` where the policy has rules for tokens.
 * @returns the verdict in place of a refusal of the token, which missing keys may have caused; null where nothing is in doubt.
 */
export async function settleToken(
  { fetchJwks, nowSeconds }: JourneyContext,
  { jwt }: InboundPolicy,
  request: HttpRequest,
  { claims }: Flight,
): Promise<Verdict | null> {
  if (jwt === null) return null;
  if (claims !== undefined) {
    request.jwt = assumeVerified(jwt, claims);
    return null;
  }
  let missingKeys = false;
  const refuse = (): Promise<string> => {
    missingKeys = true;
    return Promise.reject(new Error("keys are not fetched here"));
  };
  request.jwt = await verifyRequestJwt(jwt, request, { fetchJwks: fetchJwks ?? refuse, nowSeconds });
  return missingKeys ? KEYS_UNKNOWN : null;
}

/** Signature and times are taken as good; issuer and audience, where the claims have them, are still those that a rule takes. */
function assumeVerified(policy: JwtPolicy, claims: Claims): JwtResult {
  const { aud } = claims;
  const rule = ruleFor(policy, claims);
  if (rule === undefined) return { ...NO_TOKEN, refusal: policy.rules[0]?.refusals.unknownIssuer ?? null };
  const audiences = typeof aud === "string" ? [aud] : Array.isArray(aud) ? aud.map(String) : undefined;
  if (audiences !== undefined && !isAudienceAllowed(rule.audiences, audiences))
    return { ...NO_TOKEN, refusal: rule.refusals.wrongAudience };
  return acceptClaims(policy, rule, claims);
}

/** The rule that takes claims as a token of its issuer; the first where they name none. */
export function ruleFor({ rules }: JwtPolicy, { iss }: Claims): JwtPolicy["rules"][number] | undefined {
  return typeof iss === "string" ? rules.find(({ issuer }) => issuer === "" || issuer === iss) : rules[0];
}
