/** Regions that differ in nothing but which one of some texts a request has, told as one. */
import { type Diagram, type Diagrams, NO } from "./diagram.ts";
import type { Dimension } from "./dimension.ts";
import { coverWithRegions, type Region } from "./regions.ts";

/** The requests of a region that have, of each set of members (places of dimensions), at least one. */
export interface JoinedRegion {
  readonly region: Region;
  readonly anyOf: readonly (readonly number[])[];
  /** Those that were joined. */
  readonly of: readonly Region[];
}

/** So many regions that differ only in which one of some texts they want may be told as few. */
const MOST_REGIONS = 500;

/**
 * {@link coverWithRegions}, with more regions than the limit where some of them can be joined.
 * @param limit of joined regions; whoever finds more has not all.
 */
export function coverToJoin(
  diagrams: Diagrams,
  dimensions: readonly Dimension[],
  set: Diagram,
  { requests, limit }: { readonly requests: Diagram; readonly limit: number },
): ReturnType<typeof coverWithRegions> {
  const few = coverWithRegions(diagrams, set, requests, limit);
  if (few.rest === NO || limit >= MOST_REGIONS) return few;
  const canJoin = few.regions.some((region) =>
    [...region].some(([place, cells]) => dimensions[place]?.kind === "member" && cells.has(1)),
  );
  return canJoin ? coverWithRegions(diagrams, set, requests, MOST_REGIONS) : few;
}

/** The same set in fewer words: `groups with staff` and `groups with admin` are `groups with one of staff, admin`. */
export function joinAlternatives(
  dimensions: readonly Dimension[],
  regions: readonly Region[],
): readonly JoinedRegion[] {
  let joined = regions.map((region) => parted(dimensions, region));
  for (let before = Infinity; joined.length < before; ) {
    before = joined.length;
    const aspects = new Set(joined.flatMap(({ choices }) => [...choices.keys()]));
    for (const aspect of aspects) joined = joinedIn(joined, aspect);
  }
  return joined.map(asRegion);
}

/** A region, and apart from it the one member of each aspect that it asks for. */
interface Parted {
  readonly of: readonly Region[];
  readonly rest: Region;
  readonly choices: ReadonlyMap<string, readonly number[]>;
}

function parted(dimensions: readonly Dimension[], region: Region): Parted {
  const wanted = [...region].flatMap(([place, cells]) => {
    const dimension = dimensions[place];
    return dimension?.kind === "member" && cells.has(1) ? [{ aspect: dimension.aspect.id, place }] : [];
  });
  const choices = new Map<string, readonly number[]>();
  const rest = new Map(region);
  for (const [aspect, members] of Map.groupBy(wanted, (one) => one.aspect)) {
    const [only, ...others] = members;
    // Who asks for two of them asks for both.
    if (only === undefined || others.length > 0) continue;
    choices.set(aspect, [only.place]);
    rest.delete(only.place);
  }
  return { of: [region], rest, choices };
}

/** Those that differ in their choice of this aspect alone become one. */
function joinedIn(all: readonly Parted[], aspect: string): Parted[] {
  const alike = Map.groupBy(all, (one) => (one.choices.has(aspect) ? keyWithout(one, aspect) : one));
  return [...alike.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined || group.length === 1) return group;
    const places = new Set(group.flatMap(({ choices }) => choices.get(aspect) ?? []));
    return [
      {
        ...first,
        of: group.flatMap(({ of }) => of),
        choices: new Map(first.choices).set(
          aspect,
          [...places].toSorted((a, b) => a - b),
        ),
      },
    ];
  });
}

function keyWithout({ rest, choices }: Parted, aspect: string): string {
  const cells = [...rest]
    .toSorted(([a], [b]) => a - b)
    .map(([place, own]) => [place, ...[...own].toSorted()]);
  const others = [...choices].filter(([id]) => id !== aspect).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([cells, others]);
}

function asRegion({ of, rest, choices }: Parted): JoinedRegion {
  const region = new Map(rest);
  const anyOf: (readonly number[])[] = [];
  for (const places of choices.values()) {
    const [only, ...others] = places;
    if (only !== undefined && others.length === 0) region.set(only, new Set([1]));
    else anyOf.push(places);
  }
  return { region, anyOf, of };
}
