/** Divides all texts of a dimension into cells, so that no pattern tells two texts of a cell apart: a cell is a set of patterns that accept together. */
import { plainCells } from "./plain-cells.ts";
import { TextAutomaton } from "./text-automaton.ts";
import { divisionOf, type TextCells, type TextQuestion } from "./text-division.ts";
import { CHARACTERS } from "./text-language.ts";

/** @throws {AnalysisLimit} where the patterns' joint automaton is too large. */
export function textCells(question: TextQuestion): TextCells {
  return plainCells(question) ?? automatonCells(question);
}

/** By one automaton of all patterns, whatever they are. */
export function automatonCells(question: TextQuestion): TextCells {
  const automaton = automatonFor(question);
  const samples = automaton.samples(question.exact);
  return divisionOf(question.exact, samples, (text) => automaton.languagesOf(text));
}

/** Workloads mostly differ in the texts that they name and not in patterns: building an automaton was nine tenths of the time of `verify`. */
const AUTOMATA = new Map<string, TextAutomaton>();
const KEPT_AUTOMATA = 64;
/** In all: some kilobytes each. */
const KEPT_STATES = 50_000;

/** The oldest first, but for the last. */
function forgetSome(): void {
  let states = 0;
  for (const { size } of AUTOMATA.values()) states += size;
  for (const [key, { size }] of AUTOMATA) {
    if (AUTOMATA.size === 1 || (AUTOMATA.size <= KEPT_AUTOMATA && states <= KEPT_STATES)) return;
    AUTOMATA.delete(key);
    states -= size;
  }
}

function automatonFor(question: TextQuestion): TextAutomaton {
  const { universe, never, languages, alphabet, exact } = question;
  const rare = [...new Set([...exact].join(""))].filter((character) => !CHARACTERS.includes(character));
  const key = JSON.stringify([
    ...[universe, never, languages].map((list) => list.map(({ pieces }) => pieces)),
    alphabet,
    rare.sort(),
  ]);
  const known = AUTOMATA.get(key);
  if (known !== undefined) return known;
  const made = new TextAutomaton({ ...question, exact: new Set(rare) });
  AUTOMATA.set(key, made);
  forgetSome();
  return made;
}
