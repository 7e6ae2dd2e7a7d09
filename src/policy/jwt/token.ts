/** A compact JWS, taken apart without any trust in it. */
import type { Claims } from "./jwt-result.ts";

export interface UnverifiedToken {
  readonly text: string;
  readonly algorithm: string;
  readonly keyId: string | null;
  readonly issuer: string;
  readonly audiences: readonly string[];
  /** Seconds since the epoch; null where the claim is not there. */
  readonly notBefore: number | null;
  readonly expires: number | null;
  readonly claims: Claims;
  readonly payloadText: string;
}

/** Undefined where the text is no token: not three parts, not base64url, not JSON, or claims of the wrong kind. */
export function parseToken(text: string): UnverifiedToken | undefined {
  // Dots without anything between them do not count, as in Envoy.
  const parts = text.split(".").filter((part) => part !== "");
  const [header, payload, signature] = parts;
  if (parts.length !== 3 || !header || !payload || !signature) return undefined;
  const head = parseObject(header);
  const claims = parseObject(payload);
  if (head === undefined || claims === undefined || !BASE64URL.test(signature)) return undefined;
  const { alg, kid } = head;
  const { iss = "", aud = [], nbf = null, exp = null, iat = null } = claims;
  const audiences = typeof aud === "string" ? [aud] : aud;
  if (typeof alg !== "string" || (kid !== undefined && typeof kid !== "string")) return undefined;
  if (typeof iss !== "string" || !isTexts(audiences)) return undefined;
  if (!isTime(nbf) || !isTime(exp) || !isTime(iat)) return undefined;
  return {
    text: parts.join("."),
    algorithm: alg,
    keyId: kid ?? null,
    issuer: iss,
    audiences,
    notBefore: nbf,
    expires: exp,
    claims,
    payloadText: payload,
  };
}

const BASE64URL = /^[A-Za-z0-9_-]+$/;

function parseObject(base64Url: string): Record<string, unknown> | undefined {
  if (!BASE64URL.test(base64Url)) return undefined;
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

function isTime(value: unknown): value is number | null {
  return value === null || (typeof value === "number" && value >= 0);
}
