import { hash } from "node:crypto";
import { Agent, request } from "node:https";
import { decodeJwt, type JWTPayload } from "jose";
import { BulwarkError, type BulwarkErrorCode } from "../../resources/bulwark-error.ts";
import { CA_AUDIENCE, type NamedObject, type VerifiedToken } from "../service-account-token.ts";
import { TLS_PROFILE } from "../tls-profile.ts";
import type { ServiceAccountTokenCheck } from "./kubernetes-token.ts";

export interface TokenReviewOptions {
  /** `https://…` of the API server. */
  readonly server: URL;
  /** PEM: the only authorities that may vouch for that server. */
  readonly caPem: () => string;
  /** Our own token, which may create TokenReviews; asked for each time, since mounted ones are replaced. */
  readonly ownToken: () => string;
  readonly issuer: string;
  readonly audience?: string;
  /** For one review, all in all; default 5 s. */
  readonly timeoutMs?: number;
  /** How long a yes is believed without asking again, and so how late the end of a pod is seen; never past the token's own end. Default 10 s. */
  readonly cacheMs?: number;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
}

interface CachedReview {
  readonly token: VerifiedToken;
  readonly untilMs: number;
}

const DEFAULT_TIMEOUT_MS = 5000;
const DEFAULT_CACHE_MS = 10_000;
const MAX_CACHED = 10_000;
/** Reviews under way; what comes on top is refused at once instead of queued for longer than its caller waits. */
const MAX_UNDER_WAY = 64;
const MAX_SOCKETS = 8;
/** A review's answer repeats the token and lists groups. */
const MAX_ANSWER_BYTES = 256 * 1024;
const REVIEW_PATH = "/apis/authentication.k8s.io/v1/tokenreviews";
const USERNAME = "system:serviceaccount:";
const EXTRA = "authentication.kubernetes.io/";

/**
 * Has an API server judge service account tokens. Only a yes is remembered. That the token is a JWT of the cluster's issuer for our
 * audience, and not past its end, is looked at before anybody is asked: nonsense costs the API server nothing.
 * @see https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
 */
export class TokenReviewer {
  readonly #options: Required<TokenReviewOptions>;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, timeout: 60_000 });
  readonly #yes = new Map<string, CachedReview>();
  readonly #underWay = new Map<string, Promise<VerifiedToken>>();

  constructor(options: TokenReviewOptions) {
    this.#options = {
      audience: CA_AUDIENCE,
      timeoutMs: DEFAULT_TIMEOUT_MS,
      cacheMs: DEFAULT_CACHE_MS,
      clock: Date.now,
      ...options,
    };
  }

  /**
   * @throws {BulwarkError} BW_TOKEN_REVIEW_REFUSED when the API server says no; BW_TOKEN_REVIEW_UNAVAILABLE when it says nothing
   * of use, in time; BW_TOKEN_MALFORMED, BW_TOKEN_ISSUER, BW_TOKEN_AUDIENCE, BW_TOKEN_EXPIRED, BW_TOKEN_CLAIMS.
   */
  readonly check: ServiceAccountTokenCheck = async (jwt) => {
    const { clock } = this.#options;
    const key = hash("sha256", jwt, "base64url");
    const cached = this.#yes.get(key);
    if (cached !== undefined && clock() < cached.untilMs) return cached.token;
    this.#yes.delete(key);
    const claims = this.#plausibleClaims(jwt);
    const underWay = this.#underWay.get(key) ?? this.#start(key, jwt, claims);
    return await underWay;
  };

  close(): void {
    this.#agent.destroy();
  }

  #plausibleClaims(jwt: string): JWTPayload {
    const claims = payloadOf(jwt);
    const { issuer, audience, clock } = this.#options;
    if (claims.iss !== issuer) refuse("BW_TOKEN_ISSUER", "the token is of another issuer");
    if (![claims.aud].flat().includes(audience))
      refuse("BW_TOKEN_AUDIENCE", "the token is for another audience");
    if (typeof claims.exp !== "number" || typeof claims.iat !== "number")
      refuse("BW_TOKEN_CLAIMS", "the token does not say when it was issued and when it ends");
    if (claims.exp * 1000 <= clock()) refuse("BW_TOKEN_EXPIRED", "the token has expired");
    return claims;
  }

  #start(key: string, jwt: string, claims: JWTPayload): Promise<VerifiedToken> {
    if (this.#underWay.size >= MAX_UNDER_WAY) unavailable("too many reviews are under way");
    const review = this.#review(jwt, claims)
      .then((token) => this.#remember(key, token))
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, review);
    return review;
  }

  #remember(key: string, token: VerifiedToken): VerifiedToken {
    const { clock, cacheMs } = this.#options;
    const eldest = this.#yes.size >= MAX_CACHED ? this.#yes.keys().next().value : undefined;
    if (eldest !== undefined) this.#yes.delete(eldest);
    this.#yes.set(key, { token, untilMs: Math.min(clock() + cacheMs, token.notAfter.getTime()) });
    return token;
  }

  async #review(jwt: string, claims: JWTPayload): Promise<VerifiedToken> {
    const { audience } = this.#options;
    const body = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token: jwt, audiences: [audience] },
    };
    const status = fields(fields(parseJson(await this.#post(JSON.stringify(body)))).status);
    if (status.authenticated !== true || (status.error !== undefined && status.error !== ""))
      refuse("BW_TOKEN_REVIEW_REFUSED", "the API server does not accept the token");
    // An API server that knows of no audiences has checked none, and says so by naming none.
    if (!texts(status.audiences).includes(audience))
      refuse("BW_TOKEN_AUDIENCE", "the API server accepts the token for another audience");
    return reviewedToken(fields(status.user), claims);
  }

  #post(body: string): Promise<string> {
    const { server, caPem, ownToken, timeoutMs } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const asked = request(
      new URL(REVIEW_PATH, server),
      {
        method: "POST",
        agent: this.#agent,
        ca: caPem(),
        ...TLS_PROFILE.outside,
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          authorization: `Bearer ${ownToken().trim()}`,
          "content-type": "application/json",
          "content-length": Buffer.byteLength(body),
          accept: "application/json",
        },
      },
      (answer) => {
        answer.on("error", () => reject(failure("it broke off")));
        if (answer.statusCode !== 200 && answer.statusCode !== 201) {
          answer.resume();
          reject(failure(`it answered ${answer.statusCode}`));
          return;
        }
        collect(answer).then(resolve, reject);
      },
    );
    asked.on("error", (error) => reject(failure(reasonOf(error))));
    asked.end(body);
    return promise;
  }
}

