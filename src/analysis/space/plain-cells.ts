/**
 * Cells of texts of which patterns say how they begin and how they end, as nearly all of AuthorizationPolicy's do. What a text belongs to is told by
 * the longest of these beginnings and the longest of these ends that it has, so that cells are pairs of them, and no automaton is needed.
 */

import { divisionOf, type TextCells, type TextQuestion } from "./text-division.ts";
import { formOf, hasOnly, type TextForm, testOf } from "./text-form.ts";
import { CHARACTERS, type Characters, type TextLanguage } from "./text-language.ts";
import { byAlphabet } from "./text-order.ts";

const PAIR_LIMIT = 20_000;
/** Looked at before an automaton is asked. */
const CANDIDATE_LIMIT = 2_000;

/**
 * As {@link textCells} divides texts.
 * @returns undefined where a pattern says something else, or looking at a few texts does not tell whether a cell has any.
 */
export function plainCells(question: TextQuestion): TextCells | undefined {
  const forms = question.languages.map(formOf);
  const universe = universeOf(question);
  if (universe === undefined || !forms.every(isPlain)) return undefined;
  const prefixes = textsOf(forms, "prefix");
  const suffixes = textsOf(forms, "suffix");
  if (prefixes.size * suffixes.size > PAIR_LIMIT) return undefined;
  const search = new Search(question, universe, prefixes, suffixes);
  const samples: string[] = [];
  if (forms.some((form) => form?.kind === "characters") && search.isLeft("")) samples.push("");
  for (const prefix of prefixes) {
    for (const suffix of suffixes) {
      const sample = search.example(prefix, suffix, samples[0] === "" ? 1 : 0);
      if (sample === undefined) return undefined;
      if (sample !== null) samples.push(sample);
    }
  }
  const tests = question.languages.map(testOf);
  const languagesOf = (text: string): ReadonlySet<number> | undefined =>
    universe.has(text)
      ? new Set(tests.flatMap((test, language) => (test(text) ? [language] : [])))
      : undefined;
  return divisionOf(question.exact, samples.sort(byAlphabet(question.alphabet)), languagesOf);
}

/** How texts begin, and how they end; of those that patterns say nothing of, the empty one. */
function textsOf(forms: readonly (TextForm | undefined)[], kind: "prefix" | "suffix"): ReadonlySet<string> {
  return new Set(["", ...forms.flatMap((form) => (form?.kind === kind ? [form.text] : []))]);
}

function isPlain(form: TextForm | undefined): boolean {
  if (form?.kind === "characters") return form.characters.but && form.characters.text === "";
  return form?.kind === "prefix" || form?.kind === "suffix";
}

interface Universe {
  /** With which every text begins. */
  readonly start: string;
  readonly has: (text: string) => boolean;
  /** Whether no text can begin and end so. May be false where none can. */
  readonly lacks: (start: string, end: string) => boolean;
}

function universeOf({ universe, never }: TextQuestion): Universe | undefined {
  const sets: Characters[] = [];
  const starts: string[] = [];
  for (const form of universe.map(formOf)) {
    if (form?.kind === "characters") sets.push(form.characters);
    else if (form?.kind === "prefix") starts.push(form.text);
    else return undefined;
  }
  if (starts.length > 1) return undefined;
  const [all, none] = [universe.map(testOf), never.map(testOf)];
  const refusals = never.map(formOf);
  return {
    start: starts[0] ?? "",
    has: (text) => all.every((test) => test(text)) && !none.some((test) => test(text)),
    lacks: (start, end) =>
      sets.some((set) => !hasOnly(start, set) || !hasOnly(end, set)) ||
      refusals.some((form) => form !== undefined && refuses(form, start, end)),
  };
}

/** Whether everything that begins and ends so has the form. */
function refuses(form: TextForm, start: string, end: string): boolean {
  if (form.kind === "containing") return start.includes(form.text) || end.includes(form.text);
  if (form.kind === "prefix") return start.startsWith(form.text);
  return form.kind === "suffix" && end.endsWith(form.text);
}

/** Looks for the first example of a pair of a beginning and an end. */
class Search {
  readonly #universe: Universe;
  readonly #exact: ReadonlySet<string>;
  readonly #prefixes: ReadonlySet<string>;
  readonly #suffixes: ReadonlySet<string>;
  readonly #characters: readonly string[];

  constructor(
    { languages, universe, never, alphabet, exact }: TextQuestion,
    own: Universe,
    prefixes: ReadonlySet<string>,
    suffixes: ReadonlySet<string>,
  ) {
    this.#universe = own;
    this.#exact = exact;
    this.#prefixes = prefixes;
    this.#suffixes = suffixes;
    const named = ({ pieces }: TextLanguage): readonly string[] =>
      pieces.flatMap(({ characters }) => [...characters.text]);
    const all = [...languages, ...universe, ...never].flatMap(named);
    this.#characters = [...new Set([...alphabet, ...all, ...CHARACTERS])];
  }

  /** Whether there is such a text, and it is no cell of its own. */
  isLeft(text: string): boolean {
    return this.#universe.has(text) && !this.#exact.has(text);
  }

  /** Null: there is none. Undefined: none was found. */
  example(prefix: string, suffix: string, leastLength: number): string | null | undefined {
    const start = longer(prefix, this.#universe.start);
    if (start === undefined || this.#beginsLonger(start, prefix) || this.#universe.lacks(start, suffix))
      return null;
    let left = CANDIDATE_LIMIT;
    for (const text of this.#candidates(start, suffix)) {
      if (left-- === 0) return undefined;
      if (text.length < leastLength || this.#beginsLonger(text, prefix) || this.#endsLonger(text, suffix))
        continue;
      if (this.isLeft(text)) return text;
    }
    return undefined;
  }

  /** Short ones first; of the same length in the order of characters. */
  *#candidates(start: string, end: string): Generator<string> {
    const most = Math.min(start.length, end.length);
    for (let shared = most; shared >= 0; shared--)
      if (start.endsWith(end.slice(0, shared))) yield start + end.slice(shared);
    for (const one of this.#characters) yield start + one + end;
    for (const one of this.#characters) for (const two of this.#characters) yield start + one + two + end;
  }

  #beginsLonger(text: string, prefix: string): boolean {
    for (let end = prefix.length + 1; end <= text.length; end++)
      if (this.#prefixes.has(text.slice(0, end))) return true;
    return false;
  }

  #endsLonger(text: string, suffix: string): boolean {
    for (let from = text.length - suffix.length - 1; from >= 0; from--)
      if (this.#suffixes.has(text.slice(from))) return true;
    return false;
  }
}

/** Of two beginnings of one text, the longer; undefined where no text has both. */
function longer(a: string, b: string): string | undefined {
  if (a.startsWith(b)) return a;
  return b.startsWith(a) ? b : undefined;
}
