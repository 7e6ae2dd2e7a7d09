/** What became of one request, or of one connection that carries none, in words that all who are asked share. */
export interface Outcome {
  /** The application got it. */
  readonly allowed: boolean;
  /** Who refused, and how: the words of the recorded corpora. */
  readonly reason: string;
  /** HTTP status; 0 where an HTTP filter never saw it. */
  readonly code: number;
  /** The rule that allowed or denied: `ns/name#index`; null where none did. */
  readonly rule: string | null;
  /** What goes on to the application: path and authority. Null where it is not to be seen. */
  readonly forwarded: string | null;
}

/** Refused before any request was read. */
export function refusedConnection(reason: string, rule: string | null = null): Outcome {
  return { allowed: false, reason, code: 0, rule, forwarded: null };
}

export function forwardedAs(path: string, authority: string): string {
  return `${path} ${authority}`;
}

/**
 * Undefined where all who know say the same. `forwarded` is compared where both have seen it.
 * @param tokenInQuery Envoy that takes a token out of a query writes the rest anew, decoded and sorted; we leave it as it was written.
 */
export function difference(
  outcomes: Readonly<Record<string, Outcome>>,
  tokenInQuery: boolean,
): string | undefined {
  const forwarded = tokenInQuery ? sortedQuery : asIs;
  const entries = Object.entries(outcomes);
  for (const [index, [aName, a]] of entries.entries()) {
    for (const [bName, b] of entries.slice(index + 1)) {
      const same =
        a.allowed === b.allowed &&
        a.reason === b.reason &&
        a.code === b.code &&
        a.rule === b.rule &&
        (a.forwarded === null || b.forwarded === null || forwarded(a.forwarded) === forwarded(b.forwarded));
      if (!same) return `${aName} and ${bName} differ`;
    }
  }
  return undefined;
}

function asIs(forwarded: string): string {
  return forwarded;
}

function sortedQuery(forwarded: string): string {
  const [target = "", authority = ""] = forwarded.split(" ");
  const [path = "", ...query] = target.split("?");
  const pairs = query.join("?").split("&").map(decoded).sort();
  return `${path}?${pairs.join("&")} ${authority}`;
}

function decoded(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}
