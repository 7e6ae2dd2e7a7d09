import type { PathNormalization } from "../../src/model/mesh-config.ts";

/** One character of the output, and where it comes from. */
interface OutputCharacter {
  readonly text: string;
  /** The percent sign of an escape that is none. */
  readonly brokenEscape: boolean;
}

const DOT = String.raw`(?:\.|%2[eE])`;
const END = String.raw`(?:[/\\]|$)`;
const ONE_DOT = new RegExp(`^${DOT}${END}`);
const TWO_DOTS = new RegExp(`^${DOT}{2}${END}`);
const UNRESERVED = /^[A-Za-z0-9\-._~]$/;
/** What stands for itself: unreserved, sub-delims, and `: @ / [ ]`. */
const STANDS = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/[\]]$/;

/**
 * A second, slow reading of the documents of path normalisation, for comparison: regular expressions over what is left
 * of the text, in the order in which Envoy's stages are documented.
 */
export function referencePath(mode: PathNormalization, target: string): string | null {
  if (!/^\/[\x21-\x7e]*$/.test(target)) return null;
  const whole = target.replace(/#.*$/, "");
  if (mode === "NONE") return whole;
  const [, written = "", query = ""] = /^([^?]*)(\?[\x21-\x7e]*)?$/.exec(whole) ?? [];
  let path = written;
  if (mode === "DECODE_AND_MERGE_SLASHES") path = path.replaceAll(/%2f/gi, "/").replaceAll(/%5c/gi, "\\");
  path = path
    .split("/")
    .map((segment, index) => (index === 0 ? segment : segment.replace(/^(\.\.?);.*$/, "$1")))
    .join("/");
  const canonical = canonicalPath(path);
  if (canonical === null) return null;
  if (mode === "BASE") return canonical + query;
  return (/^\/\/+$/.test(canonical) ? "//" : canonical.split(/\/+/).join("/")) + query;
}

function canonicalPath(path: string): string | null {
  const out: OutputCharacter[] = /^[/\\]/.test(path) ? [] : [plain("/")];
  let left = path;
  let valid = true;
  while (left !== "") {
    const atSegmentStart = out.at(-1)?.text === "/";
    const dots = atSegmentStart ? (ONE_DOT.exec(left) ?? TWO_DOTS.exec(left)) : null;
    if (dots !== null) {
      if (TWO_DOTS.test(left)) dropLastSegment(out);
      left = left.slice(dots[0].length);
      continue;
    }
    const escaped = /^%[0-9a-fA-F]{2}/.exec(left)?.[0];
    if (escaped === undefined) {
      const [char = ""] = left;
      valid &&= char !== "\0";
      out.push(...ofCharacter(char));
      left = left.slice(1);
      continue;
    }
    left = left.slice(3);
    const meant = String.fromCharCode(Number.parseInt(escaped.slice(1), 16));
    valid &&= meant !== "\0";
    if (UNRESERVED.test(meant)) {
      out.push(plain(meant));
      guard(out, left);
    } else out.push(...[...escaped].map(plain));
  }
  return valid ? out.map(({ text }) => text).join("") : null;
}

function plain(text: string): OutputCharacter {
  return { text, brokenEscape: false };
}

function ofCharacter(char: string): OutputCharacter[] {
  if (char === "\\") return [plain("/")];
  if (char === "%") return [{ text: "%", brokenEscape: true }];
  if (STANDS.test(char)) return [plain(char)];
  const hex = char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");
  return [...`%${hex}`].map(plain);
}

/** Drops the last segment and leaves the slash before it; the first slash stays. */
function dropLastSegment(out: OutputCharacter[]): void {
  if (out.length < 2) return;
  const last = out.length - 1;
  out.length = out.findLastIndex(({ text }, at) => text === "/" && at < last) + 1;
}

/** Where undoing an escape completes the broken one before it (`%%30%30`), that one's percent sign is written as `%25`. */
function guard(out: OutputCharacter[], left: string): void {
  const recent = out.slice(-3).findLastIndex(({ brokenEscape }) => brokenEscape);
  if (recent < 0) return;
  const at = Math.max(0, out.length - 3) + recent;
  const since = out.slice(at + 1).map(({ text }) => text);
  const digits = since.length === 1 ? since[0] + left.slice(0, 1) : since.join("");
  if (/^[0-9a-fA-F]{2}$/.test(digits)) out.splice(at + 1, 0, plain("2"), plain("5"));
}
