const NEWLINE = 0x0a;

/**
 * Cuts a byte stream into lines, keeping at most one unfinished line in memory.
 * Chunks are joined only when a line ends, so a long line in many small chunks costs linear, not quadratic, time.
 */
export class LineSplitter {
  readonly #maxLineBytes: number;
  #parts: Buffer[] = [];
  #length = 0;
  #overflowed = false;

  /** @param maxLineBytes longest line, without its newline. */
  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** True once a line was longer than allowed: nothing comes out from then on. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  /** The lines that this chunk completes, decoded as UTF-8 (invalid bytes become U+FFFD); empty lines are left out. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    while (!this.#overflowed) {
      const end = chunk.indexOf(NEWLINE, start);
      const piece = chunk.subarray(start, end < 0 ? chunk.length : end);
      this.#length += piece.length;
      if (this.#length > this.#maxLineBytes) {
        this.#overflowed = true;
        this.#parts = [];
        break;
      }
      if (piece.length > 0) this.#parts.push(piece);
      if (end < 0) break;
      if (this.#length > 0) lines.push(this.#take());
      start = end + 1;
    }
    return lines;
  }

  #take(): string {
    const [only, ...rest] = this.#parts;
    const text = (rest.length === 0 && only !== undefined ? only : Buffer.concat(this.#parts)).toString(
      "utf8",
    );
    this.#parts = [];
    this.#length = 0;
    return text;
  }
}
