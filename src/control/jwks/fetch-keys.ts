import type { KeySource } from "../../policy/jwt/key-source.ts";
import { type FetchTextOptions, fetchText } from "./fetch-text.ts";
import { type KeyDocument, readDiscoveryDocument, readKeyDocument } from "./key-document.ts";

export type FetchKeysOptions = Omit<FetchTextOptions, "signal" | "from">;

/** `timeout` of a rule may be anything; a fetch is not. */
const MAX_TIMEOUT_MS = 60_000;

/**
 * The keys of a source, by way of its discovery document where it has one: all of it in the source's time.
 * @throws {BulwarkError} BW_JWKS_…
 */
export async function fetchKeys(source: KeySource, options: FetchKeysOptions): Promise<KeyDocument> {
  const signal = AbortSignal.timeout(Math.min(source.timeoutMs, MAX_TIMEOUT_MS));
  if (source.kind === "jwks")
    return readKeyDocument((await fetchText(source.url, { ...options, signal })).text);
  const discovered = await fetchText(source.url, { ...options, signal });
  const uri = readDiscoveryDocument(discovered.text);
  return readKeyDocument((await fetchText(uri, { ...options, signal, from: discovered.url })).text);
}
