/** Finds the first of many rules that matches, in about the same time however many there are. */
import type { CompiledRule } from "../authorization-rule.ts";
import type { Predicate } from "../condition.ts";
import type { Connection } from "../connection.ts";
import type { HttpRequest } from "../http-request.ts";
import { SLOT_HOST, SLOT_METHOD, SLOT_PATH, SLOT_SNI, SLOT_SUBJECT, type Slot } from "./dimension.ts";
import { indexDimensions } from "./index-dimensions.ts";
import { ANY_KEY, type KeyLookup } from "./key-dictionary.ts";
import {
  ANY,
  NEGATED,
  pathSignature,
  REFUSE,
  RuleProgramBuilder,
  SLOT_MASK,
  SLOT_SHIFT,
  STEP_JUMP,
  STEP_MASK,
  STEP_MATCH,
  STEP_PORT,
  STEP_TEXT,
  subjectSignature,
} from "./rule-program.ts";
import {
  ALL,
  buildSearchTree,
  ENTRY_SIZE,
  LEAF,
  LEAF_END,
  LEAF_HEAD,
  NO_NODE,
  REST,
  TRANSITION_SIZE,
  transitionSlot,
} from "./search-tree.ts";
import { ALL_TEXTS, NO_TEXT_BIT, printBit, textPrint } from "./text-print.ts";

/** Rank that no rule has: none matches. */
export const NO_RANK = 0x7fffffff;

const NOT_ASKED = -2;

/**
 * Immutable but for its working space, which holds what is known of the request that is being decided: deciding is
 * synchronous and allocates nothing.
 */
export class RuleIndex {
  readonly #code: Int32Array;
  readonly #texts: readonly string[];
  readonly #predicates: readonly Predicate[];
  readonly #nodes: Int32Array;
  readonly #root: number;
  readonly #transitions: Int32Array;
  readonly #transitionMask: number;
  readonly #lookups: readonly KeyLookup[];
  /** The dimension that is the subject and has no patterns; -1 for none. */
  readonly #exactSubject: number;
  /** Whether any rule can be passed over by its path. */
  readonly #signed: boolean;

  readonly #keys: readonly Int32Array[];
  readonly #keyCounts: Int32Array;
  readonly #prints = new Int32Array(SLOT_MASK + 1);
  #printed = 0;

  /** @param rules in their order: the rank of a rule is its place. */
  constructor(rules: readonly CompiledRule[]) {
    const builder = new RuleProgramBuilder();
    const starts = rules.map((rule, rank) => builder.add(rule, rank));
    const programs = builder.finish();
    const { dimensions, lookups, rooms, exactSubject, keysOf } = indexDimensions(rules);
    const entries = rules.map((rule, rank) => ({
      rank,
      program: starts[rank] ?? 0,
      paths: pathSignature(rule),
      subjects: subjectSignature(rule),
      keys: keysOf(rank),
    }));
    const tree = buildSearchTree(entries, dimensions);
    this.#code = programs.code;
    this.#texts = programs.texts;
    this.#predicates = programs.predicates;
    this.#nodes = tree.nodes;
    this.#root = tree.root;
    this.#transitions = tree.transitions;
    this.#transitionMask = tree.transitionMask;
    this.#lookups = lookups;
    this.#exactSubject = exactSubject;
    this.#signed = entries.some(({ paths }) => paths !== ALL_TEXTS);
    this.#keys = rooms.map((room) => new Int32Array(room));
    this.#keyCounts = new Int32Array(dimensions.length);
  }

  /** @returns the rank of the first rule that matches, or NO_RANK. Total; allocates nothing. */
  first(connection: Connection, request: HttpRequest | null): number {
    const counts = this.#keyCounts;
    for (let index = 0; index < counts.length; index++) counts[index] = NOT_ASKED;
    this.#printed = 0;
    const bit =
      this.#signed && request !== null ? printBit(this.#print(SLOT_PATH, request.pathOnly)) : NO_TEXT_BIT;
    return this.#search(this.#root, connection, request, bit, NO_RANK);
  }

