/** Sets of texts in words: patterns that they have in common, with exceptions, and names. */
import type { TextCells } from "./text-division.ts";
import type { TextLanguage } from "./text-language.ts";

/** Whichever is shorter to say: what it is, or what it is not. */
export function describeTexts(
  texts: TextCells,
  languages: readonly TextLanguage[],
  cells: ReadonlySet<number>,
): string {
  const all = texts.cells.map((_, cell) => cell);
  if (cells.size === all.length) return "any";
  const work = { left: MOST_WORK };
  const positive = termsFor({ texts, languages, work }, cells, 2);
  const others = new Set(all.filter((cell) => !cells.has(cell)));
  const negative = termsFor({ texts, languages, work }, others, 2);
  const says = ({ terms, isVague }: Terms): number => terms.length + (isVague ? VAGUE : 0);
  if (says(positive) <= says(negative)) return positive.terms.join(", ");
  const but = negative.terms.join(", ");
  // A star takes any text that is not empty.
  return but === "*" ? "none" : `any but ${but}`;
}

/** Words for a set; vague where some of them are an example of what has no name. */
interface Terms {
  readonly terms: readonly string[];
  readonly isVague: boolean;
}

/** More than so many names are worse than a vague word. */
const VAGUE = 50;
/** So many texts are read more easily than the pattern that they have in common. */
const NAMES = 8;
/** So many exceptions can be read. */
const EXCEPTIONS = 3;
/** So many cells are told one by one. */
const SINGLE_CELLS = 50;
/** Looks at a cell, for the words of one set. Exceptions of exceptions of hundreds of patterns would take minutes; without them the words are worse, and as true. */
const MOST_WORK = 3_000_000;

interface Wording {
  readonly texts: TextCells;
  readonly languages: readonly TextLanguage[];
  readonly work: { left: number };
}

/**
 * Patterns that cover the set, widest first, each with what it must not take; then single texts; then what no pattern names.
 * @param among what counts: texts elsewhere may be taken or not. All where it is absent.
 */
function termsFor(
  wording: Wording,
  cells: ReadonlySet<number>,
  depth: number,
  among?: ReadonlySet<number>,
): Terms {
  const { texts, languages } = wording;
  const left = new Set(cells);
  const terms: string[] = [];
  const named = [...cells].map((cell) => texts.cells[cell]?.only);
  if (named.length <= NAMES && named.every((text) => text !== undefined)) {
    return { terms: named.map(nameOf), isVague: false };
  }
  const patterns = patternsFor(wording, cells, among);
  for (const { label, inside, outside } of patterns) {
    const more = inside.filter((cell) => left.has(cell));
    if (more.length === 0) continue;
    // A few texts are told by name, rather than as a pattern without all else that it takes.
    if (
      outside.length > 0 &&
      more.length <= NAMES &&
      more.every((cell) => texts.cells[cell]?.only !== undefined)
    )
      continue;
    const words = wordsOf(wording, { label, inside, outside }, patterns, depth);
    if (words === undefined) continue;
    terms.push(words);
    for (const cell of inside) left.delete(cell);
  }
  let isVague = false;
  const single = [...left];
  for (const cell of single.slice(0, SINGLE_CELLS)) {
    terms.push(describeCell(texts, languages, cell));
    if (texts.cells[cell]?.only === undefined) isVague = true;
  }
  if (single.length > SINGLE_CELLS) terms.push(`${single.length - SINGLE_CELLS} kinds more`);
  return { terms, isVague };
}

/** A pattern, with what it must not take, or with another that does not take it either. Undefined where that cannot be read. */
function wordsOf(
  wording: Wording,
  pattern: Pattern,
  all: readonly Pattern[],
  depth: number,
): string | undefined {
  const { label, inside, outside } = pattern;
  const except = exceptions(wording, pattern, depth);
  if (except?.length === 0) return label;
  const isPlain = except?.every((term) => !term.endsWith(")")) === true;
  const other = isPlain
    ? undefined
    : all.find((one) => isWithin(inside, one.inside) && !meets(outside, one.outside));
  if (other !== undefined) return `${label} and ${other.label}`;
  return except === undefined ? undefined : `${label} (but not ${except.join(", ")})`;
}

function isWithin(cells: readonly number[], others: readonly number[]): boolean {
  return cells.every((cell) => others.includes(cell));
}

function meets(cells: readonly number[], others: readonly number[]): boolean {
  return cells.some((cell) => others.includes(cell));
}

/** What a pattern takes besides: named as far as the pattern goes. Undefined where they would be too many to read. */
function exceptions(
  wording: Wording,
  { inside, outside }: Omit<Pattern, "label">,
  depth: number,
): readonly string[] | undefined {
  if (outside.length === 0) return [];
  if (depth === 0 || wording.work.left < 0) return undefined;
  const taken = new Set([...inside, ...outside]);
  const { terms, isVague } = termsFor(wording, new Set(outside), depth - 1, taken);
  return isVague || terms.length > EXCEPTIONS ? undefined : terms;
}

interface Pattern {
  readonly label: string;
  readonly inside: readonly number[];
  readonly outside: readonly number[];
}

function patternsFor(
  { texts, languages, work }: Wording,
  cells: ReadonlySet<number>,
  among?: ReadonlySet<number>,
): readonly Pattern[] {
  work.left -= languages.length * texts.cells.length;
  if (work.left < 0) return [];
  return languages
    .map(({ label }, language) => {
      const taken = texts.cells.flatMap((cell, at) => (cell.languages.has(language) ? [at] : []));
      return {
        label,
        inside: taken.filter((cell) => cells.has(cell)),
        outside: taken.filter((cell) => !cells.has(cell) && (among?.has(cell) ?? true)),
      };
    })
    .toSorted((a, b) => a.outside.length - b.outside.length || b.inside.length - a.inside.length);
}

function nameOf(text: string): string {
  return text === "" ? "the empty text" : text;
}

function describeCell(texts: TextCells, languages: readonly TextLanguage[], at: number): string {
  const cell = texts.cells[at];
  if (cell === undefined) return "";
  if (cell.only !== undefined) return nameOf(cell.only);
  const names = [...cell.languages].map((language) => languages[language]?.label ?? "");
  if (names.length === 0) return `any that no rule names (such as ${nameOf(cell.sample)})`;
  return `${names.join(" and ")} (such as ${cell.sample})`;
}
