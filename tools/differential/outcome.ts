/** What became of one request, or of one connection that carries none, in words that all who are asked share. */
export interface Outcome {
  /** The application got it. */
  readonly allowed: boolean;
  /** Who refused, and how: the words of the recorded corpora. */
  readonly reason: string;
  /** HTTP status; 0 where an HTTP filter never saw it. */
  readonly code: number;
  /** The rule that allowed or denied: `ns/name#index`; null where none did. Undefined where it is not to be seen. */
  readonly rule: string | null | undefined;
  /** What goes on to the application: path, authority and method. Null where it is not to be seen. */
  readonly forwarded: string | null;
  /** What an authorizer has the caller told (`x-decided`); empty for nothing. Null where it is not to be seen. */
  readonly told: string | null;
}

/** Refused before any request was read. */
export function refusedConnection(reason: string, rule: string | null | undefined = null): Outcome {
  return { allowed: false, reason, code: 0, rule, forwarded: null, told: null };
}

/** @param headers those of {@link FORWARDED_HEADERS} in their order, in lower case, each as often as it came. */
export function forwardedAs(
  path: string,
  authority: string,
  method: string,
  headers: readonly (readonly [string, string])[],
  body = "",
): string {
  const own = FORWARDED_HEADERS.flatMap((wanted) =>
    headers.flatMap(([name, value]) => (name === wanted ? [`${name}=${value}`] : [])),
  );
  return [path, authority, method, ...own, ...(body === "" ? [] : [`body=${body}`])].join(" ");
}

/** Headers that authorizers change. */
const FORWARDED_HEADERS: readonly string[] = ["x-role", "x-env"];

/**
 * Undefined where all who know say the same. `forwarded` is compared where both have seen it.
 * @param tokenInQuery Envoy that takes a token out of a query writes the rest anew, decoded and sorted; we leave it as it was written.
 */
export function difference(
  outcomes: Readonly<Record<string, Outcome>>,
  tokenInQuery: boolean,
): string | undefined {
  const same = tokenInQuery ? isSameButForQuery : isSame;
  const entries = Object.entries(outcomes);
  for (const [index, [aName, a]] of entries.entries()) {
    for (const [bName, b] of entries.slice(index + 1)) {
      const agree =
        a.allowed === b.allowed &&
        a.reason === b.reason &&
        a.code === b.code &&
        (a.rule === undefined || b.rule === undefined || a.rule === b.rule) &&
        (a.told === null || b.told === null || a.told === b.told) &&
        (a.forwarded === null || b.forwarded === null || same(a.forwarded, b.forwarded));
      if (!agree) return `${aName} and ${bName} differ`;
    }
  }
  return undefined;
}

const ESCAPED = /%[0-9a-f]{2}/i;

function isSame(a: string, b: string): boolean {
  return a === b;
}

/** With escapes in it the query may be no part of a request line any more when it is written anew: then only the paths are compared. */
function isSameButForQuery(a: string, b: string): boolean {
  const [pathA, queryA] = partsOf(a);
  const [pathB, queryB] = partsOf(b);
  return pathA === pathB && (ESCAPED.test(queryA + queryB) || sortedPairs(queryA) === sortedPairs(queryB));
}

function partsOf(forwarded: string): [path: string, query: string] {
  const mark = forwarded.indexOf("?");
  return mark < 0
    ? [forwarded.split(" ")[0] ?? "", ""]
    : [forwarded.slice(0, mark), forwarded.slice(mark + 1)];
}

/** With the authority, which follows the last pair. */
function sortedPairs(query: string): string {
  const [text = "", ...authority] = query.split(" ");
  const pairs = text.split("&").map((pair) => (pair.includes("=") ? pair : `${pair}=`));
  return [...pairs.sort(), ...authority].join("&");
}
