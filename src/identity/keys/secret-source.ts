import { BulwarkError } from "../../resources/bulwark-error.ts";
import { readPrivateFile } from "../key-store.ts";

/**
 * A passphrase or PIN from where the user keeps it: `file:PATH` (mode 0600, one line) or `env:NAME`. Never from a command line, which every user of the machine can read.
 * @param what for messages: `the CA's passphrase`.
 * @throws {BulwarkError} BW_SECRET_SOURCE, BW_KEYSTORE_FILE_MODE. Never quotes the secret.
 */
export function readSecret(source: string, what: string): string {
  const [, kind, place = ""] = /^(file|env):(.+)$/s.exec(source) ?? [];
  if (kind === undefined)
    throw new BulwarkError("BW_SECRET_SOURCE", `${what} comes from file:PATH or env:NAME`);
  const text = kind === "file" ? readPrivateFile(place) : process.env[place];
  const secret = text?.replace(/\r?\n$/, "");
  if (secret === undefined || secret === "")
    throw new BulwarkError("BW_SECRET_SOURCE", `${what} is not there: ${source} is absent or empty`);
  return secret;
}
