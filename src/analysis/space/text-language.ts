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

/** All that texts are made of: whatever patterns name, the rest is there too. One character stands for all beyond ASCII. */
export const CHARACTERS = [
  ...Array.from({ length: 0x7f - 0x20 }, (_, at) => String.fromCharCode(0x20 + at)),
  "é",
];

/** Present, and not empty. */
export const NOT_EMPTY: TextLanguage = { label: "*", pieces: [some()] };

/** Whether the pieces, one after the other, take all of the text. */
export function takesText(pieces: readonly Piece[], text: string): boolean {
  let places = reachable(pieces, [0]);
  for (const character of text) {
    const moved = [...places].flatMap((at) => {
      const piece = pieces[at];
      if (piece === undefined || !takes(piece.characters, character)) return [];
      return piece.times === "one" ? [at + 1] : [at, at + 1];
    });
    places = reachable(pieces, moved);
  }
  return places.has(pieces.length);
}

/** With what lies behind pieces that need not take anything. */
function reachable(pieces: readonly Piece[], places: readonly number[]): ReadonlySet<number> {
  const reached = new Set(places);
  for (const at of reached) if (pieces[at]?.times === "any") reached.add(at + 1);
  return reached;
}
