import { constants, createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { syncFolder } from "./key-store.ts";

/** One certificate that the CA handed out. */
export interface IssuedRecord {
  /** Lower-case hexadecimal. */
  readonly serial: string;
  readonly spiffeId: string;
  /** ISO 8601. */
  readonly notBefore: string;
  readonly notAfter: string;
  /** SHA-256 of the SubjectPublicKeyInfo, hexadecimal: two keys in use for one identity show here. */
  readonly keyHash: string;
  /** Serial of the intermediate that signed, since a serial is unique only under its issuer. */
  readonly issuerSerial: string;
  /** When it was issued, ISO 8601. */
  readonly time: string;
}

interface Waiting {
  readonly line: string;
  readonly done: () => void;
  readonly failed: (error: BulwarkError) => void;
}

/** A burst waits for the disk together; past this the CA refuses instead of growing. */
const MAX_WAITING = 20_000;
const MAX_LINE_CHARS = 16_384;

/**
 * The record of issued certificates: JSON Lines, append-only, mode 0600. `append` resolves once the record is on
 * the disk; records that arrive during one write share the next, so a burst costs a few syncs, not one each.
 */
export class IssuedJournal {
  readonly #path: string;
  readonly #file: FileHandle;
  #waiting: Waiting[] = [];
  #draining: Promise<void> | undefined;
  /** The last write may have stopped inside a line: the next one starts with a newline, to end it. */
  #torn: boolean;
  #closed = false;

  private constructor(path: string, file: FileHandle, torn: boolean) {
    this.#path = path;
    this.#file = file;
    this.#torn = torn;
  }

  /** @throws {BulwarkError} BW_CA_JOURNAL_OPEN */
  static async open(path: string): Promise<IssuedJournal> {
    try {
      const { O_APPEND, O_CREAT, O_RDWR } = constants;
      const file = await open(path, O_APPEND | O_CREAT | O_RDWR, 0o600);
      const torn = await endsInsideLine(file);
      syncFolder(dirname(path));
      return new IssuedJournal(path, file, torn);
    } catch (cause) {
      throw new BulwarkError("BW_CA_JOURNAL_OPEN", `cannot open the record of issued certificates, ${path}`, {
        cause,
      });
    }
  }

  /** @throws {BulwarkError} BW_CA_JOURNAL_WRITE when the record is not on the disk; the certificate must then not be handed out. */
  append(record: IssuedRecord): Promise<void> {
    if (this.#closed || this.#waiting.length >= MAX_WAITING) {
      const why = this.#closed ? "it is closed" : "too many records wait for the disk";
      return Promise.reject(this.#failure(why));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ line: `${JSON.stringify(record)}\n`, done: resolve, failed: reject });
    this.#draining ??= this.#drain();
    return promise;
  }

  /** Every whole record in order, oldest first. Torn lines are passed over: no certificate was handed out for them. */
  async *records(): AsyncGenerator<IssuedRecord> {
    let rest = "";
    for await (const chunk of createReadStream(this.#path, { encoding: "utf8" })) {
      const lines = `${rest}${chunk}`.split("\n");
      rest = (lines.pop() ?? "").slice(0, MAX_LINE_CHARS);
      for (const line of lines) {
        const record = parseRecord(line);
        if (record !== undefined) yield record;
      }
    }
  }

  /** Waits for what was appended, then closes. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#draining;
    await this.#file.close();
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      const error = await this.#write(batch.map((waiting) => waiting.line).join(""));
      for (const waiting of batch) {
        if (error === undefined) waiting.done();
        else waiting.failed(error);
      }
    }
    this.#draining = undefined;
  }

  async #write(lines: string): Promise<BulwarkError | undefined> {
    try {
      await this.#file.writeFile(this.#torn ? `\n${lines}` : lines);
      await this.#file.datasync();
      this.#torn = false;
      return undefined;
    } catch (cause) {
      this.#torn = true;
      return this.#failure("the disk refused it", cause);
    }
  }

  #failure(why: string, cause?: unknown): BulwarkError {
    const message = `the record of issued certificates cannot be written: ${why}`;
    return new BulwarkError("BW_CA_JOURNAL_WRITE", message, { detail: { path: this.#path }, cause });
  }
}

async function endsInsideLine(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat();
  if (size === 0) return false;
  const last = Buffer.alloc(1);
  await file.read(last, 0, 1, size - 1);
  return last[0] !== 0x0a;
}

function parseRecord(line: string): IssuedRecord | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const FIELDS = ["serial", "spiffeId", "notBefore", "notAfter", "keyHash", "issuerSerial", "time"] as const;

function isRecord(value: unknown): value is IssuedRecord {
  if (typeof value !== "object" || value === null) return false;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  return FIELDS.every((field) => typeof fields[field] === "string");
}
