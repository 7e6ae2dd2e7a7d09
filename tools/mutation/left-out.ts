import type { Mutant } from "./instrument.ts";

/** Two words in a row, one of which may be filled in: `no such header`, `claim ${path}`. */
const PROSE =
  /(?:\p{L}{2,}[\p{Po}\p{Pe}]* [\p{Po}\p{Ps}]*(?:\p{L}{2,}|\0)|\0[\p{Po}\p{Pe}]* [\p{Po}\p{Ps}]*\p{L}{2,})/u;

/** What `${…}` fills in. */
const FILLED_IN = /\$\{[^}]*\}/g;

/** Protocol, not wording, although it reads so: a scheme of credentials. */
const SCHEME = /^["'`]Bearer /;

/**
 * Mutants that are not counted (docs/mutation.md): the wording of sentences. A text of one word is a name, a key or a code and counts, and
 * so do words listed over several lines, which are tables; so do the conditions that choose among sentences, and what is filled in.
 */
export function isLeftOut({ operator, original }: Mutant): boolean {
  if (operator !== "StringLiteral" || original.includes("\n") || SCHEME.test(original)) return false;
  return PROSE.test(original.replaceAll(FILLED_IN, "\0"));
}
