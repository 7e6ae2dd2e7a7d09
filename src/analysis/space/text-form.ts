/** The simple shapes that most patterns have, for which plain string operations do. */
import { type Characters, type Piece, type TextLanguage, takes, takesText } from "./text-language.ts";

/** `characters`: one or more, all of these. */
export type TextForm =
  | { readonly kind: "exact" | "prefix" | "suffix" | "containing"; readonly text: string }
  | { readonly kind: "characters"; readonly characters: Characters };

/** Undefined for any other shape. */
export function formOf({ pieces }: TextLanguage): TextForm | undefined {
  const [first] = pieces;
  if (pieces.length === 1 && first?.times === "some")
    return { kind: "characters", characters: first.characters };
  const isHead = isAll(first);
  const isTail = isAll(pieces.at(-1));
  if (isHead && pieces.length === 1) return { kind: "prefix", text: "" };
  const text = literalOf(pieces.slice(isHead ? 1 : 0, isTail ? -1 : pieces.length));
  if (text === undefined) return undefined;
  if (isHead) return { kind: isTail ? "containing" : "suffix", text };
  return { kind: isTail ? "prefix" : "exact", text };
}

/** Whether a text is in the language. */
export function testOf(language: TextLanguage): (text: string) => boolean {
  const form = formOf(language);
  switch (form?.kind) {
    case "exact":
      return (text) => text === form.text;
    case "prefix":
      return (text) => text.startsWith(form.text);
    case "suffix":
      return (text) => text.endsWith(form.text);
    case "containing":
      return (text) => text.includes(form.text);
    case "characters":
      return (text) => text !== "" && hasOnly(text, form.characters);
    case undefined:
      return (text) => takesText(language.pieces, text);
  }
}

export function hasOnly(text: string, characters: Characters): boolean {
  for (const character of text) if (!takes(characters, character)) return false;
  return true;
}

function isAll(piece: Piece | undefined): boolean {
  return piece?.times === "any" && piece.characters.but && piece.characters.text === "";
}

function literalOf(pieces: readonly Piece[]): string | undefined {
  const isLiteral = pieces.every(
    ({ times, characters: { but, text } }) => times === "one" && !but && [...text].length === 1,
  );
  return isLiteral ? pieces.map(({ characters }) => characters.text).join("") : undefined;
}
