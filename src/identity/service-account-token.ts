import { createPublicKey, type KeyObject, randomUUID } from "node:crypto";
import { join } from "node:path";
import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  errors,
  exportJWK,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
  SignJWT,
} from "jose";
import { BulwarkError, type BulwarkErrorCode } from "../resources/bulwark-error.ts";
import { KEY_ALGORITHMS, keyAlgorithmOf } from "./key-algorithm.ts";
import { ensurePrivateFolder, readPrivateKey, removeStaleTemporaries, writePrivateKey } from "./key-store.ts";

/** The audience that Istio's CA asks for. */
export const CA_AUDIENCE = "istio-ca";
/** The issuer of a cluster whose API server was given no other. */
export const DEFAULT_TOKEN_ISSUER = "https://kubernetes.default.svc.cluster.local";

export interface NamedObject {
  readonly name: string;
  readonly uid: string;
}

/** Whose token it is. */
export interface TokenSubject {
  readonly namespace: string;
  readonly serviceAccount: NamedObject;
  readonly pod: NamedObject;
}

export interface TokenRequest extends TokenSubject {
  readonly audiences?: readonly string[];
  /** Default 3600. */
  readonly ttlSeconds?: number;
}

export interface TokenVerification {
  readonly audience: string;
  /** Whether the pod that the token is bound to still lives; a token of a pod that is gone is refused. */
  readonly isPodLive?: (subject: TokenSubject) => boolean;
}

export interface VerifiedToken extends TokenSubject {
  readonly issuedAt: Date;
  readonly notAfter: Date;
  /** `jti`, where there is one. */
  readonly tokenId?: string;
  /** The node that the pod is bound to, where the token names it (Kubernetes 1.32 and later). */
  readonly node?: string;
}

/** What signatures are held against; the API server's own keys come here as well. */
export interface TokenTrust {
  readonly keys: JWTVerifyGetKey;
  readonly issuer: string;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

export interface TokenIssuerOptions {
  readonly issuer?: string;
  readonly clock?: () => number;
}

/** More than any service account token has; it bounds what is parsed before the signature is known to be good. */
export const MAX_TOKEN_CHARS = 8192;
/** Clocks of issuers run ahead of ours by so much at most. */
const MAX_AHEAD_MS = 60_000;
/** Kubernetes signs with these; the symmetric ones and `none` are not among them, so no public key can pass for a secret. */
const ALGORITHMS = ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
const DEFAULT_TTL_SECONDS = 3600;
const MAX_TTL_SECONDS = 86_400;

/** Plays the API server's part where there is none: signed, bound, expiring service account tokens. */
export class ServiceAccountTokenIssuer {
  /** The public keys, as an API server publishes them. */
  readonly jwks: JSONWebKeySet;
  readonly #key: KeyObject;
  readonly #kid: string;
  readonly #trust: TokenTrust;

  constructor(key: KeyObject, kid: string, jwks: JSONWebKeySet, trust: TokenTrust) {
    this.#key = key;
    this.#kid = kid;
    this.jwks = jwks;
    this.#trust = trust;
  }

  get issuer(): string {
    return this.#trust.issuer;
  }

