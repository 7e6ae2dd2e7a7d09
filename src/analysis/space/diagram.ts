/**
 * Functions of requests as decision diagrams: ordered, reduced, shared. Every dimension has finitely many cells, within which no policy
 * tells two values apart; a node asks for the cell of one dimension, and names the child for most of them and for each exception.
 * INVARIANT: equal functions are the same number, so equality is `===`, and inclusion is the emptiness of a difference.
 * After R. E. Bryant, Graph-Based Algorithms for Boolean Function Manipulation (1986), with many-valued variables.
 */
import { TooComplex } from "./too-complex.ts";

/** A function from requests to outcomes: of one Diagrams, meaningless in another. */
export type Diagram = number;

/** What a function may yield: a small number. Sets of requests are functions to {@link NO} and {@link YES}. */
export type Outcome = number;

export const NO: Outcome = 0;
export const YES: Outcome = 1;

/** Ids below are outcomes, so that a leaf needs no node. */
const OUTCOMES = 64;
/** Beyond this a function is told to be too complex rather than held: some 500 bytes each. */
const DEFAULT_NODE_LIMIT = 300_000;
/** Of the work on one space: some seconds, and some hundred megabytes of results that are kept. */
const DEFAULT_STEP_LIMIT = 4_000_000;
/** Cells are looked at much faster than functions are made. */
const CELLS_PER_STEP = 32;
/** Two ids make one key of a Map, exactly. */
const KEY_SHIFT = 2 ** 26;

interface Node {
  readonly dimension: number;
  /** The child of every cell that is no exception: the most frequent, of several the smallest. */
  readonly rest: Diagram;
  /** In ascending order; none leads to `rest`. */
  readonly cells: Int32Array;
  readonly children: Int32Array;
}

/** What two outcomes come to. Named, so that results can be kept. */
export interface Operation {
  readonly name: string;
  readonly of: (a: Outcome, b: Outcome) => Outcome;
  /** The result, where one look at the two functions tells it. */
  readonly atOnce?: (a: Diagram, b: Diagram) => Diagram | undefined;
}

/** Of sets, like OR and MINUS. */
export const AND: Operation = {
  name: "and",
  of: (a, b) => (a !== NO && b !== NO ? YES : NO),
  atOnce: (a, b) => {
    if (a === NO || b === NO) return NO;
    if (a === YES || a === b) return b;
    return b === YES ? a : undefined;
  },
};

export const OR: Operation = {
  name: "or",
  of: (a, b) => (a !== NO || b !== NO ? YES : NO),
  atOnce: (a, b) => {
    if (a === YES || b === YES) return YES;
    if (a === NO || a === b) return b;
    return b === NO ? a : undefined;
  },
};

export const MINUS: Operation = {
  name: "minus",
  of: (a, b) => (a !== NO && b === NO ? YES : NO),
  atOnce: (a, b) => {
    if (a === NO || b === YES || a === b) return NO;
    return b === NO ? a : undefined;
  },
};

/** The first's outcome where it has one, else the second's: how rules that come one after the other decide. */
export const ELSE: Operation = {
  name: "else",
  of: (a, b) => (a === NO ? b : a),
  atOnce: (a, b) => {
    if (a === NO || a === b) return b;
    return b === NO ? a : undefined;
  },
};

/** Makes and keeps the diagrams over one list of dimensions, asked in their order. */
export class Diagrams {
  /** How many cells each dimension has; at least one. */
  readonly sizes: readonly number[];
  readonly #limit: number;
  readonly #titles: readonly string[];
  #steps = DEFAULT_STEP_LIMIT;
  readonly #nodes: Node[] = [];
  readonly #known = new Map<number, Diagram[]>();
  readonly #results = new Map<string, Map<number, Diagram>>();

  /** @param titles of the dimensions, for whoever is told that there is too much of one. */
  constructor(
    sizes: readonly number[],
    nodeLimit: number = DEFAULT_NODE_LIMIT,
    titles: readonly string[] = [],
  ) {
    this.sizes = sizes;
    this.#titles = titles;
    this.#limit = Math.min(nodeLimit, KEY_SHIFT - OUTCOMES - 1);
  }

