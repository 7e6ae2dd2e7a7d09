/** One request out of a set: the simplest to read, and to replay. */

import { type Diagram, type Diagrams, NO, YES } from "./diagram.ts";
import type { Dimension } from "./dimension.ts";
import type { Point } from "./request-space.ts";

/** A point of the set whose request takes the least to write; undefined for the empty set. */
export function witnessOf(
  diagrams: Diagrams,
  dimensions: readonly Dimension[],
  set: Diagram,
): Point | undefined {
  if (set === NO) return undefined;
  const cheapest = dimensions.map(cheapestCell);
  const search = new Search(diagrams, dimensions, cheapest);
  const point = cheapest.map(({ cell }) => cell);
  for (let at = set; at !== YES; ) {
    const place = diagrams.dimensionOf(at) ?? 0;
    const choice = search.best(at);
    point[place] = choice.cell;
    at = choice.child;
  }
  return point;
}

interface Choice {
  readonly cell: number;
  readonly child: Diagram;
  readonly cost: number;
}

/** The least that can be written from here to the end; what a diagram leaves open costs what is usual. */
class Search {
  readonly #diagrams: Diagrams;
  readonly #dimensions: readonly Dimension[];
  readonly #usual: readonly { readonly cost: number }[];
  readonly #choices = new Map<Diagram, Choice>();

  constructor(
    diagrams: Diagrams,
    dimensions: readonly Dimension[],
    usual: readonly { readonly cost: number }[],
  ) {
    this.#diagrams = diagrams;
    this.#dimensions = dimensions;
    this.#usual = usual;
  }

  best(at: Diagram): Choice {
    const known = this.#choices.get(at);
    if (known !== undefined) return known;
    const place = this.#diagrams.dimensionOf(at) ?? 0;
    const dimension = this.#dimensions[place];
    const choices = this.#diagrams
      .branches(at)
      .filter(({ child }) => child !== NO)
      .map(({ child, cells }): Choice => {
        const below = child === YES ? 0 : this.best(child).cost;
        const end = child === YES ? this.#dimensions.length : (this.#diagrams.dimensionOf(child) ?? 0);
        const { cell, cost } = cheapestOf(dimension, cells);
        return { cell, child, cost: cost + this.#costBetween(place + 1, end) + below };
      });
    const best = choices.reduce((a, b) => (b.cost < a.cost ? b : a));
    this.#choices.set(at, best);
    return best;
  }

  #costBetween(from: number, to: number): number {
    let cost = 0;
    for (let place = from; place < to; place++) cost += this.#usual[place]?.cost ?? 0;
    return cost;
  }
}

interface Cost {
  readonly cell: number;
  readonly cost: number;
}

function cheapestCell(dimension: Dimension): Cost {
  return cheapestOf(
    dimension,
    Array.from({ length: dimension.size }, (_, cell) => cell),
  );
}

function cheapestOf(dimension: Dimension | undefined, cells: readonly number[]): Cost {
  const costs = cells.map((cell) => ({ cell, cost: dimension === undefined ? 0 : costOf(dimension, cell) }));
  return costs.reduce((a, b) => (b.cost < a.cost ? b : a));
}

/** What a name that a policy gives is worth against one that nobody has: a known caller is easier to replay than an invented one. */
const INVENTED = 40;

function costOf(dimension: Dimension, cell: number): number {
  switch (dimension.kind) {
    case "identity": {
      const text = dimension.texts.cells[cell - 1];
      if (text === undefined) return 0;
      return text.sample.length + (text.only === undefined ? INVENTED : 0);
    }
    case "text":
      if (dimension.id === "method") return methodCost(dimension.texts.cells[cell]?.sample ?? "");
      return dimension.texts.cells[cell]?.sample.length ?? 0;
    case "field":
      return cell === 0 ? 0 : 1 + (dimension.texts.cells[cell - 1]?.sample.length ?? 0);
    case "member":
      return cell === 0 ? 0 : 1 + (dimension.texts.cells[dimension.cell]?.sample.length ?? 0);
    case "address":
      return dimension.addresses.cells[cell]?.sample.includes(":") === true ? 2 : 0;
    case "port":
    case "protocol":
    case "token":
      return cell;
  }
}

const METHODS: readonly string[] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];

function methodCost(method: string): number {
  const rank = METHODS.indexOf(method);
  return rank < 0 ? METHODS.length + method.length : rank;
}
