/**
 * The canonical form of a URL's path by the rules of the URL library that Envoy uses, which are not those of the WHATWG: escapes of unreserved
 * characters are undone (`%61` is `a`), a backslash is a slash, `.` and `..` are resolved, characters that may not stand for
 * themselves are escaped, broken escapes stay.
 */

const PASS = 0;
const DOT_CLASS = 1;
const ESCAPE = 2;
const UNESCAPE = 3;
const INVALID = 4;

const DOT = 0x2e;
const SLASH = 0x2f;
const PERCENT = 0x25;
const BACKSLASH = 0x5c;

/** But for the dot, which is treated apart. */
const UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~";

/** By code of a character: how it is treated. Above 127: escaped. */
const CLASSES: Uint8Array = classify();

function classify(): Uint8Array {
  const classes = new Uint8Array(256).fill(ESCAPE);
  for (const char of "!$&'()*+,/:;=@[]") classes[char.charCodeAt(0)] = PASS;
  for (const char of UNRESERVED) classes[char.charCodeAt(0)] = UNESCAPE;
  classes[DOT] = DOT_CLASS;
  classes[0] = INVALID;
  return classes;
}

/** Whether the character stays as it is wherever it stands; a dot does unless it follows a slash. */
export function isCanonicalCode(code: number): boolean {
  const kind = CLASSES[code];
  return kind === PASS || kind === UNESCAPE || kind === DOT_CLASS;
}

/** @returns null for a path that cannot be canonical: one with a NUL, escaped or not. */
export function canonicalizePath(path: string): string | null {
  const canonicalizer = new PathCanonicalizer(path);
  return canonicalizer.run();
}

class PathCanonicalizer {
  readonly #path: string;
  #out: number[] = [];
  #at = 0;
  #valid = true;
  /** Where in the output the `%` of the last broken escape stands: what is undone just after it could complete a new one. */
  #brokenEscape = Number.NEGATIVE_INFINITY;

  constructor(path: string) {
    this.#path = path;
  }

  run(): string | null {
    if (!isSlash(this.#path.charCodeAt(0))) this.#out.push(SLASH);
    while (this.#at < this.#path.length) this.#step();
    return this.#valid ? textOf(this.#out) : null;
  }

  #step(): void {
    const code = this.#path.charCodeAt(this.#at);
    const dot = this.#dotLength(this.#at);
    if (dot > 0) this.#dot(dot);
    else if (code === BACKSLASH) this.#push(SLASH);
    else if (code === PERCENT) this.#escape();
    else if (CLASSES[code] === ESCAPE || CLASSES[code] === INVALID) this.#pushEscaped(code);
    else this.#push(code);
  }

  #push(code: number): void {
    this.#out.push(code);
    this.#at++;
  }

  #pushEscaped(code: number): void {
    if (CLASSES[code] === INVALID) this.#valid = false;
    for (const char of `%${code.toString(16).toUpperCase().padStart(2, "0")}`)
      this.#out.push(char.charCodeAt(0));
    this.#at++;
  }

  /** Length of a dot here, `.` or `%2e`; 0 for none. */
  #dotLength(at: number): 0 | 1 | 3 {
    if (this.#path.charCodeAt(at) === DOT) return 1;
    return this.#path.slice(at, at + 3).toLowerCase() === "%2e" ? 3 : 0;
  }

  #dot(length: number): void {
    const after = this.#at + length;
    const second = this.#dotLength(after);
    if (this.#out.at(-1) !== SLASH) {
      this.#keepDot(length);
    } else if (this.#endsSegment(after)) {
      this.#at = after + 1;
    } else if (this.#endsSegment(after + second)) {
      this.#backUp();
      this.#at = after + second + 1;
    } else {
      this.#keepDot(length);
    }
  }

  #keepDot(length: number): void {
    this.#out.push(DOT);
    this.#at += length;
  }

  #endsSegment(at: number): boolean {
    return at >= this.#path.length || isSlash(this.#path.charCodeAt(at));
  }

  /** Drops the last segment of the output; the first slash stays. */
  #backUp(): void {
    this.#out.length = this.#out.lastIndexOf(SLASH, Math.max(0, this.#out.length - 2)) + 1;
    // What is left ends in a slash, over which no escape goes.
    this.#brokenEscape = Number.NEGATIVE_INFINITY;
  }

  #escape(): void {
    const value = escapedValue(this.#path, this.#at);
    if (value === undefined) {
      this.#brokenEscape = this.#out.length;
      this.#push(PERCENT);
    } else if (CLASSES[value] === UNESCAPE) {
      this.#out.push(value);
      this.#at += 3;
      if (this.#brokenEscape >= this.#out.length - 3) this.#guardNestedEscape();
    } else {
      if (CLASSES[value] === INVALID) this.#valid = false;
      for (let index = 0; index < 3; index++) this.#out.push(this.#path.charCodeAt(this.#at + index));
      this.#at += 3;
    }
  }

  /** `%%30%30` must not become `%00`: where undoing an escape completes another one, its percent sign is escaped. */
  #guardNestedEscape(): void {
    const undone = String.fromCharCode(...this.#out.slice(this.#brokenEscape));
    const completed = escapedValue(undone + this.#path.charAt(this.#at), 0) !== undefined;
    if (completed) this.#out.splice(this.#brokenEscape + 1, 0, 0x32, 0x35);
  }
}

/** In parts: a call takes only so many arguments (some ten thousands, less on a deep stack). */
function textOf(codes: readonly number[]): string {
  let text = "";
  for (let at = 0; at < codes.length; at += PART) text += String.fromCharCode(...codes.slice(at, at + PART));
  return text;
}

const PART = 4096;

function isSlash(code: number): boolean {
  return code === SLASH || code === BACKSLASH;
}

function escapedValue(text: string, at: number): number | undefined {
  const digits = text.slice(at + 1, at + 3);
  return /[0-9a-fA-F]{2}/.test(digits) ? Number.parseInt(digits, 16) : undefined;
}
