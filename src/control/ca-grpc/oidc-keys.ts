import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import { type KeySource, keySource } from "../../policy/jwt/key-source.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { fetchKeys } from "../jwks/fetch-keys.ts";
import { DEFAULT_REFRESH_MS, JwksKeeper } from "../jwks/jwks-keeper.ts";
import type { KeyAccess } from "../jwks/key-access.ts";
import { locateHost } from "../jwks/locate-host.ts";
import type { OidcAccess } from "./ca-access-configuration.ts";

export interface OidcKeysOptions {
  /** Where the last good keys outlive this process. */
  readonly file: string;
  readonly access: KeyAccess;
  readonly refreshMs?: number;
  readonly onProblem: (message: string) => void;
}

const FETCH_TIMEOUT_MS = 5000;

/** The keys of the issuers that vouch to the CA: fetched and kept as those for RequestAuthentications are, apart from them. */
export class OidcKeys {
  readonly #keeper: JwksKeeper;
  /** Made of the text that it stands beside. */
  readonly #sets = new Map<string, { readonly text: string; readonly keys: JWTVerifyGetKey }>();

  constructor(issuers: readonly OidcAccess[], { file, access, refreshMs, onProblem }: OidcKeysOptions) {
    this.#keeper = new JwksKeeper({
      file,
      refreshMs: refreshMs ?? DEFAULT_REFRESH_MS,
      fetch: (source) =>
        fetchKeys(source, { access, standInCaPem: () => null, locate: (url) => locateHost(url, undefined) }),
      onChanged: () => {},
      onHealth: ({ url, error }) => {
        if (error !== null) onProblem(`keys of ${url}: ${error}`);
      },
    });
    this.#keeper.setSources(issuers.map(sourceOf));
  }

  /** Keys for jose. A key that is not known is looked for once more at the issuer, not more often than every half minute. */
  keysOf(issuer: OidcAccess): JWTVerifyGetKey {
    const { id } = sourceOf(issuer);
    return async (header, token) => {
      if (this.#keeper.documentOf(id) === null) await this.#keeper.refetch(id);
      try {
        return await this.#current(id)(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        await this.#keeper.refetch(id);
        return await this.#current(id)(header, token);
      }
    };
  }

  close(): void {
    this.#keeper.close();
  }

  #current(id: string): JWTVerifyGetKey {
    const text = this.#keeper.documentOf(id);
    if (text === null)
      throw new BulwarkError("BW_TOKEN_UNVERIFIABLE", "the keys of the token's issuer cannot be had");
    const known = this.#sets.get(id);
    if (known?.text === text) return known.keys;
    const keys = createLocalJWKSet(JSON.parse(text) as JSONWebKeySet);
    this.#sets.set(id, { text, keys });
    return keys;
  }
}

function sourceOf({ issuer, jwksUri }: OidcAccess): KeySource {
  const source = keySource(jwksUri, issuer, FETCH_TIMEOUT_MS);
  if (source === null) throw new Error("BUG: an issuer that is no URL, without jwksUri");
  return source;
}
