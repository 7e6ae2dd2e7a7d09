/** Where the keys of a token rule are to be fetched. */

export interface KeySource {
  /** Names the source: rules with the same one share what was fetched. */
  readonly id: string;
  /** `discovery`: `url` is an OpenID provider's configuration, which names the URL of the keys. */
  readonly kind: "jwks" | "discovery";
  readonly url: string;
  /** For one fetch, with all that it takes. */
  readonly timeoutMs: number;
}

const DISCOVERY_PATH = "/.well-known/openid-configuration";

/**
 * @param jwksUri as written; empty for none.
 * @returns null where there is nowhere to ask: no URI, and an issuer that is no URL.
 * @see https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationRequest
 */
export function keySource(jwksUri: string, issuer: string, timeoutMs: number): KeySource | null {
  if (jwksUri !== "") return { id: jwksUri, kind: "jwks", url: jwksUri, timeoutMs };
  if (!/^https?:\/\//i.test(issuer)) return null;
  const url = `${issuer.replace(/\/$/, "")}${DISCOVERY_PATH}`;
  return { id: `discovery ${url}`, kind: "discovery", url, timeoutMs };
}
