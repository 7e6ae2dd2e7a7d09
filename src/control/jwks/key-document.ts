import { BulwarkError } from "../../resources/bulwark-error.ts";

/** Keys as they are handed on. */
export interface KeyDocument {
  /** JWKS text: public keys, and of their members only those that verifying needs. */
  readonly text: string;
  readonly keyIds: readonly string[];
}

/** What a public key is made of (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2). */
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  RSA: ["n", "e"],
  EC: ["crv", "x", "y"],
  OKP: ["crv", "x"],
};
const DESCRIPTION = ["kid", "alg", "use"];
const MAX_KEYS = 100;
const MAX_MEMBER_LENGTH = 4096;

/**
 * The public keys of a JWKS. What is secret, symmetric or of an unknown kind is left behind: it goes to no proxy and to no disk.
 * @throws {BulwarkError} BW_JWKS_INVALID when nothing is left, so that a wrong page never takes the place of good keys.
 */
export function readKeyDocument(text: string): KeyDocument {
  const keys = listOf(text).flatMap((key): Record<string, string>[] => {
    const kept = publicKey(key);
    return kept === undefined ? [] : [kept];
  });
  if (keys.length === 0) throw invalid("no public key in the answer");
  if (keys.length > MAX_KEYS) throw invalid(`more than ${MAX_KEYS} keys`);
  return { text: JSON.stringify({ keys }), keyIds: keys.flatMap(({ kid }) => kid ?? []) };
}

/**
 * The URL of the keys in an OpenID provider's configuration.
 * @throws {BulwarkError} BW_JWKS_INVALID
 */
export function readDiscoveryDocument(text: string): string {
  const { jwks_uri: uri } = objectOf(text);
  if (typeof uri === "string" && URL.canParse(uri)) return uri;
  throw invalid("no `jwks_uri` in the answer");
}

function listOf(text: string): readonly unknown[] {
  const { keys } = objectOf(text);
  if (Array.isArray(keys)) return keys;
  throw invalid("the answer is no set of keys");
}

function objectOf(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message would cite what a server wrote.
  }
  if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  throw invalid("the answer is no JSON object");
}

function publicKey(key: unknown): Record<string, string> | undefined {
  if (typeof key !== "object" || key === null) return undefined;
  const given = key as Record<string, unknown>;
  const needed =
    typeof given.kty === "string" && Object.hasOwn(MEMBERS, given.kty) ? MEMBERS[given.kty] : undefined;
  if (needed === undefined) return undefined;
  const kept: Record<string, string> = { kty: String(given.kty) };
  for (const name of [...needed, ...DESCRIPTION]) {
    const value = given[name];
    if (typeof value === "string" && value.length <= MAX_MEMBER_LENGTH) kept[name] = value;
    else if (value !== undefined || needed.includes(name)) return undefined;
  }
  return kept;
}

function invalid(why: string): BulwarkError {
  return new BulwarkError("BW_JWKS_INVALID", why);
}
