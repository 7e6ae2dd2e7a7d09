import { closeSync, fstatSync, ftruncateSync, openSync, readSync } from "node:fs";
import { LineSplitter } from "./line-splitter.ts";

const POLL_MS = 150;
const MAX_LINE_BYTES = 64 * 1024;
const READ_BYTES = 64 * 1024;
/** A log that grew beyond this is cut: its lines were shown, and a chatty application must not fill the disk. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;

interface Followed {
  readonly name: string;
  readonly file: number;
  offset: number;
  splitter: LineSplitter;
}

/** Shows what children write into their log files, line by line, from now on. */
export class LogFollower {
  readonly #onLine: (name: string, line: string) => void;
  readonly #followed = new Map<string, Followed>();
  readonly #timer: NodeJS.Timeout;

  constructor(onLine: (name: string, line: string) => void) {
    this.#onLine = onLine;
    this.#timer = setInterval(() => this.poll(), POLL_MS);
  }

  /** Begins with what is written after this. The file is made if it is not there. */
  follow(name: string, path: string): void {
    if (this.#followed.has(name)) return;
    const file = openSync(path, "a+", 0o600);
    const offset = fstatSync(file).size;
    this.#followed.set(name, { name, file, offset, splitter: new LineSplitter(MAX_LINE_BYTES) });
  }

  forget(name: string): void {
    const followed = this.#followed.get(name);
    if (followed === undefined) return;
    this.#read(followed);
    closeSync(followed.file);
    this.#followed.delete(name);
  }

  poll(): void {
    for (const followed of this.#followed.values()) this.#read(followed);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const name of [...this.#followed.keys()]) this.forget(name);
  }

  #read(followed: Followed): void {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (;;) {
      const read = readSync(followed.file, buffer, 0, READ_BYTES, followed.offset);
      if (read === 0) break;
      followed.offset += read;
      this.#show(followed, Buffer.from(buffer.subarray(0, read)));
    }
    if (followed.offset > MAX_LOG_BYTES) {
      // Writers append (O_APPEND), so they go on at the new end.
      ftruncateSync(followed.file, 0);
      followed.offset = 0;
    }
  }

  #show(followed: Followed, chunk: Buffer): void {
    for (const line of followed.splitter.push(chunk)) this.#onLine(followed.name, line);
    if (!followed.splitter.overflowed) return;
    this.#onLine(followed.name, `(a line of more than ${MAX_LINE_BYTES} bytes)`);
    followed.splitter = new LineSplitter(MAX_LINE_BYTES);
  }
}
