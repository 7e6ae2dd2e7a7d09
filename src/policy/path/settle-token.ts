/** What a request's token comes to at one proxy, without asking anybody for keys unless there is a way to. */
import type { HttpRequest } from "../http-request.ts";
import type { InboundPolicy } from "../inbound.ts";
import { isAudienceAllowed } from "../jwt/audience.ts";
import type { JwtPolicy, JwtRule } from "../jwt/jwt-policy.ts";
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

/**
 * Signature and times are taken as good. Claims that name their issuer are all that the token says: as in Envoy's jwt_authn, one without `aud`
 * is for no audience that a rule names. Claims without `iss` are part of a token of the first rule's issuer, and for its audience if they name none.
 */
function assumeVerified(policy: JwtPolicy, claims: Claims): JwtResult {
  const [first] = rulesOfIssuer(policy, claims);
  if (first === undefined) return { ...NO_TOKEN, refusal: policy.rules[0]?.refusals.unknownIssuer ?? null };
  if (audiencesOf(claims) === "invalid") return { ...NO_TOKEN, refusal: first.refusals.invalid };
  const rule = ruleFor(policy, claims);
  if (rule === undefined) return { ...NO_TOKEN, refusal: first.refusals.wrongAudience };
  return acceptClaims(policy, rule, claims);
}

/** The rule that takes claims as a token of its issuer and for its audience; undefined where none does. */
export function ruleFor(policy: JwtPolicy, claims: Claims): JwtRule | undefined {
  const audiences = audiencesOf(claims);
  if (audiences === "invalid") return undefined;
  return rulesOfIssuer(policy, claims).find(
    (rule) => audiences === "not stated" || isAudienceAllowed(rule.audiences, audiences),
  );
}

function rulesOfIssuer({ rules }: JwtPolicy, { iss }: Claims): readonly JwtRule[] {
  return typeof iss === "string"
    ? rules.filter(({ issuer }) => issuer === "" || issuer === iss)
    : rules.slice(0, 1);
}

function audiencesOf({ iss, aud }: Claims): readonly string[] | "not stated" | "invalid" {
  if (aud === undefined) return typeof iss === "string" ? [] : "not stated";
  if (typeof aud === "string") return [aud];
  return Array.isArray(aud) ? aud.map(String) : "invalid";
}
