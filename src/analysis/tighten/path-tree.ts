/**
 * The paths that were seen at one port, as a tree of segments, in bounded memory: identifiers in one place are counted, not kept, once
 * there are many.
 */
import { fitsTemplate, isIdentifier, type PathThresholds } from "./path-thresholds.ts";

/** One caller's way of asking: its number in the list of those that the tree is about. */
export type UseNumber = number;

/** How one use was seen in a place that has many values. */
interface OwnValues {
  readonly first: string;
  isMany: boolean;
}

/** Values of one place with many that paths had which end here. */
interface Seen {
  /** At least so many. */
  values: number;
  readonly samples: string[];
}

/** By how deep the place is, the first below the root 1. */
export type PlacesSeen = ReadonlyMap<number, Readonly<Seen>>;

export class PathNode {
  /** By segment. */
  readonly children = new Map<string, PathNode>();
  /** Requests that end here, by use. */
  readonly ends = new Map<UseNumber, number>();
  /** By use, of what ends here. */
  readonly seen = new Map<UseNumber, Map<number, Seen>>();
  /** What stands for many values, and continues as any of them did. */
  wild: PathNode | undefined = undefined;
  /** Values in `wild`, at least. */
  wildValues = 0;
  readonly own = new Map<UseNumber, OwnValues>();
  /** Requests below that are not told apart any more. */
  readonly rest = new Map<UseNumber, number>();
}

/** Children of a node beyond which new ones are counted together at once. */
const MAX_KEPT_IDENTIFIERS = 64;
const MAX_KEPT_WORDS = 1024;
const MAX_NODES = 20_000;
const MAX_DEPTH = 32;
const SHOWN_SAMPLES = 3;

export class PathTree {
  readonly root = new PathNode();
  readonly #thresholds: PathThresholds;
  #nodes = 1;

  constructor(thresholds: PathThresholds) {
    this.#thresholds = thresholds;
  }

  /** @param path without query, beginning with a slash. */
  add(path: string, use: UseNumber): void {
    const segments = path.split("/");
    const many: number[] = [];
    let node = this.root;
    for (let at = 1; at < segments.length; at++) {
      const next = at > MAX_DEPTH ? undefined : this.#child(node, segments[at] ?? "", use, at);
      if (next === undefined) {
        bump(node.rest, use);
        return;
      }
      if (next === node.wild) many.push(at);
      node = next;
    }
    bump(node.ends, use);
    for (const at of many) noteSeen(node, use, at, { values: 1, samples: [segments[at] ?? ""] }, false);
  }

  /** Undefined: there is no room for it. */
  #child(node: PathNode, segment: string, use: UseNumber, depth: number): PathNode | undefined {
    const known = node.children.get(segment);
    if (known !== undefined) return known;
    if (node.wild !== undefined && isTaken(node, segment)) {
      noteWild(node, segment, use);
      return node.wild;
    }
    if (this.#nodes >= MAX_NODES) return undefined;
    const child = new PathNode();
    node.children.set(segment, child);
    this.#nodes++;
    this.#countTogether(node, depth);
    // It may just have become one of many.
    return node.children.get(segment) ?? node.wild ?? child;
  }

