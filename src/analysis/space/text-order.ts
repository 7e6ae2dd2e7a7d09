/** Shorter texts first; of the same length in the alphabet's order, and what it does not have last. */
export function byAlphabet(alphabet: string): (a: string, b: string) => number {
  const ranks = new Map([...new Set(alphabet)].map((character, at) => [character, at]));
  const rank = (character = ""): number =>
    ranks.get(character) ?? ranks.size + (character.codePointAt(0) ?? 0);
  return (a, b) => {
    if (a.length !== b.length) return a.length - b.length;
    for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return rank(a[at]) - rank(b[at]);
    return 0;
  };
}
