/** Finds the first of many rules that matches, in about the same time however many there are. */
import type { CompiledRule } from "../authorization-rule.ts";
import type { Connection } from "../connection.ts";
import type { HttpRequest } from "../http-request.ts";
import { indexDimensions } from "./index-dimensions.ts";
import { ANY_KEY, type KeyLookup } from "./key-dictionary.ts";
import {
  ALL_PATHS,
  CLASSES,
  classOf,
  LEAF,
  LEAF_PROGRAMS,
  LEAF_ROWS,
  LEAF_WORDS,
  LIST,
  LIST_END,
  LIST_ENTRY,
  LIST_HEAD,
  NO_TEXT,
} from "./leaf.ts";
import { pathPrints, RuleProgramBuilder, type RulePrograms, subjectPrints } from "./rule-program.ts";
import { runProgram } from "./run-program.ts";
import { ALL, buildSearchTree, NO_NODE, REST, TRANSITION_SIZE, transitionSlot } from "./search-tree.ts";
import { textPrint } from "./text-print.ts";

/** Rank that no rule has: none matches. */
export const NO_RANK = 0x7fffffff;

const NOT_ASKED = -2;

/**
 * Immutable but for its working space, which holds what is known of the request that is being decided: deciding is
 * synchronous and allocates nothing.
 */
export class RuleIndex {
  readonly #programs: RulePrograms;
  readonly #nodes: Int32Array;
  readonly #root: number;
  readonly #transitions: Int32Array;
  readonly #transitionMask: number;
  readonly #lookups: readonly KeyLookup[];
  /** The dimension that is the subject and has no patterns; -1 for none. */
  readonly #exactSubject: number;

  readonly #keys: readonly Int32Array[];
  readonly #keyCounts: Int32Array;

  /** @param rules in their order: the rank of a rule is its place. */
  constructor(rules: readonly CompiledRule[]) {
    const builder = new RuleProgramBuilder();
    const starts = rules.map((rule, rank) => builder.add(rule, rank));
    const programs = builder.finish();
    const { dimensions, lookups, rooms, exactSubject, keysOf } = indexDimensions(rules);
    const entries = rules.map((rule, rank) => ({
      rank,
      program: starts[rank] ?? 0,
      paths: pathPrints(rule),
      subjects: subjectPrints(rule),
      keys: keysOf(rank),
    }));
    const tree = buildSearchTree(entries, dimensions);
    this.#programs = programs;
    this.#nodes = tree.nodes;
    this.#root = tree.root;
    this.#transitions = tree.transitions;
    this.#transitionMask = tree.transitionMask;
    this.#lookups = lookups;
    this.#exactSubject = exactSubject;
    this.#keys = rooms.map((room) => new Int32Array(room));
    this.#keyCounts = new Int32Array(dimensions.length);
  }

  /** @returns the rank of the first rule that matches, or NO_RANK. Total; allocates nothing. */
  first(connection: Connection, request: HttpRequest | null): number {
    const pathPrint = request === null ? 0 : textPrint(request.pathOnly);
    const kind = this.#nodes[this.#root] ?? LEAF;
    // Few rules are one leaf, where a nanosecond more is felt.
    if (kind === LEAF) return this.#test(this.#root, connection, request, pathPrint, NO_RANK);
    const counts = this.#keyCounts;
    for (let index = 0; index < counts.length; index++) counts[index] = NOT_ASKED;
    return this.#search(this.#root, connection, request, pathPrint, NO_RANK);
  }

  /** @param before only rules of a lower rank are of interest. @returns the lowest rank that matches, or `before`. */
  #search(
    from: number,
    connection: Connection,
    request: HttpRequest | null,
    pathPrint: number,
    before: number,
  ): number {
    const nodes = this.#nodes;
    const pathBit = request === null ? ALL_PATHS : 1 << classOf(pathPrint);
    let best = before;
    for (let node = from; node !== NO_NODE; node = nodes[node + REST] ?? NO_NODE) {
      if ((nodes[node + 1] ?? 0) >= best) return best;
      const dimension = nodes[node] ?? LEAF;
      if (dimension === LIST) return this.#testList(node, connection, request, pathPrint, best);
      if (dimension === LEAF) return this.#test(node, connection, request, pathPrint, best);
      if (dimension === this.#exactSubject) {
        const child =
          connection.subject === null ? NO_NODE : this.#child(node, connection.subjectHash, pathBit);
        if (child !== NO_NODE) best = this.#search(child, connection, request, pathPrint, best);
        continue;
      }
      const count = this.#collect(dimension, connection, request);
      if (count === ANY_KEY)
        return this.#search(nodes[node + ALL] ?? NO_NODE, connection, request, pathPrint, best);
      for (let index = 0; index < count; index++) {
        const child = this.#child(node, this.#keys[dimension]?.[index] ?? 0, pathBit);
        if (child !== NO_NODE) best = this.#search(child, connection, request, pathPrint, best);
      }
    }
    return best;
  }

  #child(node: number, key: number, pathBit: number): number {
    const transitions = this.#transitions;
    const mask = this.#transitionMask;
    for (let slot = transitionSlot(node, key) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * TRANSITION_SIZE;
      const from = transitions[at];
      if (from === node && transitions[at + 1] === key) {
        return ((transitions[at + 3] ?? 0) & pathBit) === 0 ? NO_NODE : (transitions[at + 2] ?? NO_NODE);
      }
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
    pathPrint: number,
    before: number,
  ): number {
    const nodes = this.#nodes;
    const words = nodes[leaf + LEAF_WORDS] ?? 0;
    const programs = nodes[leaf + LEAF_PROGRAMS] ?? 0;
    const paths = leaf + LEAF_ROWS + words * (request === null ? NO_TEXT : classOf(pathPrint));
    const subject = connection.subject === null ? NO_TEXT : classOf(connection.subjectHash);
    const subjects = leaf + LEAF_ROWS + words * (CLASSES + subject);
    for (let word = 0; word < words; word++) {
      let left = (nodes[paths + word] ?? 0) & (nodes[subjects + word] ?? 0);
      while (left !== 0) {
        const lowest = 31 - Math.clz32(left & -left);
        left &= left - 1;
        const program = nodes[programs + (word << 5) + lowest] ?? 0;
        const rank = this.#programs.code[program] ?? NO_RANK;
        if (rank >= before) return before;
        if (runProgram(this.#programs, program + 1, connection, request, pathPrint)) return rank;
      }
    }
    return before;
  }

  #testList(
    list: number,
    connection: Connection,
    request: HttpRequest | null,
    pathPrint: number,
    before: number,
  ): number {
    const nodes = this.#nodes;
    const end = nodes[list + LIST_END] ?? 0;
    const bit = request === null ? ALL_PATHS : 1 << classOf(pathPrint);
    for (let at = list + LIST_HEAD; at < end; at += LIST_ENTRY) {
      if (((nodes[at] ?? 0) & bit) === 0) continue;
      const program = nodes[at + 1] ?? 0;
      const rank = this.#programs.code[program] ?? NO_RANK;
      if (rank >= before) return before;
      if (runProgram(this.#programs, program + 1, connection, request, pathPrint)) return rank;
    }
    return before;
  }
}
