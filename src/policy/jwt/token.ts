/** A compact JWS, taken apart without any trust in it. */
import type { Claims } from "./jwt-result.ts";

export interface UnverifiedToken {
  readonly text: string;
  readonly algorithm: string;
  readonly keyId: string | null;
  readonly issuer: string;
  readonly audiences: readonly string[];
  /** Seconds since the epoch; 0 where the claim is not there. */
  readonly notBefore: number;
  /** Seconds since the epoch; Infinity where the claim is not there. */
  readonly expires: number;
  readonly claims: Claims;
  readonly payloadText: string;
}

/** Undefined where the text is no token: not three parts, not base64url, not JSON, or claims of the wrong kind. */
export function parseToken(text: string): UnverifiedToken | undefined {
  // Dots without anything between them do not count, as in Envoy.
  const compact = text
    .split(".")
    .filter((part) => part !== "")
    .join(".");
  const [, header = "", payload = ""] = COMPACT.exec(compact) ?? [];
  const head = parseObject(header);
  const claims = parseObject(payload);
  if (head === undefined || claims === undefined) return undefined;
  const { alg, kid } = head;
  const { iss = "", aud = [], nbf, exp, iat } = claims;
  const audiences = typeof aud === "string" ? [aud] : aud;
  if (typeof alg !== "string" || (kid !== undefined && typeof kid !== "string")) return undefined;
  if (typeof iss !== "string" || !isTexts(audiences)) return undefined;
  if (!isTime(nbf) || !isTime(exp) || !isTime(iat)) return undefined;
  return {
    text: compact,
    algorithm: alg,
    keyId: kid ?? null,
    issuer: iss,
    audiences,
    notBefore: nbf ?? 0,
    expires: exp ?? Number.POSITIVE_INFINITY,
    claims,
    payloadText: payload,
  };
}

/** Three parts of base64url without padding (RFC 7515 §7.1). */
const COMPACT = /^([\w-]+)\.([\w-]+)\.[\w-]+$/;

function parseObject(base64Url: string): Record<string, unknown> | undefined {
  try {
    const bytes = Uint8Array.fromBase64(base64Url, { alphabet: "base64url" });
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string");
}

/** Envoy reads them as numbers of 64 bits, and takes no token in which they are anything else, `null` included. */
function isTime(value: unknown): value is number | undefined {
  return value === undefined || (typeof value === "number" && value >= 0 && value < 2 ** 64);
}
