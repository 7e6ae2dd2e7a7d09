/** A set of requests as a few products that a person can read: these identities, these methods, these paths. */
import { type Diagram, type Diagrams, NO, YES } from "./diagram.ts";

/** All requests whose cell is among those named, in every dimension that is named. */
export type Region = ReadonlyMap<number, ReadonlySet<number>>;

export interface Regions {
  readonly regions: readonly Region[];
  /** What the regions do not say; {@link NO} where they say all. */
  readonly rest: Diagram;
}

/**
 * Covers the set with products, each as wide as it can be: a product may overlap others, and take in what is no request at all, so that
 * it is said with few words. None is larger in any dimension without leaving the set.
 * @param requests the points that are requests; what lies outside counts neither way.
 */
export function coverWithRegions(
  diagrams: Diagrams,
  set: Diagram,
  requests: Diagram,
  limit: number,
): Regions {
  const allowed = diagrams.or(set, diagrams.not(requests));
  const asked = placesIn(diagrams, allowed);
  const regions: Region[] = [];
  let rest = set;
  while (rest !== NO && regions.length < limit) {
    const region = widen(diagrams, allowed, asked, pathIn(diagrams, rest));
    regions.push(region);
    rest = diagrams.minus(rest, diagramOf(diagrams, region));
  }
  return { regions, rest };
}

/** The set that a region is. */
export function diagramOf(diagrams: Diagrams, region: Region): Diagram {
  let set: Diagram = YES;
  for (const [place, cells] of [...region].toSorted(([a], [b]) => b - a)) {
    set = diagrams.and(diagrams.within(place, cells), set);
  }
  return set;
}

/**
 * The same set, told once where that takes no more words: a region that shares with one before it all but a single cell of one dimension is that
 * cell alone.
 * @param places the dimensions that may be narrowed so.
 */
export function toldOnce(
  { sizes }: Pick<Diagrams, "sizes">,
  regions: readonly Region[],
  places: ReadonlySet<number>,
): readonly Region[] {
  const told: Region[] = [];
  for (const region of regions)
    told.push(told.reduce((left, earlier) => without(sizes, left, earlier, places), region));
  return told;
}

function without(
  sizes: readonly number[],
  region: Region,
  earlier: Region,
  places: ReadonlySet<number>,
): Region {
  const left = [...earlier].map(([place, told]) => {
    const own = region.get(place) ?? everyCell(sizes[place] ?? 0);
    return [place, [...own].filter((cell) => !told.has(cell))] as const;
  });
  const [only, ...others] = left.filter(([, cells]) => cells.length > 0);
  if (only === undefined || others.length > 0) return region;
  const [place, cells] = only;
  return places.has(place) && cells.length === 1 ? new Map(region).set(place, new Set(cells)) : region;
}

/** One way through the diagram, by the branches that most cells take. */
function pathIn(diagrams: Diagrams, set: Diagram): Map<number, ReadonlySet<number>> {
  const region = new Map<number, ReadonlySet<number>>();
  for (let at = set; at !== YES; ) {
    const place = diagrams.dimensionOf(at);
    const branches = diagrams.branches(at).filter(({ child }) => child !== NO);
    const [widest] = branches.toSorted((a, b) => b.cells.length - a.cells.length);
    if (place === undefined || widest === undefined) throw new Error("BUG: a set without any way to YES");
    region.set(place, new Set(widest.cells));
    at = widest.child;
  }
  return region;
}

/** Later dimensions first: who asks is to stay apart longest, since people read by that. */
function widen(
  diagrams: Diagrams,
  allowed: Diagram,
  asked: ReadonlySet<number>,
  path: Map<number, ReadonlySet<number>>,
): Region {
  const region = new Map(path);
  for (const place of [...path.keys()].toSorted((a, b) => b - a)) {
    const cells = cellsFor(diagrams, allowed, asked, region, place);
    if (cells.size === diagrams.sizes[place]) region.delete(place);
    else region.set(place, cells);
  }
  return region;
}

/** The cells of one dimension for which everything else in the region is allowed. */
function cellsFor(
  diagrams: Diagrams,
  allowed: Diagram,
  asked: ReadonlySet<number>,
  region: Region,
  place: number,
): ReadonlySet<number> {
  let at = allowed;
  for (const other of asked) {
    if (other === place) continue;
    at = diagrams.forAll(at, other, region.get(other) ?? everyCell(diagrams.sizes[other] ?? 0));
  }
  const size = diagrams.sizes[place] ?? 0;
  if (at === YES) return everyCell(size);
  const cells = diagrams.branches(at).find(({ child }) => child === YES)?.cells ?? [];
  return new Set(cells);
}

/** The dimensions that the set asks for. */
function placesIn(diagrams: Diagrams, set: Diagram): ReadonlySet<number> {
  const places = new Set<number>();
  const seen = new Set<Diagram>();
  const walk = (at: Diagram): void => {
    const place = diagrams.dimensionOf(at);
    if (place === undefined || seen.has(at)) return;
    seen.add(at);
    places.add(place);
    for (const { child } of diagrams.branches(at)) walk(child);
  };
  walk(set);
  return places;
}

const EVERY_CELL: ReadonlySet<number>[] = [];

/** Made once for each size: regions of large spaces ask for them by the thousand. */
function everyCell(size: number): ReadonlySet<number> {
  EVERY_CELL[size] ??= new Set(Array.from({ length: size }, (_, cell) => cell));
  return EVERY_CELL[size];
}
