/** From a tree of paths to the patterns of AuthorizationPolicy, each with the evidence for it. */
import { fitsTemplate, type PathThresholds } from "./path-thresholds.ts";
import type { PathNode, PathTree, PlacesSeen, UseNumber } from "./path-tree.ts";

export interface PathPattern {
  /** As AuthorizationPolicy has it: exact, `/a/*`, `/a/{*}/b`, `/a/{*}/{**}`; behind a star, `*…`, where the path itself ends in one. */
  readonly pattern: string;
  readonly requests: number;
  /** What was taken for one: how many values at least, and a few of them. Absent for a path as it was seen. */
  readonly seen?: { readonly values: number; readonly samples: readonly string[] };
}

/** A step from the root: a segment as it is, or a place with many values. */
type Step = { readonly segment: string } | { readonly many: PathNode };

interface Found {
  readonly steps: readonly Step[];
  readonly requests: number;
  /** Whatever follows. */
  readonly isOpen: boolean;
  /** Values of places with many, by how deep they are. */
  readonly seen: PlacesSeen;
}

/** By use. @param tree one that was generalised. */
export function pathPatterns(
  tree: PathTree,
  thresholds: PathThresholds,
): ReadonlyMap<UseNumber, readonly PathPattern[]> {
  const found = new Map<UseNumber, Found[]>();
  collect(tree.root, [], found);
  return new Map(
    [...found].map(([use, paths]) => [
      use,
      patternsOf(
        paths.map((path) => asSeenBy(use, path)),
        thresholds,
      ),
    ]),
  );
}

const NOTHING_SEEN: PlacesSeen = new Map();

function collect(node: PathNode, steps: readonly Step[], found: Map<UseNumber, Found[]>): void {
  const add = (use: UseNumber, path: Found): void => {
    const known = found.get(use);
    if (known === undefined) found.set(use, [path]);
    else known.push(path);
  };
  for (const [use, requests] of node.ends)
    add(use, { steps, requests, isOpen: false, seen: node.seen.get(use) ?? NOTHING_SEEN });
  for (const [use, requests] of node.rest) add(use, { steps, requests, isOpen: true, seen: NOTHING_SEEN });
  for (const [segment, child] of node.children) collect(child, [...steps, { segment }], found);
  if (node.wild !== undefined) collect(node.wild, [...steps, { many: node }], found);
}

/** Whoever came with one value in a place of many is granted that one. */
function asSeenBy(use: UseNumber, { steps, ...others }: Found): Found {
  const own = steps.map((step): Step => {
    if (!("many" in step)) return step;
    const values = step.many.own.get(use);
    return values === undefined || values.isMany ? step : { segment: values.first };
  });
  return { steps: own, ...others };
}

function patternsOf(paths: readonly Found[], thresholds: PathThresholds): readonly PathPattern[] {
  const patterns = merged(shortened(paths, thresholds).map(patternOf));
  return patterns.toSorted((a, b) => (a.pattern < b.pattern ? -1 : 1));
}

/** Prefixes that many share take their place, the longest first, until there are few enough. */
function shortened(paths: readonly Found[], { patterns: most, words }: PathThresholds): readonly Found[] {
  let left = paths;
  while (left.length > most) {
    const prefixes = new Map<string, { readonly steps: readonly Step[]; readonly below: Found[] }>();
    for (const path of left)
      for (let length = path.steps.length - 1; length >= 0; length--) {
        const steps = path.steps.slice(0, length);
        const key = steps.map((step) => `/${keyOf(step)}`).join("");
        const known = prefixes.get(key);
        if (known === undefined) prefixes.set(key, { steps, below: [path] });
        else known.below.push(path);
      }
    const [longest] = [...prefixes.values()]
      .filter(({ below }) => below.length >= words)
      .toSorted((a, b) => b.steps.length - a.steps.length || b.below.length - a.below.length);
    if (longest === undefined) return left;
    const { steps, below } = longest;
    const requests = below.reduce((sum, path) => sum + path.requests, 0);
    OPENED.set(steps, below);
    const own = new Set(below);
    left = [...left.filter((path) => !own.has(path)), { steps, requests, isOpen: true, seen: NOTHING_SEEN }];
  }
  return left;
}

/** What a prefix took the place of, for its evidence. */
const OPENED = new WeakMap<readonly Step[], readonly Found[]>();

function keyOf(step: Step): string {
  return "many" in step ? "{*}" : step.segment;
}

function patternOf(path: Found): PathPattern {
  const { steps, requests, isOpen } = path;
  const places = steps.flatMap((step) => ("many" in step ? [step.many] : []));
  if (isOpen) {
    const below = OPENED.get(steps) ?? [];
    const seen = { values: below.length, samples: below.slice(0, SHOWN_SAMPLES).map(textOf) };
    const isTemplate =
      places.length > 0 && below.length > 0 && below.every((own) => isTemplateText(own.steps));
    const pattern = isTemplate ? `${textOf(path)}/{**}` : prefixOf(steps);
    return { pattern, requests, seen };
  }
  if (places.length === 0) return exactly(textOf(path), requests);
  const own = steps.flatMap((step, at) => ("many" in step ? (path.seen.get(at + 1) ?? []) : []));
  const values = Math.max(1, ...own.map((place) => place.values));
  const samples = own.flatMap((place) => place.samples).slice(0, SHOWN_SAMPLES);
  const pattern = isTemplateText(steps) ? textOf(path) : prefixOf(steps);
  return { pattern, requests, seen: { values, samples } };
}

const SHOWN_SAMPLES = 3;

/** A star at the end would open all that begins so. Behind a star at the beginning it is one: all that ends so (text-pattern.ts). */
function exactly(path: string, requests: number): PathPattern {
  const endsInStar = path.endsWith("*") && !path.includes("{*");
  const pattern = endsInStar ? `*${path}` : writable(path);
  return pattern === path
    ? { pattern, requests }
    : { pattern, requests, seen: { values: 1, samples: [path] } };
}

/** Whether the path can stand in a template: no empty segment but the last, and nothing that a template would read otherwise. */
function isTemplateText(steps: readonly Step[]): boolean {
  return steps.every(
    (step, at) =>
      "many" in step || fitsTemplate(step.segment) || (step.segment === "" && at === steps.length - 1),
  );
}

/** Up to the first place with many values, and whatever follows. */
function prefixOf(steps: readonly Step[]): string {
  const many = steps.findIndex((step) => "many" in step);
  const path = steps.slice(0, many < 0 ? steps.length : many);
  return writable(`${path.map((step) => `/${keyOf(step)}`).join("")}/*`);
}

function textOf({ steps }: Found): string {
  return steps.map((step) => `/${keyOf(step)}`).join("");
}

/** A path that would be read as a pattern is written as the folder that it lies in. */
function writable(path: string): string {
  const own = path.endsWith("/*") ? path.slice(0, -1) : path;
  const unsafe = own.search(/\{\*|\*$/);
  return unsafe < 0 ? path : `${own.slice(0, own.lastIndexOf("/", unsafe) + 1)}*`;
}

function merged(patterns: readonly PathPattern[]): readonly PathPattern[] {
  const byPattern = new Map<string, PathPattern>();
  for (const own of patterns) {
    const known = byPattern.get(own.pattern);
    byPattern.set(
      own.pattern,
      known === undefined ? own : { ...known, requests: known.requests + own.requests },
    );
  }
  return [...byPattern.values()];
}
