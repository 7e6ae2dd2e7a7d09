import { createPublicKey, type KeyObject } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { calculateJwkThumbprint } from "jose";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { KEY_ALGORITHMS } from "../key-algorithm.ts";
import {
  ensurePrivateFolder,
  readPrivateFile,
  readPrivateKey,
  removeStaleTemporaries,
  writePrivateFile,
  writePrivateKey,
} from "../key-store.ts";
import type { JwtAuthority } from "../spiffe-bundle.ts";

/** A key at work, or about to be, or not quite gone. */
export interface JwtSvidKey extends JwtAuthority {
  readonly privateKey: KeyObject;
  readonly createdAtMs: number;
}

export interface JwtSvidKeysOptions {
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
  /** A key signs for so long; default 24 h. */
  readonly lifeMs?: number;
  /** A new key stands in the bundle for so long before it signs, so that who verifies has it by then; default 1 h. */
  readonly aheadMs?: number;
  /** A key stays in the bundle for so long after its last signature: no token may live longer; default 1 h. */
  readonly behindMs?: number;
}

const HOUR_MS = 3_600_000;
const INDEX = "keys.json";

/**
 * The keys that sign a trust domain's JWT-SVIDs, kept in a folder of their own. A key is published, then signs, then is only verified
 * against, then goes: at every moment who has the bundle of one step before can verify what is signed now.
 */
export class JwtSvidKeys {
  readonly #folder: string;
  readonly #options: Required<JwtSvidKeysOptions>;
  /** Oldest first. INVARIANT: never empty once opened. */
  #keys: readonly JwtSvidKey[] = [];
  #rotating: Promise<boolean> | undefined;

  private constructor(folder: string, options: JwtSvidKeysOptions) {
    this.#folder = folder;
    this.#options = {
      clock: options.clock ?? Date.now,
      lifeMs: options.lifeMs ?? 24 * HOUR_MS,
      aheadMs: options.aheadMs ?? HOUR_MS,
      behindMs: options.behindMs ?? HOUR_MS,
    };
  }

  /**
   * Opens the keys in this folder (0700), making the first where there is none.
   * @throws {BulwarkError} BW_JWT_SVID_KEYS_DAMAGED, BW_KEYSTORE_….
   */
  static async open(folder: string, options: JwtSvidKeysOptions = {}): Promise<JwtSvidKeys> {
    ensurePrivateFolder(folder);
    removeStaleTemporaries(folder);
    const keys = new JwtSvidKeys(folder, options);
    keys.#keys = await readKeys(folder);
    await keys.rotate();
    return keys;
  }

  /** Public keys to verify against, those that do not sign yet included. */
  get authorities(): readonly JwtAuthority[] {
    return this.#keys.map(({ kid, jwk }) => ({ kid, jwk }));
  }

  /** The key that signs now. */
  get signing(): JwtSvidKey {
    const known = this.#options.clock() - this.#options.aheadMs;
    const current = this.#keys.findLast(({ createdAtMs }) => createdAtMs <= known) ?? this.#keys[0];
    if (current === undefined) throw new BulwarkError("BW_JWT_SVID_NO_KEY", "there is no key for JWT-SVIDs");
    return current;
  }

  /**
   * Makes a key that is due and lets go of those whose tokens have ended. Calls at once are one.
   * @returns whether the authorities have changed.
   * @throws {BulwarkError} BW_KEYSTORE_…: the keys of before stay.
   */
  rotate(): Promise<boolean> {
    this.#rotating ??= this.#rotate().finally(() => {
      this.#rotating = undefined;
    });
    return this.#rotating;
  }

  async #rotate(): Promise<boolean> {
    const { lifeMs, aheadMs } = this.#options;
    const newest = this.#keys.at(-1);
    const kept = this.#keys.filter((_key, at) => !this.#isOver(this.#keys[at + 1]));
    // Made so early that it has been in the bundle long enough when the one before has signed for its life.
    const due =
      newest === undefined || this.#options.clock() - newest.createdAtMs >= Math.max(lifeMs - aheadMs, 0);
    if (!due && kept.length === this.#keys.length) return false;
    const next = due ? [...kept, await this.#make()] : kept;
    writePrivateFile(
      join(this.#folder, INDEX),
      JSON.stringify({ format: 1, keys: next.map(({ kid, createdAtMs }) => ({ kid, createdAtMs })) }),
    );
    for (const { kid } of this.#keys)
      if (next.every((key) => key.kid !== kid)) rmSync(keyFile(this.#folder, kid), { force: true });
    this.#keys = next;
    return true;
  }

  /** A key is over once its successor has signed for so long that no token of it lives any more. */
  #isOver(successor: JwtSvidKey | undefined): boolean {
    const { clock, aheadMs, behindMs } = this.#options;
    return successor !== undefined && clock() - successor.createdAtMs >= aheadMs + behindMs;
  }

  async #make(): Promise<JwtSvidKey> {
    const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
    const key = await keyOf(privateKey, this.#options.clock());
    writePrivateKey(keyFile(this.#folder, key.kid), privateKey);
    return key;
  }
}

async function keyOf(privateKey: KeyObject, createdAtMs: number): Promise<JwtSvidKey> {
  const { kty, crv, x, y } = createPublicKey(privateKey).export({ format: "jwk" });
  const jwk = { kty: kty ?? "", crv: crv ?? "", x: x ?? "", y: y ?? "" };
  return { kid: await calculateJwkThumbprint(jwk), jwk, privateKey, createdAtMs };
}

async function readKeys(folder: string): Promise<readonly JwtSvidKey[]> {
  const text = readPrivateFile(join(folder, INDEX));
  if (text === undefined) return [];
  const listed = parseIndex(text) ?? damaged(folder, `${INDEX} cannot be read`);
  return Promise.all(
    listed.map(async ({ kid, createdAtMs }) => {
      const privateKey = readPrivateKey(keyFile(folder, kid)) ?? damaged(folder, `the key ${kid} is missing`);
      const key = await keyOf(privateKey, createdAtMs);
      return key.kid === kid ? key : damaged(folder, `the key ${kid} is another`);
    }),
  );
}

function parseIndex(
  text: string,
): readonly { readonly kid: string; readonly createdAtMs: number }[] | undefined {
  try {
    const { format, keys } = JSON.parse(text) as { format?: unknown; keys?: unknown };
    if (format !== 1 || !Array.isArray(keys) || !keys.every(isEntry)) return undefined;
    return keys.map(({ kid, createdAtMs }) => ({ kid, createdAtMs }));
  } catch {
    return undefined;
  }
}

/** Key identifiers become file names, so nothing but a thumbprint (RFC 7638, base64url of SHA-256) may pass for one. */
function isEntry(value: unknown): value is { kid: string; createdAtMs: number } {
  const { kid, createdAtMs } = (value ?? {}) as { kid?: unknown; createdAtMs?: unknown };
  return typeof kid === "string" && /^[A-Za-z0-9_-]{43}$/.test(kid) && Number.isSafeInteger(createdAtMs);
}

function keyFile(folder: string, kid: string): string {
  return join(folder, `${kid}.key.pem`);
}

function damaged(folder: string, what: string): never {
  throw new BulwarkError(
    "BW_JWT_SVID_KEYS_DAMAGED",
    `the keys for JWT-SVIDs in ${folder} are damaged: ${what}; restore them from a backup, or remove the folder to start with a new key`,
  );
}
