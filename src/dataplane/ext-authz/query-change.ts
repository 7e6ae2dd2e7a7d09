/**
 * A target with some query parameters set (in place, or behind the others) and others removed; names as they are written there.
 * @param target path and query.
 */
export function changeQuery(
  target: string,
  set: readonly (readonly [name: string, value: string])[],
  remove: readonly string[],
): string {
  if (set.length === 0 && remove.length === 0) return target;
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  let pairs = mark < 0 ? [] : target.slice(mark + 1).split("&");
  for (const [name, value] of set) {
    const first = pairs.findIndex((pair) => nameOf(pair) === name);
    const kept = pairs.filter((pair, at) => at === first || nameOf(pair) !== name);
    pairs =
      first < 0
        ? [...kept, `${name}=${value}`]
        : kept.map((pair) => (nameOf(pair) === name ? `${name}=${value}` : pair));
  }
  pairs = pairs.filter((pair) => !remove.includes(nameOf(pair)));
  return pairs.length === 0 ? path : `${path}?${pairs.join("&")}`;
}

function nameOf(pair: string): string {
  return pair.split("=", 1)[0] ?? "";
}
