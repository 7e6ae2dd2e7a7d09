import { closeSync, openSync, readSync } from "node:fs";

/** One line of a file; `undefined`: it is longer than is read, or no UTF-8. */
export interface FileLine {
  readonly number: number;
  readonly text: string | undefined;
}

const CHUNK_BYTES = 1 << 20;
/** As the longest line of a log that anybody writes; a longer one is broken or hostile. */
const MAX_LINE_CHARACTERS = 1 << 20;

/** The lines of a file that are not blank, in bounded memory. @throws what `node:fs` throws. */
export function* readLines(path: string): Generator<FileLine> {
  const file = openSync(path, "r");
  try {
    yield* linesOf(file);
  } finally {
    closeSync(file);
  }
}

function* linesOf(file: number): Generator<FileLine> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: false });
  let rest = "";
  let isTooLong = false;
  let number = 0;
  for (;;) {
    const bytes = readSync(file, chunk, 0, CHUNK_BYTES, null);
    const text = decoder.decode(chunk.subarray(0, bytes), { stream: bytes > 0 });
    const lines = `${rest}${text}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      number++;
      const own = isTooLong ? undefined : readable(line);
      isTooLong = false;
      if (own !== "") yield { number, text: own };
    }
    if (rest.length > MAX_LINE_CHARACTERS) {
      isTooLong = true;
      rest = "";
    }
    if (bytes > 0) continue;
    const last = isTooLong ? undefined : readable(rest);
    if (last !== "") yield { number: number + 1, text: last };
    return;
  }
}

/** What the decoder put in for bytes that are no text would change a path: such a line is not read. */
function readable(line: string): string | undefined {
  const text = line.trim();
  return text.length > MAX_LINE_CHARACTERS || text.includes("\uFFFD") ? undefined : text;
}
