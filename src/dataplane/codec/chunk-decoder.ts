/**
 * Takes the framing off a chunked body. INVARIANT: fed only with bytes that ChunkedReader has found sound, so it looks at
 * nothing twice.
 */
export class ChunkDecoder {
  /** Flat names (in lower case) and values; complete once the body is. */
  readonly trailers: string[] = [];
  #line = "";
  #remaining = 0;
  #state: "size" | "data" | "data-end" | "trailers" = "size";

  /** The content in these bytes, in order. */
  decode(bytes: Buffer): readonly Buffer[] {
    const out: Buffer[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === "data") {
        const end = Math.min(at + this.#remaining, bytes.length);
        out.push(bytes.subarray(at, end));
        this.#remaining -= end - at;
        at = end;
        if (this.#remaining === 0) this.#state = "data-end";
        continue;
      }
      const newline = bytes.indexOf(0x0a, at);
      if (newline < 0) {
        this.#line += bytes.toString("latin1", at);
        break;
      }
      const line = (this.#line + bytes.toString("latin1", at, newline)).replace(/\r$/, "");
      this.#line = "";
      at = newline + 1;
      this.#takeLine(line);
    }
    return out;
  }

  #takeLine(line: string): void {
    if (this.#state === "data-end") this.#state = "size";
    else if (this.#state === "size") {
      this.#remaining = Number.parseInt(line, 16);
      this.#state = this.#remaining === 0 ? "trailers" : "data";
    } else if (line !== "") {
      const colon = line.indexOf(":");
      this.trailers.push(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
  }
}
