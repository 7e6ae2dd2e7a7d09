/** Claims as header fields, as Envoy's jwt_authn filter writes them. */
import type { Claims } from "./jwt-result.ts";

/**
 * The claim at a path (`a.b` is b in a) as a field's value: octets, one character each. Undefined where it is not there, is empty,
 * or cannot be a field's value.
 */
export function claimText(claims: Claims, path: string): string | undefined {
  const text = textOf(claimByPath(claims, path) ?? "");
  // What a field cannot hold (RFC 9110 §5.5) would end the field, and the next begin in the claim's own words.
  return text === "" || UNSOUND.test(text) ? undefined : text;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
const UNSOUND = /[\x00-\x08\x0a-\x1f\x7f]/;

function claimByPath(claims: Claims, path: string): unknown {
  let value: unknown = claims;
  for (const name of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Claims)[name];
  }
  return value;
}

/** Text in UTF-8, booleans, numbers; lists and objects as base64url JSON. */
function textOf(value: unknown): string {
  if (typeof value === "string") return octets(value).trim();
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number") return numberText(value);
  return new TextEncoder().encode(JSON.stringify(value)).toBase64({ alphabet: "base64url" });
}

function octets(text: string): string {
  let out = "";
  for (const octet of new TextEncoder().encode(text)) out += String.fromCharCode(octet);
  return out;
}

/** Whole numbers that are not negative and fit into 64 bits as they are, others with six decimals. */
function numberText(value: number): string {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 63) return BigInt(value).toString();
  return Math.abs(value) < 1e21 ? value.toFixed(6) : `${BigInt(value)}.000000`;
}
