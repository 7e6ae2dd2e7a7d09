/**
 * Rules as sets of requests. Their own predicates decide: each is asked about one request of every cell, so that analysis and proxies cannot
 * disagree on what a pattern means, only on where a decision may change.
 */
import type { L4Entry, L4Rule } from "../../policy/ambient/l4-rule.ts";
import type { Clause, CompiledRule } from "../../policy/authorization-rule.ts";
import type { Condition, Predicate } from "../../policy/condition.ts";
import type { Connection } from "../../policy/connection.ts";
import type { HttpRequest } from "../../policy/http-request.ts";
import type { PathNormalization } from "../../policy/normalize-path.ts";
import { aspectsOf } from "./aspect.ts";
import { AND, type Diagram, type Diagrams, NO, OR, YES } from "./diagram.ts";
import { type Dimension, TCP } from "./dimension.ts";
import { connectionOf, type Point, requestOf, sampleOf } from "./request-space.ts";
import type { TextCells } from "./text-division.ts";

/** A predicate that is asked costs less than a function that is made. */
const STEPS_PER_QUESTION = 0.05;

/** A request of some cells, as predicates are asked about it. */
interface Example {
  readonly connection: Connection;
  readonly request: HttpRequest | null;
}

/** What is asked of a condition of either kind. */
type Asked = Pick<Condition, "field" | "matches"> & Partial<Pick<Condition, "asks" | "forbids">>;

export class RuleDiagrams {
  readonly dimensions: readonly Dimension[];
  readonly diagrams: Diagrams;
  readonly #at: ReadonlyMap<string, number>;
  readonly #pathNormalization: PathNormalization;
  /** By protocol: a condition may look at other dimensions there. */
  readonly #conditions = [new Map<Asked, Diagram>(), new Map<Asked, Diagram>()] as const;
  /** By protocol, place and cell. */
  readonly #examples: readonly [Example[][], Example[][]] = [[], []];
  readonly #base: Point;

  /** @param at places of the dimensions, by their ids. */
  constructor(
    dimensions: readonly Dimension[],
    at: ReadonlyMap<string, number>,
    diagrams: Diagrams,
    pathNormalization: PathNormalization,
  ) {
    this.dimensions = dimensions;
    this.diagrams = diagrams;
    this.#at = at;
    this.#pathNormalization = pathNormalization;
    this.#base = dimensions.map(() => 0);
  }

