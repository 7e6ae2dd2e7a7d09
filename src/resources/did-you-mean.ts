/** Fewer letters begin too much. */
const SHORTEST_BEGINNING = 4;

/**
 * The candidate that `written` was most likely meant to be: the nearest by edit distance (a swap of neighbours counts
 * once, case counts nothing), if it is near enough to be a slip. Ties go to the first. Else the only one that begins so.
 */
export function didYouMean(written: string, candidates: Iterable<string>): string | undefined {
  if (written.length > 64) return undefined;
  const near = nearestWithin(written, candidates, Math.max(1, Math.floor(written.length / 3)));
  return near ?? begunAs(written, candidates);
}

/** The candidate at the least edit distance (as for `didYouMean`), where that is `most` letters or fewer. */
export function nearestWithin(
  written: string,
  candidates: Iterable<string>,
  most: number,
): string | undefined {
  let best: string | undefined;
  let bestDistance = most + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - written.length) >= bestDistance) continue;
    const distance = editDistance(written.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** A word that was broken off, where only one begins so. */
function begunAs(written: string, candidates: Iterable<string>): string | undefined {
  if (written.length < SHORTEST_BEGINNING) return undefined;
  const [only, ...others] = [...candidates].filter((own) =>
    own.toLowerCase().startsWith(written.toLowerCase()),
  );
  return others.length === 0 ? only : undefined;
}

/** `did you mean …?` as a line of help, or nothing. */
export function suggestion(written: string, candidates: Iterable<string>): string {
  const meant = didYouMean(written, candidates);
  return meant === undefined ? "" : `did you mean \`${meant}\`?`;
}

/** Optimal string alignment distance. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min((last[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) distance = Math.min(distance, (beforeLast[j - 2] ?? 0) + 1);
      current.push(distance);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}
