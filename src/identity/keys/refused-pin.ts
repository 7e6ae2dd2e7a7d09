import { randomBytes, scryptSync, timingSafeEqual } from "node:crypto";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { readPrivateFile, removePrivateFile, writePrivateFile } from "../key-store.ts";

const SALT_BYTES = 16;
const HASH_BYTES = 32;

/**
 * A PIN that its token refused, kept over restarts. INVARIANT: it is not shown to the token again: tokens lock after a few wrong ones, some for good, and a control plane
 * that is started again and again would use them up. Of the PIN the file holds a salted scrypt hash.
 */
export class RefusedPin {
  readonly #file: string | undefined;
  #known: string | undefined;

  /** @param file where it is kept; undefined: for this process's life only. */
  constructor(file: string | undefined) {
    this.#file = file;
  }

  /** @throws {BulwarkError} BW_PKCS11_PIN: the token has refused this one. BW_KEYSTORE_…: nobody knows whether it has. */
  check(pin: string): void {
    this.#known ??= this.#file === undefined ? undefined : readPrivateFile(this.#file);
    if (this.#known === undefined || !isOf(pin, this.#known)) return;
    const again = this.#file === undefined ? "" : `; if it is the right one after all, remove ${this.#file}`;
    throw pinRefused(`; it is not tried again, since tokens lock: mend the PIN${again}`);
  }

  /** @throws {BulwarkError} BW_KEYSTORE_IO: it is kept for this process's life all the same. */
  note(pin: string): void {
    const salt = randomBytes(SALT_BYTES);
    this.#known = `${salt.toString("hex")} ${scryptSync(pin, salt, HASH_BYTES).toString("hex")}`;
    if (this.#file !== undefined) writePrivateFile(this.#file, `${this.#known}\n`);
  }

  /** The token has taken another. */
  forget(): void {
    if (this.#known === undefined) return;
    this.#known = undefined;
    if (this.#file !== undefined) removePrivateFile(this.#file);
  }
}

export function pinRefused(more = ""): BulwarkError {
  return new BulwarkError("BW_PKCS11_PIN", `the PKCS#11 token refused the PIN${more}`);
}

/** A file that cannot be read counts for every PIN: it is there because one was refused. */
function isOf(pin: string, text: string): boolean {
  const [, salt = "", expected = ""] = /^([0-9a-f]{32}) ([0-9a-f]{64})\s*$/.exec(text) ?? [];
  if (expected === "") return true;
  return timingSafeEqual(scryptSync(pin, Buffer.from(salt, "hex"), HASH_BYTES), Buffer.from(expected, "hex"));
}
