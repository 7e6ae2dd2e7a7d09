/** How the address of the CA's records reaches the control process: it may hold a password, and everybody can read a process' arguments. */
export const STORE_VARIABLE = "BULWARK_STORE";

/** What PostgreSQL's own programs read besides an address (libpq's names): only the control process is given it. */
const DRIVER_VARIABLES = ["PGPASSWORD", "PGPASSFILE", "PGUSER"] as const;

/** @param store the address; undefined for the file in the state folder. */
export function storeEnvironment(store: string | undefined): Readonly<Record<string, string>> {
  if (store === undefined) return {};
  const kept = DRIVER_VARIABLES.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), [STORE_VARIABLE]: store };
}

/** Takes the address out of this process' own environment, which the programs that it starts take over. */
export function takeStoreAddress(): string | undefined {
  const store = process.env[STORE_VARIABLE];
  delete process.env[STORE_VARIABLE];
  return store === "" ? undefined : store;
}
