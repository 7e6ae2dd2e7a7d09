import { randomBytes } from "node:crypto";
import {
  closeSync,
  close as fsClose,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

/** Records on their way to the log. */
export interface FlowLines {
  /** Whole lines, each ended by a line feed. */
  readonly text: string;
  readonly count: number;
  /** What they take in memory, about. */
  readonly length: number;
}

export interface FlowSpillOptions {
  /** Folder of this one buffer; made with mode 0700 when absent. */
  readonly dir: string;
  /** A segment is closed once it is this long. Default 4 MiB. */
  readonly segmentBytes?: number;
  /** All segments together may not grow beyond. Default 1 GiB. */
  readonly maxBytes?: number;
  /** Told of lines that a crash left torn, and of a segment that cannot be read (which then stays where it is). */
  readonly onProblem?: (message: string) => void;
}

interface Segment {
  readonly name: string;
  bytes: number;
}

const SEGMENT_NAME = /^spill-(\d{10})-[0-9a-f]+\.jsonl$/;

/**
 * A queue of lines on disk: append-only segments, read back in order, removed once taken.
 * Writes are synchronous: they happen only while the sink is away, cost about 0.3 ms for 512 records, and an answer right away
 * (written, or disk full) is what keeps the memory bound strict. The fsync at a segment's close is not waited for.
 *
 * INVARIANT: after a failed write a segment gets no more lines, so a torn line can only be the last of its segment.
 */
export class FlowSpill {
  readonly #options: FlowSpillOptions;
  readonly #segmentBytes: number;
  readonly #maxBytes: number;
  readonly #segments: Segment[] = [];
  readonly #instance = randomBytes(4).toString("hex");
  #nextNumber = 1;
  #active: { readonly segment: Segment; readonly fd: number } | undefined;
  /** Lines of the oldest segment that were not yet taken off. */
  #reading: { readonly segment: Segment; readonly lines: readonly string[]; next: number } | undefined;

  constructor(options: FlowSpillOptions) {
    this.#options = options;
    this.#segmentBytes = options.segmentBytes ?? 4 * 1024 * 1024;
    this.#maxBytes = options.maxBytes ?? 1024 * 1024 * 1024;
    this.#adoptLeftovers();
  }

  get isEmpty(): boolean {
    return this.#segments.length === 0;
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /** @throws the file system's error (ENOSPC, EROFS, EACCES …), or one with code `ESPILLLIMIT`; then nothing was added. */
  append(lines: FlowLines): void {
    const bytes = Buffer.from(lines.text, "utf8");
    if (this.bytes + bytes.length > this.#maxBytes) {
      throw Object.assign(new Error(`the spill folder holds its limit of ${this.#maxBytes} bytes`), {
        code: "ESPILLLIMIT",
      });
    }
    const active = this.#active ?? this.#openSegment();
    try {
      writeAll(active.fd, bytes);
      active.segment.bytes += bytes.length;
    } catch (error) {
      this.#abandonActive();
      throw error;
    }
    if (active.segment.bytes >= this.#segmentBytes) this.#closeActive();
  }

  /** The oldest lines, at most `maxLines`, left in place until {@link drop}; undefined when there are none. */
  peek(maxLines: number): FlowLines | undefined {
    for (;;) {
      const reading = this.#reading ?? this.#openOldest();
      if (reading === undefined) return undefined;
      const lines = reading.lines.slice(reading.next, reading.next + maxLines);
      if (lines.length > 0) {
        const text = `${lines.join("\n")}\n`;
        return { text, count: lines.length, length: text.length };
      }
      this.#removeOldest();
    }
  }

  /** Takes the oldest `count` lines off, after they were acknowledged. */
  drop(count: number): void {
    const reading = this.#reading;
    if (reading === undefined) return;
    reading.next += count;
    if (reading.next >= reading.lines.length) this.#removeOldest();
  }

  /** Makes all that was appended durable and closes the files. A later append opens a new segment. */
  close(): void {
    const active = this.#active;
    this.#active = undefined;
    if (active === undefined) return;
    try {
      fsyncSync(active.fd);
    } finally {
      closeSync(active.fd);
    }
  }

  /** A folder that cannot be used must not keep a proxy from starting: it is tried again at the first append. */
  #adoptLeftovers(): void {
    try {
      mkdirSync(this.#options.dir, { recursive: true, mode: 0o700 });
      const names = readdirSync(this.#options.dir).filter((name) => SEGMENT_NAME.test(name));
      for (const name of names.sort()) {
        this.#segments.push({ name, bytes: statSync(this.#path(name)).size });
        this.#nextNumber = Number(SEGMENT_NAME.exec(name)?.[1]) + 1;
      }
    } catch (error) {
      this.#options.onProblem?.(`the spill folder cannot be used: ${(error as Error).message}`);
    }
  }

  #path(name: string): string {
    return join(this.#options.dir, name);
  }

  #openSegment(): { readonly segment: Segment; readonly fd: number } {
    mkdirSync(this.#options.dir, { recursive: true, mode: 0o700 });
    const name = `spill-${String(this.#nextNumber).padStart(10, "0")}-${this.#instance}.jsonl`;
    const fd = openSync(this.#path(name), "ax", 0o600);
    this.#nextNumber += 1;
    const segment = { name, bytes: 0 };
    this.#segments.push(segment);
    this.#active = { segment, fd };
    return this.#active;
  }

  #closeActive(): void {
    const active = this.#active;
    this.#active = undefined;
    if (active === undefined) return;
    // A failure here costs durability over a power cut, not over the death of a process: the pages are in the kernel's cache.
    fsync(active.fd, () => fsClose(active.fd, () => undefined));
  }

  /** Cuts what a failed write left behind; where even that fails, the reader takes the torn end off. */
  #abandonActive(): void {
    const active = this.#active;
    this.#active = undefined;
    if (active === undefined) return;
    try {
      ftruncateSync(active.fd, active.segment.bytes);
    } catch {
      active.segment.bytes = fstatSync(active.fd).size;
    }
    closeSync(active.fd);
    if (active.segment.bytes === 0) this.#forget(active.segment);
  }

  #openOldest(): { readonly segment: Segment; readonly lines: readonly string[]; next: number } | undefined {
    for (;;) {
      const segment = this.#segments[0];
      if (segment === undefined) return undefined;
      if (this.#active?.segment === segment) this.#closeActive();
      const lines = this.#linesOrNone(segment);
      if (lines === undefined) continue;
      this.#reading = { segment, lines, next: 0 };
      return this.#reading;
    }
  }

  #readLines(segment: Segment): string[] {
    const lines = readFileSync(this.#path(segment.name), "utf8").split("\n");
    const tail = lines.pop() ?? "";
    const whole = lines.filter((line) => line.startsWith('{"id":"') && line.endsWith("}"));
    const torn = lines.length - whole.length + (tail === "" ? 0 : 1);
    if (torn > 0) this.#options.onProblem?.(`${segment.name}: ${torn} torn line(s) left out`);
    return whole;
  }

  /** A segment that cannot be read must not hold up those behind it. */
  #linesOrNone(segment: Segment): string[] | undefined {
    try {
      return this.#readLines(segment);
    } catch (error) {
      this.#segments.splice(this.#segments.indexOf(segment), 1);
      this.#options.onProblem?.(
        `${segment.name} cannot be read and is left where it is: ${(error as Error).message}`,
      );
      return undefined;
    }
  }

  #removeOldest(): void {
    const reading = this.#reading;
    this.#reading = undefined;
    if (reading !== undefined) this.#forget(reading.segment);
  }

  #forget(segment: Segment): void {
    const index = this.#segments.indexOf(segment);
    if (index >= 0) this.#segments.splice(index, 1);
    try {
      rmSync(this.#path(segment.name), { force: true });
    } catch {
      // Read-only now: a next start replays it, and the store knows its ids.
    }
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  let offset = 0;
  while (offset < bytes.length) offset += writeSync(fd, bytes, offset);
}
