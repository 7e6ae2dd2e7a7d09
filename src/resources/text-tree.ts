import { EVENT_ID, type Event, getScalarValue, type ScalarEvent } from "js-yaml";
import type { FieldPath } from "./resource.ts";

/** The shape of a document's text: what stands where, as offsets into it. Aliases point at what they repeat. */
export type TextNode =
  | { readonly kind: "scalar"; readonly start: number; readonly end: number }
  | { readonly kind: "sequence"; readonly start: number; end: number; readonly items: TextNode[] }
  | { readonly kind: "mapping"; readonly start: number; end: number; readonly entries: TextEntry[] }
  | { readonly kind: "alias"; readonly start: number; readonly end: number; readonly target?: TextNode };

export interface TextEntry {
  readonly key: string;
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly value: TextNode;
}

export interface TextRange {
  readonly start: number;
  readonly end: number;
}

interface Reader {
  readonly text: string;
  readonly events: readonly Event[];
  readonly anchors: Map<string, TextNode>;
  position: number;
  /** Where the last token ended: empty values are placed there. */
  lastEnd: number;
}

/** The trees of all documents in the text; empty documents give none. */
export function textTrees(text: string, events: readonly Event[]): TextNode[] {
  const reader: Reader = { text, events, anchors: new Map(), position: 0, lastEnd: 0 };
  const trees: TextNode[] = [];
  while (reader.position < events.length) {
    const event = events[reader.position];
    if (event?.type === EVENT_ID.DOCUMENT) {
      reader.anchors.clear();
      reader.position++;
    } else if (event === undefined || event.type === EVENT_ID.POP) reader.position++;
    else trees.push(readNode(reader));
  }
  return trees;
}

function readNode(reader: Reader): TextNode {
  const event = reader.events[reader.position++];
  switch (event?.type) {
    case EVENT_ID.SCALAR:
      return anchored(reader, event, scalarNode(reader, event));
    case EVENT_ID.ALIAS: {
      const target = reader.anchors.get(reader.text.slice(event.anchorStart, event.anchorEnd));
      reader.lastEnd = event.anchorEnd;
      const place = { start: event.anchorStart - 1, end: event.anchorEnd };
      return { kind: "alias", ...place, ...(target === undefined ? {} : { target }) };
    }
    case EVENT_ID.SEQUENCE: {
      const node: TextNode = { kind: "sequence", start: event.start, end: event.start, items: [] };
      anchored(reader, event, node);
      while (!atPop(reader)) node.items.push(readNode(reader));
      return closed(reader, node);
    }
    case EVENT_ID.MAPPING: {
      const node: TextNode = { kind: "mapping", start: event.start, end: event.start, entries: [] };
      anchored(reader, event, node);
      while (!atPop(reader)) node.entries.push(readEntry(reader));
      return closed(reader, node);
    }
    default:
      return { kind: "scalar", start: reader.lastEnd, end: reader.lastEnd };
  }
}

function readEntry(reader: Reader): TextEntry {
  const event = reader.events[reader.position];
  const keyNode = readNode(reader);
  const key = event?.type === EVENT_ID.SCALAR ? getScalarValue(reader.text, event) : "";
  return { key, keyStart: keyNode.start, keyEnd: keyNode.end, value: readNode(reader) };
}

function scalarNode(reader: Reader, event: ScalarEvent): TextNode {
  if (event.valueStart < 0) return { kind: "scalar", start: reader.lastEnd, end: reader.lastEnd };
  reader.lastEnd = event.valueEnd;
  return { kind: "scalar", start: event.valueStart, end: event.valueEnd };
}

function anchored(
  reader: Reader,
  event: { readonly anchorStart: number; readonly anchorEnd: number },
  node: TextNode,
): TextNode {
  if (event.anchorStart >= 0) reader.anchors.set(reader.text.slice(event.anchorStart, event.anchorEnd), node);
  return node;
}

function atPop(reader: Reader): boolean {
  const event = reader.events[reader.position];
  return event === undefined || event.type === EVENT_ID.POP;
}

function closed<T extends { end: number }>(reader: Reader, node: T): T {
  reader.position++;
  node.end = reader.lastEnd;
  return node;
}

/**
 * The text of the field at `path`, or of its nearest existing parent. A scalar is its value; a collection in a mapping
 * is its key, because that is where a person looks for it.
 */
export function findRange(root: TextNode, path: FieldPath, prefer: "value" | "key" = "value"): TextRange {
  let node = root;
  let place: TextRange = { start: root.start, end: firstLineEnd(root) };
  for (const [depth, step] of path.entries()) {
    const found = child(node, step);
    if (found === undefined) return place;
    node = found.value;
    const wantsKey = prefer === "key" && depth === path.length - 1;
    place = found.key !== undefined && (wantsKey || !isShort(node)) ? found.key : shortRange(node);
  }
  return place;
}

function isShort(node: TextNode): boolean {
  return node.kind === "scalar" ? node.end > node.start : node.kind === "alias";
}

function shortRange(node: TextNode): TextRange {
  return { start: node.start, end: isShort(node) ? node.end : firstLineEnd(node) };
}

/** A block of many lines is shown by its first field. */
function firstLineEnd(node: TextNode): number {
  if (node.kind === "mapping") return node.entries[0]?.keyEnd ?? node.end;
  if (node.kind === "sequence") return Math.min(node.end, node.start + 1);
  return node.end;
}

interface Child {
  readonly key?: TextRange;
  readonly value: TextNode;
}

function child(parent: TextNode, step: string | number): Child | undefined {
  const node = resolved(parent);
  if (node?.kind === "sequence") {
    const value = node.items[Number(step)];
    return value === undefined ? undefined : { value };
  }
  if (node?.kind !== "mapping") return undefined;
  const own = node.entries.findLast((entry) => entry.key === String(step));
  if (own !== undefined) return { key: { start: own.keyStart, end: own.keyEnd }, value: own.value };
  for (const entry of node.entries) {
    if (entry.key !== "<<") continue;
    const found = mergedChild(entry.value, step);
    if (found !== undefined) return found;
  }
  return undefined;
}

function mergedChild(source: TextNode, step: string | number): Child | undefined {
  const node = resolved(source);
  if (node?.kind !== "sequence") return node === undefined ? undefined : child(node, step);
  for (const item of node.items) {
    const found = child(item, step);
    if (found !== undefined) return found;
  }
  return undefined;
}

function resolved(node: TextNode): TextNode | undefined {
  return node.kind === "alias" ? node.target : node;
}

/** Every key that stands twice in one mapping, with both places. */
export function repeatedKeys(root: TextNode): { key: string; first: TextRange; again: TextRange }[] {
  const found: { key: string; first: TextRange; again: TextRange }[] = [];
  const pending: TextNode[] = [root];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (node.kind === "sequence") for (const item of node.items) pending.push(item);
    if (node.kind !== "mapping") continue;
    const seen = new Map<string, TextEntry>();
    for (const entry of node.entries) {
      pending.push(entry.value);
      const first = entry.key === "<<" ? undefined : seen.get(entry.key);
      if (first === undefined) seen.set(entry.key, entry);
      else
        found.push({
          key: entry.key,
          first: { start: first.keyStart, end: first.keyEnd },
          again: { start: entry.keyStart, end: entry.keyEnd },
        });
    }
  }
  return found.sort((a, b) => a.again.start - b.again.start);
}