  /** @param before only rules of a lower rank are of interest. @returns the lowest rank that matches, or `before`. */
  #search(
    from: number,
    connection: Connection,
    request: HttpRequest | null,
    bit: number,
    before: number,
  ): number {
    const nodes = this.#nodes;
    let best = before;
    for (let node = from; node !== NO_NODE; node = nodes[node + REST] ?? NO_NODE) {
      if ((nodes[node + 1] ?? 0) >= best) return best;
      const dimension = nodes[node] ?? LEAF;
      if (dimension === LEAF) return this.#test(node, connection, request, bit, best);
      if (dimension === this.#exactSubject) {
        const child = connection.subject === null ? NO_NODE : this.#child(node, connection.subjectHash);
        if (child !== NO_NODE) best = this.#search(child, connection, request, bit, best);
        continue;
      }
      const count = this.#collect(dimension, connection, request);
      if (count === ANY_KEY)
        return this.#search(nodes[node + ALL] ?? NO_NODE, connection, request, bit, best);
      for (let index = 0; index < count; index++) {
        const child = this.#child(node, this.#keys[dimension]?.[index] ?? 0);
        if (child !== NO_NODE) best = this.#search(child, connection, request, bit, best);
      }
    }
    return best;
  }

  #child(node: number, key: number): number {
    const transitions = this.#transitions;
    const mask = this.#transitionMask;
    for (let slot = transitionSlot(node, key) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * TRANSITION_SIZE;
      const from = transitions[at];
      if (from === node && transitions[at + 1] === key) return transitions[at + 2] ?? NO_NODE;
      if (from === NO_NODE) return NO_NODE;
    }
  }

  #collect(dimension: number, connection: Connection, request: HttpRequest | null): number {
    const known = this.#keyCounts[dimension] ?? 0;
    if (known !== NOT_ASKED) return known;
    const out = this.#keys[dimension];
    const count = out === undefined ? 0 : (this.#lookups[dimension]?.collect(connection, request, out) ?? 0);
    this.#keyCounts[dimension] = count;
    return count;
  }

  #test(
    leaf: number,
    connection: Connection,
    request: HttpRequest | null,
    bit: number,
    before: number,
  ): number {
    const nodes = this.#nodes;
    const subjectBit = connection.subject === null ? NO_TEXT_BIT : printBit(connection.subjectHash);
    const end = nodes[leaf + LEAF_END] ?? 0;
    for (let at = leaf + LEAF_HEAD; at < end; at += ENTRY_SIZE) {
      if (((nodes[at + 1] ?? 0) & bit) === 0 || ((nodes[at + 2] ?? 0) & subjectBit) === 0) continue;
      const program = nodes[at] ?? 0;
      const rank = this.#code[program] ?? NO_RANK;
      if (rank >= before) return before;
      if (this.#matches(program + 1, connection, request)) return rank;
    }
    return before;
  }

  #matches(program: number, connection: Connection, request: HttpRequest | null): boolean {
    const code = this.#code;
    for (let at = program; at !== REFUSE; ) {
      const header = code[at] ?? STEP_MATCH;
      const step = header & STEP_MASK;
      if (step === STEP_MATCH) return true;
      if (step === STEP_JUMP) {
        at = code[at + 1] ?? REFUSE;
        continue;
      }
      const holds =
        step === STEP_TEXT
          ? this.#hasText(at, header, connection, request)
          : step === STEP_PORT
            ? this.#isAmong(at, connection.destinationPort)
            : (this.#predicates[code[at + 3] ?? 0]?.(connection, request) ?? false);
      at = (holds === ((header & NEGATED) === 0) ? code[at + 2] : code[at + 1]) ?? REFUSE;
    }
    return false;
  }

  #isAmong(step: number, value: number): boolean {
    const code = this.#code;
    const end = step + 4 + (code[step + 3] ?? 0);
    for (let at = step + 4; at < end; at++) if (code[at] === value) return true;
    return false;
  }

  #hasText(step: number, header: number, connection: Connection, request: HttpRequest | null): boolean {
    const slot = ((header >> SLOT_SHIFT) & SLOT_MASK) as Slot;
    const text = textOf(slot, connection, request);
    if (text === null) return false;
    if ((header & ANY) !== 0 && isAnyText(slot, text)) return true;
    const code = this.#code;
    const texts = this.#texts;
    let at = step + 6;
    let end = at + 2 * (code[step + 3] ?? 0);
    if (end > at) {
      const print = slot === SLOT_SUBJECT ? connection.subjectHash : this.#print(slot, text);
      for (; at < end; at += 2) if (code[at] === print && texts[code[at + 1] ?? 0] === text) return true;
    }
    end += code[step + 4] ?? 0;
    for (; at < end; at++) if (text.startsWith(texts[code[at] ?? 0] ?? "\n")) return true;
    end += code[step + 5] ?? 0;
    for (; at < end; at++) if (text.endsWith(texts[code[at] ?? 0] ?? "\n")) return true;
    return false;
  }

  #print(slot: Slot, text: string): number {
    if ((this.#printed & (1 << slot)) === 0) {
      this.#printed |= 1 << slot;
      this.#prints[slot] = textPrint(text);
    }
    return this.#prints[slot] ?? 0;
  }
}

function textOf(slot: Slot, connection: Connection, request: HttpRequest | null): string | null {
  if (slot === SLOT_PATH) return request === null ? null : request.pathOnly;
  if (slot === SLOT_METHOD) return request === null ? null : request.method;
  if (slot === SLOT_HOST) return request === null ? null : request.host;
  return slot === SLOT_SNI ? connection.sni : connection.subject;
}

/** What `*` asks of a text: methods and hosts need only be there (matchesPresentText), others be written (matchesText). */
function isAnyText(slot: Slot, text: string): boolean {
  return slot === SLOT_METHOD || slot === SLOT_HOST || (text !== "" && !text.includes("\n"));
}
