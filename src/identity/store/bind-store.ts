import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { TrustDomain } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { readPrivateFile, writePrivateFile } from "../key-store.ts";
import type { CaStore } from "./ca-store.ts";

/** In the CA's folder: which records belong to these keys. */
export const BINDING = "records.id";
/** The same in the store. */
const NAME = "binding";

/**
 * Ties the CA's folder to its records: both hold the same random name. INVARIANT: a store that was lost, emptied or mistaken for
 * another is never taken for a new one, since with it every revocation would be forgotten.
 * @throws {BulwarkError} BW_CA_STORE_LOST, BW_CA_STORE_FOREIGN, BW_KEYSTORE_…, and those of the store.
 */
export async function bindStore(folder: string, store: CaStore, trustDomain: TrustDomain): Promise<void> {
  const path = join(folder, BINDING);
  const expected = readPrivateFile(path)?.trim();
  const { text, version } = await store.read(NAME);
  if (text === "" && expected !== undefined) throw lost(path, store);
  const bound = text === "" ? await bind(store, version, trustDomain) : text;
  if (!bound.startsWith(`${trustDomain} `) || (expected !== undefined && bound !== expected))
    throw foreign(path, store, trustDomain);
  if (expected === undefined) writePrivateFile(path, `${bound}\n`);
}

/** Of replicas that begin at once, the first gives the name. */
async function bind(store: CaStore, version: number, trustDomain: TrustDomain): Promise<string> {
  const name = `${trustDomain} ${randomBytes(16).toString("hex")}`;
  return (await store.compareAndSet(NAME, version, name)) ? name : (await store.read(NAME)).text;
}

function lost(path: string, store: CaStore): BulwarkError {
  return new BulwarkError(
    "BW_CA_STORE_LOST",
    `${store.name} is empty, but this CA has kept records: what was revoked would be trusted again. Restore it from a backup; or, ` +
      `if nothing that was revoked can still be valid, remove ${path} to begin new records`,
  );
}

function foreign(path: string, store: CaStore, trustDomain: TrustDomain): BulwarkError {
  return new BulwarkError(
    "BW_CA_STORE_FOREIGN",
    `${store.name} holds the records of another CA than that of ${trustDomain} in this folder (see ${path}); name the right store`,
  );
}
