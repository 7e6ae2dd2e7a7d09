/** Patterns over text, as sequences of pieces: what policies write, and what texts there are at all. */

/** Which characters a piece takes: those named, or all of the alphabet but those. */
export interface Characters {
  readonly but: boolean;
  readonly text: string;
}

/** `one`: exactly one character. `some`: one or more. `any`: any number. */
export interface Piece {
  readonly characters: Characters;
  readonly times: "one" | "some" | "any";
}

/** A text is in the language when the pieces, one after the other, take all of it. */
export interface TextLanguage {
  /** As a policy writes it, for people. */
  readonly label: string;
  readonly pieces: readonly Piece[];
}

export const ALL: Characters = { but: true, text: "" };

export function one(text: string): Piece {
  return { characters: { but: false, text }, times: "one" };
}

export function literal(text: string): readonly Piece[] {
  return [...text].map(one);
}

export function any(characters: Characters = ALL): Piece {
  return { characters, times: "any" };
}

export function some(characters: Characters = ALL): Piece {
  return { characters, times: "some" };
}

export function takes({ but, text }: Characters, character: string): boolean {
  return text.includes(character) !== but;
}

export function exactly(text: string): TextLanguage {
  return { label: text, pieces: literal(text) };
}

export function startingWith(text: string): TextLanguage {
  return { label: `${text}*`, pieces: [...literal(text), any()] };
}

export function endingWith(text: string): TextLanguage {
  return { label: `*${text}`, pieces: [any(), ...literal(text)] };
}

export function containing(text: string): TextLanguage {
  return { label: `*${text}*`, pieces: [any(), ...literal(text), any()] };
}

/** Present, and not empty. */
export const NOT_EMPTY: TextLanguage = { label: "*", pieces: [some()] };
