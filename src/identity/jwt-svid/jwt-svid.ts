import { createLocalJWKSet, errors, type JWTPayload, jwtVerify, SignJWT } from "jose";
import { parseSpiffeId, type SpiffeId, type TrustDomain } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { TrustBundle } from "../spiffe-bundle.ts";
import type { JwtSvidKey } from "./jwt-svid-keys.ts";

export interface JwtSvidRequest {
  readonly identity: SpiffeId;
  /** At least one. */
  readonly audiences: readonly string[];
  readonly ttlSeconds: number;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

export interface ValidatedJwtSvid {
  readonly identity: SpiffeId;
  readonly claims: JWTPayload;
}

/** JWT-SVID specification §2.2, less those that our authorities cannot have. */
const ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];
/** More than a token of any use has; it bounds what is parsed before its signature is known to be good. */
const MAX_TOKEN_CHARS = 8192;
const CLOCK_TOLERANCE_SECONDS = 5;
const TYPES: ReadonlySet<string | undefined> = new Set([undefined, "JWT", "JOSE"]);

/** @see JWT-SVID specification §3 */
export async function signJwtSvid(key: JwtSvidKey, request: JwtSvidRequest): Promise<string> {
  const nowSeconds = Math.floor(request.nowMs / 1000);
  return new SignJWT({ aud: [...request.audiences] })
    .setProtectedHeader({ alg: "ES256", kid: key.kid, typ: "JWT" })
    .setSubject(request.identity)
    .setIssuedAt(nowSeconds)
    .setExpirationTime(nowSeconds + request.ttlSeconds)
    .sign(key.privateKey);
}

/**
 * Verifies a JWT-SVID for one audience, against the bundle of the trust domain that its subject names and no other.
 * @param bundleOf undefined for a trust domain that is not trusted.
 * @throws {BulwarkError} BW_JWT_SVID_INVALID; the message quotes nothing of the token.
 */
export async function validateJwtSvid(
  token: string,
  audience: string,
  bundleOf: (trustDomain: TrustDomain) => TrustBundle | undefined,
  nowMs: number,
): Promise<ValidatedJwtSvid> {
  if (token.length > MAX_TOKEN_CHARS) invalid("it is too long");
  if (audience === "") invalid("no audience was named");
  const { identity, trustDomain } = subjectOf(token);
  const bundle = bundleOf(trustDomain);
  if (bundle === undefined) invalid("its trust domain is not trusted");
  const keys = bundle.jwtAuthorities.map(({ kid, jwk }) => ({ ...jwk, kid }));
  try {
    const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet({ keys } as never), {
      algorithms: ALGORITHMS,
      audience,
      requiredClaims: ["sub", "aud", "exp"],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(nowMs),
    });
    if (protectedHeader.kid === undefined) invalid("its header names no key");
    if (!TYPES.has(protectedHeader.typ)) invalid("its header's type is neither JWT nor JOSE");
    return { identity, claims: payload };
  } catch (error) {
    if (error instanceof errors.JOSEError) invalid(error.code);
    throw error;
  }
}

/** Read before the signature is verified, only to know by which keys to do so. */
function subjectOf(token: string): { readonly identity: SpiffeId; readonly trustDomain: TrustDomain } {
  const parts = token.split(".");
  let subject: unknown;
  try {
    subject = (JSON.parse(Buffer.from(parts[1] ?? "", "base64url").toString("utf8")) as JWTPayload | null)
      ?.sub;
  } catch {
    invalid("it cannot be read");
  }
  const parsed = typeof subject === "string" && parts.length === 3 ? parseSpiffeId(subject) : undefined;
  if (parsed === undefined) invalid("its subject is no SPIFFE ID");
  return { identity: parsed.id, trustDomain: parsed.trustDomain };
}

function invalid(why: string): never {
  throw new BulwarkError("BW_JWT_SVID_INVALID", `the JWT-SVID is not valid: ${why}`, { detail: { why } });
}