  /** The requests that the rule matches, of one protocol. */
  of(rule: CompiledRule, protocol: number): Diagram {
    const { diagrams } = this;
    const clause = (conditions: Clause): Diagram =>
      diagrams.all(
        AND,
        conditions.map((condition) => this.#condition(condition, protocol)),
        YES,
      );
    return diagrams.and(
      diagrams.all(OR, rule.sources.map(clause), NO),
      diagrams.all(OR, rule.operations.map(clause), NO),
    );
  }

  /** As ztunnel judges: whatever is said on the connection. */
  ofL4({ clauses }: L4Rule): Diagram {
    const { diagrams } = this;
    const entry = (conditions: L4Entry): Diagram =>
      conditions.length === 0
        ? NO
        : diagrams.all(
            AND,
            conditions.map((condition) => this.#condition(condition, TCP)),
            YES,
          );
    const matched = clauses.map((entries) => diagrams.all(OR, entries.map(entry), NO));
    return diagrams.all(AND, matched, YES);
  }

  #condition(condition: Asked, protocol: number): Diagram {
    const known = this.#conditions[protocol]?.get(condition);
    if (known !== undefined) return known;
    const made = this.#ask(condition, protocol);
    this.#conditions[protocol]?.set(condition, made);
    return made;
  }

  /** Asks the condition about a request of every cell that it looks at. */
  #ask({ field, matches, asks = null, forbids = null }: Asked, protocol: number): Diagram {
    const { diagrams } = this;
    const places = this.#placesOf(field, protocol);
    const [place] = places;
    if (places.some((own) => this.dimensions[own]?.kind === "member")) {
      const some = (predicate: Predicate | null): Diagram | null =>
        predicate === null ? null : this.#someMember(places, protocol, predicate);
      return diagrams.minus(some(asks) ?? YES, some(forbids) ?? NO);
    }
    if (place === undefined || places.length > 1) return this.#askCells(places, [], protocol, matches);
    return diagrams.within(place, this.#cellsOf(matches, protocol, place));
  }

  #cellsOf(predicate: Predicate, protocol: number, place: number): readonly number[] {
    const dimension = this.dimensions[place];
    const isShared = dimension?.kind === "text" || dimension?.kind === "field";
    const known = isShared
      ? ANSWERS[protocol === TCP ? 1 : 0].get(dimension.texts)?.get(predicate)
      : undefined;
    if (known !== undefined) return known;
    const found: number[] = [];
    for (let cell = 0; cell < (dimension?.size ?? 0); cell++)
      if (this.#holdsAt(protocol, place, cell, predicate)) found.push(cell);
    if (isShared) keepAnswer(protocol, dimension.texts, predicate, found);
    return found;
  }

  /** Of several texts some one has to match: which, is found by asking about each alone. */
  #someMember(places: readonly number[], protocol: number, predicate: Predicate): Diagram {
    const found = places.filter((place) => this.#holdsAt(protocol, place, 1, predicate));
    return this.diagrams.all(
      OR,
      found.map((place) => this.diagrams.within(place, [1])),
      NO,
    );
  }

  #askCells(
    places: readonly number[],
    chosen: readonly (readonly [number, number])[],
    protocol: number,
    predicate: Predicate,
  ): Diagram {
    const [place, ...rest] = places;
    if (place === undefined) {
      this.diagrams.spend(1);
      const { connection, request } = this.#exampleOf(protocol, chosen);
      return predicate(connection, request) ? YES : NO;
    }
    const size = this.dimensions[place]?.size ?? 0;
    const children: (readonly [number, Diagram])[] = [];
    for (let cell = 0; cell < size; cell++) {
      children.push([cell, this.#askCells(rest, [...chosen, [place, cell]], protocol, predicate)]);
    }
    return this.diagrams.choose(place, NO, children);
  }

  /** Made once for all conditions: it is dearer than asking. */
  #holdsAt(protocol: number, place: number, cell: number, predicate: Predicate): boolean {
    this.diagrams.spend(STEPS_PER_QUESTION, place);
    const known = this.#examples[protocol === TCP ? 1 : 0];
    const ofPlace = known[place] ?? [];
    known[place] = ofPlace;
    const example = ofPlace[cell] ?? this.#exampleOf(protocol, [[place, cell]]);
    ofPlace[cell] = example;
    return predicate(example.connection, example.request);
  }

  #exampleOf(protocol: number, cells: readonly (readonly [number, number])[]): Example {
    const point = withCells(this.#base, [[this.#at.get("protocol") ?? 0, protocol], ...cells]);
    const sample = sampleOf(this.dimensions, point);
    return { connection: connectionOf(sample), request: requestOf(sample, this.#pathNormalization) };
  }

  /** In the order of dimensions. On TCP a client is where its peer is: nobody tells of another. */
  #placesOf(field: string, protocol: number): readonly number[] {
    return aspectsOf(field)
      .flatMap((aspect) => {
        if (aspect.kind === "many") {
          return this.dimensions.flatMap((dimension, at) =>
            dimension.kind === "member" && dimension.aspect.id === aspect.id ? [at] : [],
          );
        }
        const id = aspect.id === "remote.ip" && protocol === TCP ? "source.ip" : aspect.id;
        const at = this.#at.get(id);
        return at === undefined ? [] : [at];
      })
      .toSorted((a, b) => a - b);
  }
}

/**
 * The cells where a predicate about one text holds, by protocol. Texts are divided alike for many servers, and invariants are asked about at all of them.
 */
const ANSWERS = [
  new WeakMap<TextCells, Map<Predicate, readonly number[]>>(),
  new WeakMap<TextCells, Map<Predicate, readonly number[]>>(),
] as const;
/** Beyond, those of policies that are gone are forgotten. */
const KEPT_ANSWERS = 2_000;

function keepAnswer(
  protocol: number,
  texts: TextCells,
  predicate: Predicate,
  cells: readonly number[],
): void {
  const known = ANSWERS[protocol === TCP ? 1 : 0].get(texts) ?? new Map<Predicate, readonly number[]>();
  if (known.size >= KEPT_ANSWERS) known.clear();
  known.set(predicate, cells);
  ANSWERS[protocol === TCP ? 1 : 0].set(texts, known);
}

/** The point with other cells at some places. */
export function withCells(point: Point, cells: readonly (readonly [number, number])[]): Point {
  const copy = [...point];
  for (const [place, cell] of cells) copy[place] = cell;
  return copy;
}
