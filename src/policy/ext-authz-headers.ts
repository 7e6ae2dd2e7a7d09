/** Header names as extension providers list them: exact, `x-*` or `*-id`, in any case of letters. */
export interface HeaderNames {
  /** @param name in lower case. */
  matches(name: string): boolean;
}

/** A star at both ends, or inside, is the character itself: Istio cuts off one star, the first one before the last. */
export function compileHeaderNames(given: readonly string[]): HeaderNames {
  const exact = new Set<string>();
  const prefixes: string[] = [];
  const suffixes: string[] = [];
  for (const name of given.map((text) => text.toLowerCase())) {
    if (name.startsWith("*")) suffixes.push(name.slice(1));
    else if (name.endsWith("*")) prefixes.push(name.slice(0, -1));
    else exact.add(name);
  }
  return {
    matches: (name) =>
      exact.has(name) ||
      prefixes.some((prefix) => name.startsWith(prefix)) ||
      suffixes.some((suffix) => name.endsWith(suffix)),
  };
}
