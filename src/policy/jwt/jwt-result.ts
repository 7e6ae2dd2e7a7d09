/** What verifying a request's tokens came to. */
import type { FlatHeaders } from "../http-request.ts";
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
  /**
   * Headers to remove upstream: those that held a token that is not to be forwarded, and every one that a rule of the workload sets
   * from claims, whether it did or not: what a client sent under such a name would pass for a claim.
   */
  readonly removeHeaders: readonly string[];
  /** Query parameters to remove upstream, for the same reason (see HttpRequest.forwardedPath). */
  readonly removeParams: readonly string[];
}

/** Header fields after verification. The same list where nothing changes. */
export function headersAfterToken(headers: FlatHeaders, result: JwtResult): FlatHeaders {
  const { removeHeaders, setHeaders } = result;
  const kept = withoutFields(headers, removeHeaders);
  return setHeaders.length === 0 ? kept : [...kept, ...setHeaders.flat()];
}

/** The same list where none of them is there. @param names in lower case. */
export function withoutFields(headers: FlatHeaders, names: readonly string[]): FlatHeaders {
  const isGone = (_text: string, at: number): boolean => names.includes(headers[at - (at % 2)] as string);
  return names.length === 0 || !headers.some(isGone)
    ? headers
    : headers.filter((text, at) => !isGone(text, at));
}

/** No token, and none was required. */
export const NO_TOKEN: JwtResult = Object.freeze({
  refusal: null,
  claims: null,
  setHeaders: Object.freeze([]),
  removeHeaders: Object.freeze([]),
  removeParams: Object.freeze([]),
});
