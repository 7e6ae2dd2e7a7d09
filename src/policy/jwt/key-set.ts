/** The keys of a JWKS document, and verifying with them. */
import type { CryptoKey, JWK } from "jose";
import type { UnverifiedToken } from "./token.ts";

/**
 * Signature algorithms that are taken: public-key ones. HMAC is not: its key would be the public one that everybody has.
 * @see RFC 8725 §3.1
 */
const ALGORITHMS: ReadonlyMap<string, string> = new Map([
  ["RS256", "RSA"],
  ["RS384", "RSA"],
  ["RS512", "RSA"],
  ["PS256", "RSA"],
  ["PS384", "RSA"],
  ["PS512", "RSA"],
  ["ES256", "EC"],
  ["ES384", "EC"],
  ["ES512", "EC"],
  ["EdDSA", "OKP"],
]);

/** Keys by algorithm, imported when first needed. */
export class KeySet {
  readonly #keys: readonly JWK[];
  readonly #imported = new Map<string, Promise<CryptoKey | Uint8Array>>();

  /** @param document JWKS text. What is no JWKS is a set without keys: every token fails. */
  constructor(document: string) {
    this.#keys = parseJwks(document);
  }

  /** Whether a key might be the one that a token names. One without a name might be any. */
  names(keyId: string): boolean {
    return this.#keys.some(({ kid }) => kid === undefined || kid === keyId);
  }

  /** Whether one of the keys made the token's signature. A key with another `kid` or `alg` is not tried. */
  async verifies(token: UnverifiedToken): Promise<boolean> {
    const keyType = ALGORITHMS.get(token.algorithm);
    if (keyType === undefined) return false;
    for (const [index, key] of this.#keys.entries()) {
      const named = token.keyId === null || key.kid === undefined || key.kid === token.keyId;
      const suits = key.kty === keyType && (key.alg === undefined || key.alg === token.algorithm);
      if (named && suits && (await this.#verifiesWith(index, key, token))) return true;
    }
    return false;
  }

  async #verifiesWith(index: number, key: JWK, token: UnverifiedToken): Promise<boolean> {
    // Most proxies never see a token: its 46 modules are a tenth of what starting one takes.
    const { compactVerify, importJWK } = await import("jose");
    const name = `${index} ${token.algorithm}`;
    const imported = this.#imported.get(name) ?? importJWK(key, token.algorithm);
    this.#imported.set(name, imported);
    try {
      await compactVerify(token.text, await imported, { algorithms: [token.algorithm] });
      return true;
    } catch {
      // A key that cannot be used and a signature that does not fit come to the same.
      return false;
    }
  }
}

/** Key sets by document, so that a rotated one is read anew; an old one goes when there are too many. */
export class KeySets {
  readonly #limit: number;
  readonly #known = new Map<string, KeySet>();

  /** @param limit how many are kept at most */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @param document JWKS text */
  of(document: string): KeySet {
    const known = this.#known.get(document);
    if (known !== undefined) return known;
    if (this.#known.size >= this.#limit) this.#known.clear();
    const made = new KeySet(document);
    this.#known.set(document, made);
    return made;
  }
}

function parseJwks(document: string): readonly JWK[] {
  try {
    const { keys } = JSON.parse(document) as { keys?: unknown };
    return Array.isArray(keys)
      ? keys.filter((key): key is JWK => typeof key === "object" && key !== null)
      : [];
  } catch {
    return [];
  }
}
