/**
 * Rules as programs of integers in one array: a rule is tested in a cache line or two, where the objects that it was written
 * in would take dozens, each a miss at ten thousand rules.
 */
import type { Clause, CompiledRule } from "../authorization-rule.ts";
import type { Condition, Predicate } from "../condition.ts";
import type { TextPatterns } from "../text-pattern.ts";
import { type ConditionKeys, SLOT_METHOD, SLOT_PATH, SLOT_SUBJECT, type Slot } from "./dimension.ts";
import { textHash, textPrint } from "./text-print.ts";

/** What a step does. All but MATCH: [header, step if it fails, next step, operands…]. */
export const STEP_MATCH = 0;
/** count, ports… Without ports it always fails, and so serves as a jump. */
export const STEP_PORT = 1;
/** exact count, prefix count, suffix count, (print, text)…, prefixes…, suffixes… */
export const STEP_TEXT = 2;
/** predicate */
export const STEP_PREDICATE = 3;
/** The usual cases, each with code of its own: count, (print, text)… */
export const STEP_SUBJECTS = 4;
export const STEP_METHODS = 5;
export const STEP_PATHS = 6;

/** The header: what to do, whether the outcome is turned round, where the text stands, whether `*` is among the patterns. */
export const STEP_MASK = 7;
export const NEGATED = 8;
export const SLOT_SHIFT = 4;
export const SLOT_MASK = 7;
export const ANY = 128;
/** Where a step leads that fails the rule. */
export const REFUSE = -1;

export interface RulePrograms {
  /** Each program begins with the rule's rank. */
  readonly code: Int32Array;
  readonly texts: readonly string[];
  readonly predicates: readonly Predicate[];
}

export class RuleProgramBuilder {
  readonly #code: number[] = [];
  readonly #texts: string[] = [];
  readonly #textNumbers = new Map<string, number>();
  readonly #predicates: Predicate[] = [];

  /** @returns where the program begins. */
  add(rule: CompiledRule, rank: number): number {
    const start = this.#code.length;
    this.#code.push(rank);
    this.#anyOf(rule.sources);
    this.#anyOf(rule.operations);
    this.#code.push(STEP_MATCH);
    return start;
  }

  finish(): RulePrograms {
    return {
      code: Int32Array.from(this.#code),
      texts: this.#texts.map(copyOf),
      predicates: this.#predicates,
    };
  }

  #anyOf(clauses: readonly Clause[]): void {
    if (clauses.some((clause) => clause.length === 0)) return;
    const jumps: number[] = [];
    for (const [index, clause] of clauses.entries()) {
      const last = index === clauses.length - 1;
      const failures = clause.toSorted(byCost).flatMap((condition) => this.#condition(condition));
      if (!last) jumps.push(this.#step(STEP_PORT, [0]));
      for (const place of failures) this.#code[place] = last ? REFUSE : this.#code.length;
    }
    for (const place of jumps) this.#code[place] = this.#code.length;
  }

  /** @returns the places that say where to go on failure. */
  #condition(condition: Condition): number[] {
    const { keys, notKeys, values, notValues, matches } = condition;
    const positive = values.length === 0 || isEncodable(keys);
    const negative = notValues.length === 0 || isEncodable(notKeys);
    if (!positive || !negative) return [this.#step(STEP_PREDICATE, [this.#predicates.push(matches) - 1])];
    return [
      ...(keys === null ? [] : [this.#keyed(keys, 0)]),
      ...(notKeys === null ? [] : [this.#keyed(notKeys, NEGATED)]),
    ];
  }

  #keyed(keys: ConditionKeys, negated: number): number {
    if ("ports" in keys) return this.#step(STEP_PORT | negated, [keys.ports.length, ...keys.ports]);
    if (!("patterns" in keys)) throw new Error("BUG: addresses are no step");
    const { slot } = keys.dimension;
    if (slot === undefined) throw new Error("BUG: these texts have no slot");
    const { any, exact, prefixes, suffixes } = keys.patterns;
    const exactTexts = [...exact].flatMap((text) => [printIn(slot, text), this.#text(text)]);
    const step = EXACT_STEPS[slot];
    if (step !== undefined && isExact(keys.patterns)) {
      return this.#step(step | negated, [exact.size, ...exactTexts]);
    }
    return this.#step(STEP_TEXT | negated | (slot << SLOT_SHIFT) | (any ? ANY : 0), [
      exact.size,
      prefixes.length,
      suffixes.length,
      ...exactTexts,
      ...prefixes.map((text) => this.#text(text)),
      ...suffixes.map((text) => this.#text(text)),
    ]);
  }

  /** @returns the place of its failure target. */
  #step(header: number, operands: readonly number[]): number {
    const place = this.#code.length + 1;
    this.#code.push(header, REFUSE, place + 2 + operands.length);
    for (const operand of operands) this.#code.push(operand);
    return place;
  }

  #text(text: string): number {
    const known = this.#textNumbers.get(text);
    if (known !== undefined) return known;
    this.#textNumbers.set(text, this.#texts.length);
    return this.#texts.push(text) - 1;
  }
}

/** Texts that are made one after the other lie side by side, not all over the heap where rules were parsed. */
function copyOf(text: string): string {
  return [text.slice(0, 1), text.slice(1)].join("");
}

function isEncodable(keys: ConditionKeys | null): boolean {
  if (keys === null || "blocks" in keys) return false;
  if ("ports" in keys) return true;
  return keys.decisive && keys.dimension.slot !== undefined;
}

/** Texts of one slot are told apart by the same number that a request's text there has. */
function printIn(slot: Slot, text: string): number {
  return slot === SLOT_SUBJECT ? textHash(text) : textPrint(text);
}

/** Conditions of a clause may be tested in any order: they are total and change nothing. */
function byCost(a: Condition, b: Condition): number {
  return costOf(a) - costOf(b);
}

function costOf({ keys, notKeys }: Condition): number {
  const own = keys ?? notKeys;
  if (own === null || "blocks" in own) return 2;
  return "ports" in own ? 0 : 1;
}

const EXACT_STEPS: Readonly<Partial<Record<Slot, number>>> = {
  [SLOT_SUBJECT]: STEP_SUBJECTS,
  [SLOT_METHOD]: STEP_METHODS,
  [SLOT_PATH]: STEP_PATHS,
};

function isExact({ any, prefixes, suffixes }: TextPatterns): boolean {
  return !any && prefixes.length === 0 && suffixes.length === 0;
}

/** Prints of the only paths that a rule can match; null where it is not bound to such. */
export function pathPrints({ operations }: CompiledRule): readonly number[] | null {
  return printsOf(operations, SLOT_PATH);
}

/** The same of callers' names. */
export function subjectPrints({ sources }: CompiledRule): readonly number[] | null {
  return printsOf(sources, SLOT_SUBJECT);
}

function printsOf(clauses: readonly Clause[], slot: Slot): readonly number[] | null {
  const prints: number[] = [];
  for (const clause of clauses) {
    const texts = clause.map(({ keys }) => (keys === null ? null : exactTexts(keys, slot))).find(isPresent);
    if (texts === undefined) return null;
    for (const text of texts) prints.push(printIn(slot, text));
  }
  return prints;
}

function isPresent<T>(value: T | null): value is T {
  return value !== null;
}

function exactTexts(keys: ConditionKeys, slot: Slot): TextPatterns["exact"] | null {
  if (!("patterns" in keys) || !keys.decisive || keys.dimension.slot !== slot) return null;
  return isExact(keys.patterns) ? keys.patterns.exact : null;
}