  /** How many nodes are held, for budgets and figures. */
  get nodeCount(): number {
    return this.#nodes.length;
  }

  /**
   * Counts work against the budget of the space.
   * @throws {TooComplex} where nothing is left.
   */
  spend(steps: number, dimension = -1): void {
    this.#steps -= steps;
    if (this.#steps < 0)
      throw new TooComplex(`more than ${DEFAULT_STEP_LIMIT} steps`, this.#titles[dimension]);
  }

  /** The function that yields `children[cell]` by the cell of `dimension`, or `rest` where none is named. */
  choose(
    dimension: number,
    rest: Diagram,
    exceptions: Iterable<readonly [cell: number, child: Diagram]>,
  ): Diagram {
    const named = [...exceptions].filter(([, child]) => child !== rest).toSorted(([a], [b]) => a - b);
    return this.#reduce(
      dimension,
      rest,
      named.map(([cell]) => cell),
      named.map(([, child]) => child),
    );
  }

  /** The requests whose cell of `dimension` is one of these. */
  within(dimension: number, cells: Iterable<number>): Diagram {
    const named = [...cells];
    if (named.some((cell, at) => at > 0 && cell <= (named[at - 1] ?? 0))) named.sort((a, b) => a - b);
    return this.#reduce(dimension, NO, named, new Array<Diagram>(named.length).fill(YES));
  }

  /** Applies the operation to the outcomes of two functions, request by request. */
  apply(operation: Operation, a: Diagram, b: Diagram): Diagram {
    let results = this.#results.get(operation.name);
    if (results === undefined) {
      results = new Map();
      this.#results.set(operation.name, results);
    }
    return this.#apply(operation, results, a, b);
  }

  and(a: Diagram, b: Diagram): Diagram {
    return this.apply(AND, a, b);
  }

  or(a: Diagram, b: Diagram): Diagram {
    return this.apply(OR, a, b);
  }

  minus(a: Diagram, b: Diagram): Diagram {
    return this.apply(MINUS, a, b);
  }

  not(a: Diagram): Diagram {
    return this.apply(MINUS, YES, a);
  }

  includes(wider: Diagram, narrower: Diagram): boolean {
    return this.minus(narrower, wider) === NO;
  }

  /** Of any number; halves first, so that large ones meet once each. */
  all(operation: Operation, diagrams: readonly Diagram[], none: Diagram): Diagram {
    const [first] = diagrams;
    if (first === undefined) return none;
    if (diagrams.length === 1) return first;
    const middle = diagrams.length >> 1;
    return this.apply(
      operation,
      this.all(operation, diagrams.slice(0, middle), none),
      this.all(operation, diagrams.slice(middle), none),
    );
  }

  /** The requests that have this outcome. */
  where(a: Diagram, outcome: Outcome): Diagram {
    return this.apply({ name: `is ${outcome}`, of: (own) => (own === outcome ? YES : NO) }, a, NO);
  }

  /** Of the set, what is left when the cell of `dimension` is forgotten: requests that are in it for some cell among `cells`. */
  exists(a: Diagram, dimension: number, cells: ReadonlySet<number>): Diagram {
    return this.#quantify(OR, NO, a, dimension, cells, new Map());
  }

  /** As {@link exists}, for every one of `cells`. */
  forAll(a: Diagram, dimension: number, cells: ReadonlySet<number>): Diagram {
    return this.#quantify(AND, YES, a, dimension, cells, new Map());
  }

  /** The function where the dimension's cell is this one, as one that no longer asks for it. */
  given(a: Diagram, dimension: number, cell: number): Diagram {
    return this.exists(a, dimension, new Set([cell]));
  }

  /** What the function yields. @param cells one for each dimension. */
  outcomeOf(a: Diagram, cells: readonly number[]): Outcome {
    let at = a;
    for (let node = this.#node(at); node !== undefined; node = this.#node(at))
      at = childAt(node, cells[node.dimension] ?? 0);
    return at;
  }

  /** The first dimension that the function looks at; undefined for a constant. */
  dimensionOf(a: Diagram): number | undefined {
    return this.#node(a)?.dimension;
  }

  /** Every child of the function's first dimension with the cells that lead to it. */
  branches(a: Diagram): readonly { readonly child: Diagram; readonly cells: readonly number[] }[] {
    const node = this.#node(a);
    if (node === undefined) return [];
    const byChild = new Map<Diagram, number[]>();
    let next = 0;
    for (let cell = 0; cell < (this.sizes[node.dimension] ?? 0); cell++) {
      const isException = node.cells[next] === cell;
      const child = isException ? (node.children[next] ?? NO) : node.rest;
      if (isException) next++;
      const cells = byChild.get(child);
      if (cells === undefined) byChild.set(child, [cell]);
      else cells.push(cell);
    }
    return [...byChild].map(([child, cells]) => ({ child, cells }));
  }

  #node(a: Diagram): Node | undefined {
    return a < OUTCOMES ? undefined : this.#nodes[a - OUTCOMES];
  }

  #apply(operation: Operation, results: Map<number, Diagram>, a: Diagram, b: Diagram): Diagram {
    const left = this.#node(a);
    const right = this.#node(b);
    if (left === undefined && right === undefined) return operation.of(a, b);
    const told = operation.atOnce?.(a, b);
    if (told !== undefined) return told;
    const key = a * KEY_SHIFT + b;
    const known = results.get(key);
    if (known !== undefined) return known;
    const dimension = Math.min(left?.dimension ?? Infinity, right?.dimension ?? Infinity);
    this.spend(1, dimension);
    const one = left?.dimension === dimension ? left : undefined;
    const other = right?.dimension === dimension ? right : undefined;
    const made = this.#merge(dimension, one ?? constant(a), other ?? constant(b), (x, y) =>
      this.#apply(operation, results, x, y),
    );
    results.set(key, made);
    return made;
  }

  #merge(
    dimension: number,
    a: Pick<Node, "rest" | "cells" | "children">,
    b: Pick<Node, "rest" | "cells" | "children">,
    combine: (a: Diagram, b: Diagram) => Diagram,
  ): Diagram {
    const rest = combine(a.rest, b.rest);
    const cells: number[] = [];
    const children: Diagram[] = [];
    for (let i = 0, j = 0; i < a.cells.length || j < b.cells.length; ) {
      const left = a.cells[i] ?? Infinity;
      const right = b.cells[j] ?? Infinity;
      const cell = Math.min(left, right);
      const child = combine(
        left === cell ? (a.children[i++] ?? NO) : a.rest,
        right === cell ? (b.children[j++] ?? NO) : b.rest,
      );
      if (child === rest) continue;
      cells.push(cell);
      children.push(child);
    }
    this.spend(cells.length / CELLS_PER_STEP, dimension);
    return this.#reduce(dimension, rest, cells, children);
  }

  #quantify(
    operation: Operation,
    neutral: Outcome,
    a: Diagram,
    dimension: number,
    cells: ReadonlySet<number>,
    done: Map<Diagram, Diagram>,
  ): Diagram {
    const node = this.#node(a);
    if (node === undefined || node.dimension > dimension) return cells.size === 0 ? neutral : a;
    const known = done.get(a);
    if (known !== undefined) return known;
    this.spend(1 + (this.sizes[node.dimension] ?? 0) / CELLS_PER_STEP, node.dimension);
    let made: Diagram;
    if (node.dimension === dimension) {
      const children = this.branches(a)
        .filter((branch) => branch.cells.some((cell) => cells.has(cell)))
        .map(({ child }) => child);
      made = this.all(operation, children, neutral);
    } else {
      const below = (child: Diagram): Diagram =>
        this.#quantify(operation, neutral, child, dimension, cells, done);
      made = this.choose(
        node.dimension,
        below(node.rest),
        [...node.cells].map((cell, at) => [cell, below(node.children[at] ?? NO)] as const),
      );
    }
    done.set(a, made);
    return made;
  }

  /** INVARIANT: `cells` ascend and no child is `rest`. Makes the most frequent child the rest, so that a function has one form. */
  #reduce(dimension: number, rest: Diagram, cells: number[], children: Diagram[]): Diagram {
    if (cells.length === 0) return rest;
    const size = this.sizes[dimension] ?? 0;
    const usual = mostFrequent(rest, size - cells.length, children);
    if (usual === rest) return this.#intern(dimension, rest, cells, children);
    const full = new Array<Diagram>(size).fill(rest);
    for (const [at, cell] of cells.entries()) full[cell] = children[at] ?? NO;
    const otherCells: number[] = [];
    const otherChildren: Diagram[] = [];
    for (const [cell, child] of full.entries()) {
      if (child === usual) continue;
      otherCells.push(cell);
      otherChildren.push(child);
    }
    if (otherCells.length === 0) return usual;
    return this.#intern(dimension, usual, otherCells, otherChildren);
  }

  #intern(dimension: number, rest: Diagram, cells: number[], children: Diagram[]): Diagram {
    const hash = hashOf(dimension, rest, cells, children);
    const bucket = this.#known.get(hash) ?? [];
    for (const known of bucket) {
      const node = this.#nodes[known - OUTCOMES];
      if (node !== undefined && isSame(node, dimension, rest, cells, children)) return known;
    }
    if (this.#nodes.length >= this.#limit) {
      throw new TooComplex(`more than ${this.#limit} distinctions`, this.#titles[dimension]);
    }
    this.#nodes.push({ dimension, rest, cells: Int32Array.from(cells), children: Int32Array.from(children) });
    const made = this.#nodes.length - 1 + OUTCOMES;
    bucket.push(made);
    this.#known.set(hash, bucket);
    return made;
  }
}