  #countTogether(node: PathNode, depth: number): void {
    if (node.children.size <= Math.max(MAX_KEPT_IDENTIFIERS, this.#thresholds.identifiers)) return;
    const identifiers = [...node.children.keys()].filter(isCounted);
    if (identifiers.length > Math.max(MAX_KEPT_IDENTIFIERS, this.#thresholds.identifiers))
      mergeChildren(node, identifiers, depth);
    const words = [...node.children.keys()].filter(fitsTemplate);
    if (words.length > Math.max(MAX_KEPT_WORDS, this.#thresholds.words)) mergeChildren(node, words, depth);
    if (node.wild !== undefined) this.#nodes = countNodes(this.root);
  }

  /** Once all is read: places with many values become one. */
  generalise(): void {
    generaliseNode(this.root, this.#thresholds, 1);
  }
}

function isCounted(segment: string): boolean {
  return isIdentifier(segment) && fitsTemplate(segment);
}

/** A wild node of identifiers takes identifiers; one that words were merged into takes all. */
function isTaken(node: PathNode, segment: string): boolean {
  return isCounted(segment) || (WORDS_TOO.has(node) && fitsTemplate(segment));
}

const WORDS_TOO = new WeakSet<PathNode>();

function noteWild(node: PathNode, segment: string, use: UseNumber): void {
  const own = node.own.get(use);
  if (own === undefined) node.own.set(use, { first: segment, isMany: false });
  else if (own.first !== segment) own.isMany = true;
}

/** @param depth of the children. */
function mergeChildren(node: PathNode, segments: readonly string[], depth: number): void {
  const wild = node.wild ?? new PathNode();
  node.wild = wild;
  for (const segment of segments) {
    const child = node.children.get(segment);
    if (child === undefined) continue;
    node.children.delete(segment);
    node.wildValues++;
    if (!isIdentifier(segment)) WORDS_TOO.add(node);
    for (const use of usesBelow(child)) noteWild(node, segment, use);
    noteSeenBelow(child, segment, depth);
    mergeInto(wild, child, depth);
  }
}

function noteSeenBelow(node: PathNode, segment: string, depth: number): void {
  for (const use of node.ends.keys()) noteSeen(node, use, depth, { values: 1, samples: [segment] }, false);
  for (const child of node.children.values()) noteSeenBelow(child, segment, depth);
  if (node.wild !== undefined) noteSeenBelow(node.wild, segment, depth);
}

/** @param isApart whether these values are others than those that are known; else only as far as samples tell. */
function noteSeen(node: PathNode, use: UseNumber, depth: number, more: Seen, isApart: boolean): void {
  const places = node.seen.get(use) ?? new Map<number, Seen>();
  node.seen.set(use, places);
  const known = places.get(depth) ?? { values: 0, samples: [] };
  places.set(depth, known);
  const sum = known.values + more.values;
  for (const sample of more.samples)
    if (known.samples.length < SHOWN_SAMPLES && !known.samples.includes(sample)) known.samples.push(sample);
  known.values = isApart ? sum : Math.max(known.values, more.values, known.samples.length);
}

/** @param depth of the place whose values are taken together. */
function mergeInto(target: PathNode, source: PathNode, depth: number): void {
  for (const [use, count] of source.ends) bump(target.ends, use, count);
  for (const [use, places] of source.seen)
    for (const [at, seen] of places) noteSeen(target, use, at, seen, at === depth);
  for (const [use, count] of source.rest) bump(target.rest, use, count);
  for (const [segment, child] of source.children) {
    const known = target.children.get(segment);
    if (known === undefined) target.children.set(segment, child);
    else mergeInto(known, child, depth);
  }
  if (source.wild === undefined) return;
  target.wild ??= new PathNode();
  target.wildValues += source.wildValues;
  if (WORDS_TOO.has(source)) WORDS_TOO.add(target);
  for (const [use, { first, isMany }] of source.own) {
    noteWild(target, first, use);
    const own = target.own.get(use);
    if (isMany && own !== undefined) own.isMany = true;
  }
  mergeInto(target.wild, source.wild, depth);
}

function generaliseNode(node: PathNode, thresholds: PathThresholds, depth: number): void {
  const identifiers = [...node.children.keys()].filter(isCounted);
  if (
    identifiers.length + node.wildValues >= thresholds.identifiers &&
    (identifiers.length > 0 || node.wild !== undefined)
  )
    mergeChildren(node, identifiers, depth);
  for (const child of node.children.values()) generaliseNode(child, thresholds, depth + 1);
  for (const alike of wordsAlike(node))
    if (alike.length >= thresholds.words) mergeChildren(node, alike, depth);
  if (node.wild === undefined) return;
  // What a place with many values takes need not be named beside it; what it does not take stays.
  if (WORDS_TOO.has(node)) mergeChildren(node, [...node.children.keys()].filter(fitsTemplate), depth);
  generaliseNode(node.wild, thresholds, depth + 1);
}

/** Words whose continuations have the same names: users, not endpoints of different kinds. */
function wordsAlike(node: PathNode): readonly (readonly string[])[] {
  const groups = new Map<string, string[]>();
  for (const [segment, child] of node.children) {
    if (!fitsTemplate(segment)) continue;
    const shape = JSON.stringify([
      [...child.children.keys()].sort(),
      child.wild !== undefined,
      child.ends.size > 0,
    ]);
    const group = groups.get(shape);
    if (group === undefined) groups.set(shape, [segment]);
    else group.push(segment);
  }
  return [...groups.values()];
}

function usesBelow(node: PathNode, found = new Set<UseNumber>()): ReadonlySet<UseNumber> {
  for (const use of node.ends.keys()) found.add(use);
  for (const use of node.rest.keys()) found.add(use);
  for (const child of node.children.values()) usesBelow(child, found);
  if (node.wild !== undefined) usesBelow(node.wild, found);
  return found;
}

function countNodes(node: PathNode): number {
  let count = 1;
  for (const child of node.children.values()) count += countNodes(child);
  return node.wild === undefined ? count : count + countNodes(node.wild);
}

function bump(counts: Map<UseNumber, number>, use: UseNumber, by = 1): void {
  counts.set(use, (counts.get(use) ?? 0) + by);
}