  /** A token in the form of the TokenRequest API. @throws {BulwarkError} BW_TOKEN_TTL_INVALID */
  async mintToken(request: TokenRequest): Promise<string> {
    const {
      namespace,
      serviceAccount,
      pod,
      audiences = [CA_AUDIENCE],
      ttlSeconds = DEFAULT_TTL_SECONDS,
    } = request;
    if (!(ttlSeconds > 0 && ttlSeconds <= MAX_TTL_SECONDS)) {
      const message = `a token lives for more than 0 and at most ${MAX_TTL_SECONDS} s`;
      throw new BulwarkError("BW_TOKEN_TTL_INVALID", message, { detail: { ttlSeconds } });
    }
    const now = Math.floor(this.#trust.clock() / 1000);
    return await new SignJWT({ "kubernetes.io": { namespace, serviceaccount: serviceAccount, pod } })
      .setProtectedHeader({ alg: "ES256", kid: this.#kid })
      .setIssuer(this.#trust.issuer)
      .setSubject(`system:serviceaccount:${namespace}:${serviceAccount.name}`)
      .setAudience([...audiences])
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(now + Math.ceil(ttlSeconds))
      .setJti(randomUUID())
      .sign(this.#key);
  }

  /** As {@link verifyServiceAccountToken}, with this issuer's own keys. */
  verifyToken(jwt: string, verification: TokenVerification): Promise<VerifiedToken> {
    return verifyServiceAccountToken(jwt, this.#trust, verification);
  }
}

/**
 * Opens the issuer whose key is kept under `stateDir` (`tokens/issuer.key.pem`, mode 0600), making it on the first run.
 * @throws {BulwarkError} BW_TOKEN_ISSUER_KEY, and those of the key store.
 */
export async function openTokenIssuer(
  stateDir: string,
  options: TokenIssuerOptions = {},
): Promise<ServiceAccountTokenIssuer> {
  const key = await loadOrMakeKey(join(stateDir, "tokens"));
  const publicJwk = await exportJWK(createPublicKey(key));
  const kid = await calculateJwkThumbprint(publicJwk);
  const jwks = { keys: [{ ...publicJwk, kid, alg: "ES256", use: "sig" }] };
  return new ServiceAccountTokenIssuer(key, kid, jwks, {
    keys: createLocalJWKSet(jwks),
    issuer: options.issuer ?? DEFAULT_TOKEN_ISSUER,
    clock: options.clock ?? Date.now,
  });
}

async function loadOrMakeKey(folder: string): Promise<KeyObject> {
  ensurePrivateFolder(folder);
  removeStaleTemporaries(folder);
  const path = join(folder, "issuer.key.pem");
  if (readPrivateKey(path) === undefined) {
    const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
    // Of two processes that start at once, one places its key; both then read that one.
    writePrivateKey(path, privateKey, { exclusive: true });
  }
  const key = readPrivateKey(path);
  if (key === undefined || keyAlgorithmOf(key)?.name !== "ecdsa-p256") {
    throw new BulwarkError(
      "BW_TOKEN_ISSUER_KEY",
      `${path} is not a P-256 key; remove it to have a new one made`,
    );
  }
  return key;
}

/**
 * Checks a Kubernetes service account token: signature, issuer, audience, dates, and that subject and bound claims agree.
 * @throws {BulwarkError} BW_TOKEN_MALFORMED, BW_TOKEN_ALGORITHM, BW_TOKEN_UNKNOWN_KEY, BW_TOKEN_SIGNATURE,
 * BW_TOKEN_ISSUER, BW_TOKEN_AUDIENCE, BW_TOKEN_EXPIRED, BW_TOKEN_NOT_YET_VALID, BW_TOKEN_CLAIMS, BW_TOKEN_POD_GONE,
 * BW_TOKEN_UNVERIFIABLE when the keys cannot be had, or a header asks for what is not supported.
 * No message holds any part of the token.
 */
export async function verifyServiceAccountToken(
  jwt: string,
  trust: TokenTrust,
  verification: TokenVerification,
): Promise<VerifiedToken> {
  if (jwt.length > MAX_TOKEN_CHARS)
    refuse("BW_TOKEN_MALFORMED", "the token is longer than any service account token");
  const payload = await verifiedPayload(jwt, trust, verification.audience);
  const subject = boundSubject(payload);
  const { exp, iat } = payload;
  if (subject === undefined || exp === undefined || iat === undefined) {
    refuse("BW_TOKEN_CLAIMS", "the token is not a service account's, or is not bound to a pod");
  }
  if (verification.isPodLive !== undefined && !verification.isPodLive(subject)) {
    refuse("BW_TOKEN_POD_GONE", "the pod that the token is bound to is gone");
  }
  refuseFutureToken(iat * 1000, trust.clock());
  return {
    ...subject,
    issuedAt: new Date(iat * 1000),
    notAfter: new Date(exp * 1000),
    ...(typeof payload.jti === "string" ? { tokenId: payload.jti } : {}),
    ...boundNode(payload),
  };
}

/**
 * A token of the future would outlive every cutoff that is drawn today.
 * @throws {BulwarkError} BW_TOKEN_NOT_YET_VALID
 */
export function refuseFutureToken(issuedAtMs: number, nowMs: number): void {
  if (issuedAtMs > nowMs + MAX_AHEAD_MS)
    refuse("BW_TOKEN_NOT_YET_VALID", "the token was issued in the future");
}

async function verifiedPayload(jwt: string, trust: TokenTrust, audience: string): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(jwt, trust.keys, {
      algorithms: ALGORITHMS,
      issuer: trust.issuer,
      audience,
      requiredClaims: ["exp", "iat", "sub"],
      currentDate: new Date(trust.clock()),
    });
    return payload;
  } catch (error) {
    throw tokenError(error);
  }
}

/** Why jose refused a token, as an error of ours. jose's carry the payload, so none is passed on as a cause. */
export function tokenError(error: unknown): BulwarkError {
  const [code, message] = tokenRefusal(error);
  return new BulwarkError(code, message);
}

function tokenRefusal(error: unknown): readonly [BulwarkErrorCode, string] {
  if (error instanceof errors.JWTExpired) return ["BW_TOKEN_EXPIRED", "the token has expired"];
  if (error instanceof errors.JWTClaimValidationFailed) return claimRefusal(error.claim);
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return ["BW_TOKEN_ALGORITHM", "the token is signed with an algorithm that is not accepted"];
  }
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
    return ["BW_TOKEN_UNKNOWN_KEY", "the token is signed with a key that is not the issuer's"];
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return ["BW_TOKEN_SIGNATURE", "the token's signature is wrong"];
  }
  if (
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof TypeError
  ) {
    return ["BW_TOKEN_MALFORMED", "the token cannot be read"];
  }
  return [
    "BW_TOKEN_UNVERIFIABLE",
    "the token cannot be checked: its keys or what it asks for are not at hand",
  ];
}

function claimRefusal(claim: string): readonly [BulwarkErrorCode, string] {
  if (claim === "aud") return ["BW_TOKEN_AUDIENCE", "the token is for another audience"];
  if (claim === "iss") return ["BW_TOKEN_ISSUER", "the token is of another issuer"];
  if (claim === "nbf") return ["BW_TOKEN_NOT_YET_VALID", "the token is not valid yet"];
  return ["BW_TOKEN_CLAIMS", `the token's claim ${claim} is missing or wrong`];
}

function boundNode(payload: JWTPayload): { readonly node?: string } {
  const { name } = record(record(payload["kubernetes.io"]).node);
  return typeof name === "string" && name !== "" ? { node: name } : {};
}

function boundSubject(payload: JWTPayload): TokenSubject | undefined {
  const claims = record(payload["kubernetes.io"]);
  const { namespace } = claims;
  const serviceAccount = namedObject(claims.serviceaccount);
  const pod = namedObject(claims.pod);
  if (typeof namespace !== "string" || serviceAccount === undefined || pod === undefined) return undefined;
  // INVARIANT: the subject that others read and the claims that we read name the same account.
  if (payload.sub !== `system:serviceaccount:${namespace}:${serviceAccount.name}`) return undefined;
  if (/[:/]/.test(namespace) || /[:/]/.test(serviceAccount.name)) return undefined;
  return { namespace, serviceAccount, pod };
}

function namedObject(value: unknown): NamedObject | undefined {
  const { name, uid } = record(value);
  return typeof name === "string" && name !== "" && typeof uid === "string" ? { name, uid } : undefined;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function refuse(code: BulwarkErrorCode, message: string): never {
  throw new BulwarkError(code, message);
}
