import type { Field } from "./field.ts";

/** Routes that no request can come to, because an earlier route takes everything that they match. */
export function warnUnreachable(routes: Field): void {
  const seen = new Map<string, Field>();
  let catchAll: Field | undefined;
  for (const route of routes.items()) {
    const matches = route.at("match").items();
    if (catchAll !== undefined) {
      route.warning(
        "BW1304_UNREACHABLE_ROUTE",
        `\`${route.name}\` is never used: \`${catchAll.name}\` before it matches everything`,
        "put it before, or remove it",
      );
      continue;
    }
    if (matches.length === 0) catchAll = route;
    for (const match of matches) {
      const key = matchKey(match);
      const before = seen.get(key);
      if (before === undefined) seen.set(key, match);
      else
        match.warning(
          "BW1304_UNREACHABLE_ROUTE",
          `\`${match.name}\` is never used: it is the same as \`${before.name}\``,
          "remove it",
        );
    }
  }
}

function matchKey(match: Field): string {
  return JSON.stringify(match.value, (key, value: unknown) => {
    if (key === "name") return undefined;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
