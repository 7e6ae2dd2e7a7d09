import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { PostgresAddress } from "./store-address.ts";
import { type StoreFailureCode, storeError } from "./store-failure.ts";

/** By SQLSTATE, or its class (https://www.postgresql.org/docs/current/errcodes-appendix.html): the longer match counts. */
const MEANING: ReadonlyMap<string, readonly [StoreFailureCode, string]> = new Map([
  ["25006", ["BW_CA_STORE_READ_ONLY", "the database is read-only (a standby?): name its primary"]],
  [
    "28",
    [
      "BW_CA_STORE_REFUSED",
      "the database refuses the user: check user, password (PGPASSWORD, PGPASSFILE) and pg_hba.conf",
    ],
  ],
  ["3D000", ["BW_CA_STORE_REFUSED", "there is no such database: create it, with the user as its owner"]],
  [
    "42501",
    [
      "BW_CA_STORE_REFUSED",
      "the user may not do that: it needs its own schema in the database (GRANT CREATE ON DATABASE)",
    ],
  ],
  ["40", ["BW_CA_STORE_BUSY", "the database is busy; try again"]],
  ["55P03", ["BW_CA_STORE_BUSY", "the database is busy (a lock was not had in time); try again"]],
  ["57014", ["BW_CA_STORE_BUSY", "the database took too long; try again"]],
  ["53100", ["BW_CA_STORE_FULL", "the database has no room on its disk"]],
  ["53", ["BW_CA_STORE_BUSY", "the database lacks connections or memory"]],
  ["57", ["BW_CA_STORE_UNAVAILABLE", "the database is stopping or starting"]],
  ["08", ["BW_CA_STORE_UNAVAILABLE", "the connection to the database broke"]],
  ["XX001", ["BW_CA_STORE_DAMAGED", "the database is damaged: restore it from a backup"]],
  ["XX002", ["BW_CA_STORE_DAMAGED", "the database is damaged: restore it from a backup"]],
]);

/**
 * Types an error of the database or of the way to it; passes a BulwarkError through. Where the connection broke, a change that was under way may have happened: all
 * of them can be repeated without harm.
 */
export function postgresFailure(error: unknown, address: PostgresAddress): BulwarkError {
  if (error instanceof BulwarkError) return error;
  const state = sqlState(error);
  const [code, what] = meaningOf(state);
  const detail = withoutPassword(
    error instanceof Error ? error.message || error.name : String(error),
    address,
  );
  // Without its cause: a driver's error may quote what it was configured with.
  return storeError(code, `the CA's records (${address.name}): ${what} (${detail})`, address.name);
}

function meaningOf(state: string | undefined): readonly [StoreFailureCode, string] {
  if (state === undefined) return ["BW_CA_STORE_UNAVAILABLE", "the database cannot be reached"];
  return MEANING.get(state) ?? MEANING.get(state.slice(0, 2)) ?? ["BW_CA_STORE_IO", "the database failed"];
}

/** Errors of sockets and time-outs have none, or a `code` of another form (ECONNREFUSED). */
function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return undefined;
  return /^[0-9A-Z]{5}$/.test(error.code) && /[0-9]/.test(error.code) ? error.code : undefined;
}

function withoutPassword(text: string, { password }: PostgresAddress): string {
  return password === undefined ? text : text.replaceAll(password, "…");
}
