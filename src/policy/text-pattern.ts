/**
 * Istio's strings in policies: `*` (present and not empty), `*suffix`, `prefix*`, else exact. Compiled so that exact values,
 * which are nearly all, cost one hash however many there are.
 */
export interface TextPatterns {
  /** `*` is among them. */
  readonly any: boolean;
  readonly exact: ReadonlySet<string>;
  readonly prefixes: readonly string[];
  readonly suffixes: readonly string[];
}

/** @param values as written; a leading star makes a suffix even where a trailing one follows, as in Istio. */
export function compileTextPatterns(values: readonly string[]): TextPatterns {
  const exact = new Set<string>();
  const prefixes: string[] = [];
  const suffixes: string[] = [];
  for (const value of values) {
    if (value === "*") continue;
    if (value.startsWith("*")) suffixes.push(value.slice(1));
    else if (value.endsWith("*")) prefixes.push(value.slice(0, -1));
    else exact.add(value);
  }
  return { any: values.includes("*"), exact, prefixes, suffixes };
}

/** Whether the text matches one of the patterns. An empty text does not match `*`: it is RE2's `.+`, which also stops at line feeds. */
export function matchesText(patterns: TextPatterns, text: string): boolean {
  if (patterns.exact.has(text)) return true;
  if (patterns.any && text !== "" && !text.includes("\n")) return true;
  for (const prefix of patterns.prefixes) if (text.startsWith(prefix)) return true;
  for (const suffix of patterns.suffixes) if (text.endsWith(suffix)) return true;
  return false;
}

/** As matchesText, but `*` means present, even when empty: what Envoy's header matchers do. */
export function matchesPresentText(patterns: TextPatterns, text: string): boolean {
  return patterns.any || matchesText(patterns, text);
}