const NO_CELLS = new Int32Array(0);

function constant(a: Diagram): Pick<Node, "rest" | "cells" | "children"> {
  return { rest: a, cells: NO_CELLS, children: NO_CELLS };
}

function childAt(node: Node, cell: number): Diagram {
  let low = 0;
  let high = node.cells.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((node.cells[middle] ?? 0) < cell) low = middle + 1;
    else high = middle;
  }
  return node.cells[low] === cell ? (node.children[low] ?? NO) : node.rest;
}

function mostFrequent(rest: Diagram, restCount: number, children: readonly Diagram[]): Diagram {
  const [only = rest] = children;
  if (children.every((child) => child === only)) {
    const isRest = restCount > children.length || (restCount === children.length && rest < only);
    return isRest ? rest : only;
  }
  const counts = new Map<Diagram, number>();
  for (const child of children) counts.set(child, (counts.get(child) ?? 0) + 1);
  if (restCount > 0) counts.set(rest, restCount);
  let best = -1;
  let bestCount = 0;
  for (const [child, count] of counts) {
    if (count < bestCount || (count === bestCount && child > best)) continue;
    best = child;
    bestCount = count;
  }
  return best;
}

function hashOf(
  dimension: number,
  rest: Diagram,
  cells: readonly number[],
  children: readonly Diagram[],
): number {
  let hash = Math.imul(dimension + 0x9e37, 0x01000193) ^ rest;
  for (let at = 0; at < cells.length; at++) {
    hash = Math.imul(hash ^ (cells[at] ?? 0), 0x01000193);
    hash = Math.imul(hash ^ (children[at] ?? 0), 0x01000193) ^ (hash >>> 15);
  }
  return hash;
}

function isSame(
  node: Node,
  dimension: number,
  rest: Diagram,
  cells: readonly number[],
  children: readonly Diagram[],
): boolean {
  if (node.dimension !== dimension || node.rest !== rest || node.cells.length !== cells.length) return false;
  for (let at = 0; at < cells.length; at++) {
    if (node.cells[at] !== cells[at] || node.children[at] !== children[at]) return false;
  }
  return true;
}