async function collect(answer: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of answer) {
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) break;
      chunks.push(chunk);
    }
  } catch {
    throw failure("it broke off");
  }
  if (length > MAX_ANSWER_BYTES) throw failure("its answer is too long");
  return Buffer.concat(chunks).toString("utf8");
}

/** What the API server vouches for, and of the token's own claims those that it has read in vouching. */
function reviewedToken(user: Readonly<Record<string, unknown>>, claims: JWTPayload): VerifiedToken {
  const extra = fields(user.extra);
  const username = typeof user.username === "string" ? user.username : "";
  const [namespace = "", account = "", ...rest] = username.slice(USERNAME.length).split(":");
  const isAccount = username.startsWith(USERNAME) && account !== "" && rest.length === 0;
  if (!isAccount || !texts(user.groups).includes("system:serviceaccounts") || claims.sub !== username)
    refuse("BW_TOKEN_CLAIMS", "the token is not a service account's");
  const pod = boundPod(extra);
  if (pod === undefined || claims.exp === undefined || claims.iat === undefined)
    refuse("BW_TOKEN_CLAIMS", "the token is not bound to a pod");
  const node = texts(extra[`${EXTRA}node-name`])[0];
  return {
    namespace,
    serviceAccount: { name: account, uid: typeof user.uid === "string" ? user.uid : "" },
    pod,
    issuedAt: new Date(claims.iat * 1000),
    notAfter: new Date(claims.exp * 1000),
    ...(typeof claims.jti === "string" ? { tokenId: claims.jti } : {}),
    ...(node === undefined ? {} : { node }),
  };
}

function boundPod(extra: Readonly<Record<string, unknown>>): NamedObject | undefined {
  const [name, ...otherNames] = texts(extra[`${EXTRA}pod-name`]);
  const [uid, ...otherUids] = texts(extra[`${EXTRA}pod-uid`]);
  if (name === undefined || uid === undefined || otherNames.length + otherUids.length > 0) return undefined;
  return { name, uid };
}

function payloadOf(jwt: string): JWTPayload {
  try {
    return decodeJwt(jwt);
  } catch {
    return refuse("BW_TOKEN_MALFORMED", "the token cannot be read");
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw failure("its answer is no JSON");
  }
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

/** The system's and TLS's names for what went wrong; never what a server wrote. */
function reasonOf(error: unknown): string {
  const { code, name } = (error ?? {}) as NodeJS.ErrnoException;
  if (name === "TimeoutError" || name === "AbortError") return "no answer in time";
  return typeof code === "string" ? code : "it could not be asked";
}

function failure(why: string): BulwarkError {
  return new BulwarkError("BW_TOKEN_REVIEW_UNAVAILABLE", `the API server did not review the token: ${why}`);
}

function unavailable(why: string): never {
  throw failure(why);
}

function refuse(code: BulwarkErrorCode, message: string): never {
  throw new BulwarkError(code, message);
}
