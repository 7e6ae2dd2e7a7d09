import type { CaStore } from "./ca-store.ts";

/**
 * Opens the store at an address: `postgres://…` (see parsePostgresAddress), or else the path of a SQLite file. Each kind's code is loaded only where it is used.
 * @throws {BulwarkError} BW_CA_STORE_….
 */
export async function openCaStore(address: string): Promise<CaStore> {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(address)) {
    const { PostgresCaStore } = await import("./postgres-ca-store.ts");
    return await PostgresCaStore.open(address);
  }
  const { SqliteCaStore } = await import("./sqlite-ca-store.ts");
  return await SqliteCaStore.open(address);
}
