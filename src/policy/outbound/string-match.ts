import { RE2JS } from "re2js";
import type { StringMatch } from "./resource-shapes.ts";

/** Total and linear in the length of its input. */
export type TextPredicate = (text: string) => boolean;

/** Envoy's "present": what Istio makes of `{}` and of the regular expression `*`, which RE2 would refuse. */
export function isPresenceMatch(match: StringMatch): boolean {
  if (match.regex !== undefined) return match.regex === "*";
  return match.exact === undefined && match.prefix === undefined && match.pathPrefix === undefined;
}

/**
 * Compiles exact, prefix or (whole) regular expression. RE2, because VirtualServices of other teams supply the patterns
 * and V8's own engine backtracks. A pattern that does not compile matches nothing: validation has reported it.
 * @param ignoreCase applies to exact and prefix, not to regular expressions, as in Envoy.
 */
export function compileStringMatch(match: StringMatch, ignoreCase = false): TextPredicate {
  const { exact, prefix, pathPrefix, regex } = match;
  if (exact !== undefined) return exactPredicate(exact, ignoreCase);
  if (prefix !== undefined) return prefixPredicate(prefix, ignoreCase);
  if (pathPrefix !== undefined) return segmentPredicate(pathPrefix);
  if (regex !== undefined) return compilePattern(regex);
  return () => true;
}

/** A predicate on whole texts. */
export function compilePattern(regex: string): TextPredicate {
  const pattern = parsePattern(regex);
  return pattern === undefined ? () => false : (text) => pattern.testExact(text);
}

/** RE2, or undefined for what is no RE2 pattern. */
export function parsePattern(regex: string): RE2JS | undefined {
  try {
    return RE2JS.compile(regex);
  } catch {
    return undefined;
  }
}

function exactPredicate(exact: string, ignoreCase: boolean): TextPredicate {
  if (!ignoreCase) return (text) => text === exact;
  const folded = exact.toLowerCase();
  return (text) => text.length === folded.length && text.toLowerCase() === folded;
}

/** `/a` takes `/a`, `/a/` and `/a/b`, not `/ab`. */
function segmentPredicate(prefix: string): TextPredicate {
  const inner = `${prefix}/`;
  return (text) => text === prefix || text.startsWith(inner);
}

function prefixPredicate(prefix: string, ignoreCase: boolean): TextPredicate {
  if (!ignoreCase) return (text) => text.startsWith(prefix);
  const folded = prefix.toLowerCase();
  return (text) => text.slice(0, folded.length).toLowerCase() === folded;
}
