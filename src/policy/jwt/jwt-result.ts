/** What verifying a request's tokens came to. */
import type { Verdict } from "../verdict.ts";

/** A verified token's payload, as JSON parsed it. */
export type Claims = Readonly<Record<string, unknown>>;

export interface JwtResult {
  /** Set when the request is to be refused: 401, or 403 for a wrong audience. */
  readonly refusal: Verdict | null;
  /** Claims of the verified token that rules look at; null without one. */
  readonly claims: Claims | null;
  /** Headers to set upstream (lower-case names): outputPayloadToHeader, outputClaimToHeaders. */
  readonly setHeaders: readonly (readonly [name: string, value: string])[];
  /** Headers to remove upstream: those that held a token that is not to be forwarded. */
  readonly removeHeaders: readonly string[];
  /** Query parameters to remove upstream, for the same reason (see HttpRequest.forwardedPath). */
  readonly removeParams: readonly string[];
}

/** No token, and none was required. */
export const NO_TOKEN: JwtResult = Object.freeze({
  refusal: null,
  claims: null,
  setHeaders: Object.freeze([]),
  removeHeaders: Object.freeze([]),
  removeParams: Object.freeze([]),
});
