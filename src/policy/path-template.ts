/**
 * Path templates (`{*}`: one segment, `{**}`: any number, at most one and the last operator), as Envoy's URI templates match
 * them: both stand for characters that may be in a path segment, which excludes `[`, `]`, `*` and `\`.
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/path/match/uri_template/v3/uri_template_match.proto
 */
export interface PathTemplate {
  /** Literals and `{*}` (as null), in order, before `{**}` or to the end. */
  readonly head: readonly (string | null)[];
  /** What follows `{**}`; null where the template has none. */
  readonly tail: string | null;
}

const SEGMENT_CHARACTER = /[a-zA-Z0-9\-._~%!$&'()+,;:@=]/;
const LITERAL = /^[a-zA-Z0-9\-._~%!$&'()+,;:@=/]*$/;
/** By character code: whether it may stand for a `{*}`. */
const IN_SEGMENT: readonly boolean[] = Array.from({ length: 128 }, (_, code) =>
  SEGMENT_CHARACTER.test(String.fromCharCode(code)),
);
const SLASH = 0x2f;

export function isPathTemplate(value: string): boolean {
  return value.includes("{*}") || value.includes("{**}");
}

/**
 * Undefined for a template that Envoy would not take. Istio writes `{*}` as `*` and `{**}` as `**` and leaves bare ones, so that these count as operators, too, and `{*}{*}`,
 * which its validation refuses, would be `**` (pilot/pkg/security/authz/matcher/template.go).
 */
export function parsePathTemplate(value: string): PathTemplate | undefined {
  if (!value.startsWith("/") || value.includes("//")) return undefined;
  const pieces = value
    .replaceAll("{**}", "**")
    .replaceAll("{*}", "*")
    .split(/(\*\*|\*)/);
  const head: (string | null)[] = [];
  for (const [index, piece] of pieces.entries()) {
    if (piece === "**") {
      const rest = pieces.slice(index + 1);
      const tail = rest.join("");
      return LITERAL.test(tail) ? { head, tail } : undefined;
    }
    if (piece !== "*" && !LITERAL.test(piece)) return undefined;
    if (piece !== "") head.push(piece === "*" ? null : piece);
  }
  return { head, tail: null };
}

/** @param path without query. */
export function matchesPathTemplate(template: PathTemplate, path: string): boolean {
  let at = 0;
  for (const piece of template.head) {
    const next = piece === null ? skipSegment(path, at) : path.startsWith(piece, at) ? at + piece.length : -1;
    // {*} is at least one character.
    if (next < 0 || (piece === null && next === at)) return false;
    at = next;
  }
  if (template.tail === null) return at === path.length;
  const end = path.length - template.tail.length;
  return end >= at && path.endsWith(template.tail) && isFree(path, at, end);
}

function skipSegment(path: string, from: number): number {
  let at = from;
  while (at < path.length && IN_SEGMENT[path.charCodeAt(at)] === true) at++;
  return at;
}

function isFree(path: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const code = path.charCodeAt(at);
    if (code !== SLASH && IN_SEGMENT[code] !== true) return false;
  }
  return true;
}
