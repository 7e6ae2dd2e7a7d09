import type { Mutant } from "./instrument.ts";

/** Two words, or a word beside something filled in: `no rule of ${policy} matches`. */
const PROSE = /\p{L}{2,}[,:;.)']? | [('"]?\p{L}{2,}/u;

/** What `${…}` fills in. */
const FILLED_IN = /\$\{[^}]*\}/g;

/**
 * Mutants that are not counted (docs/mutation.md): the wording of sentences. A text of one word is a name, a key or a code and
 * counts; so do the conditions that choose among sentences, and what is filled in.
 */
export function isLeftOut({ operator, original }: Mutant): boolean {
  return operator === "StringLiteral" && PROSE.test(original.replaceAll(FILLED_IN, ""));
}
