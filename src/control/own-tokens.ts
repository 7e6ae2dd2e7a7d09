import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import { DEFAULT_TOKEN_ISSUER, type TokenTrust } from "../identity/service-account-token.ts";
import type { StateFolder } from "./state-folder.ts";

/** Public keys of the token issuer, in the token folder: the CA checks tokens without being able to make them. */
export const TOKEN_KEYS_FILE = "jwks.json";

/** What tokens of the mesh's own issuer are checked by. */
export function tokenTrust(state: StateFolder): TokenTrust {
  const jwks = JSON.parse(readFileSync(join(state.tokenFolder, TOKEN_KEYS_FILE), "utf8")) as JSONWebKeySet;
  return { keys: createLocalJWKSet(jwks), issuer: DEFAULT_TOKEN_ISSUER, clock: Date.now };
}
