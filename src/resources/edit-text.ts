/**
 * Changes of single fields in the text of a YAML or JSON file, which leave every other byte as it was. The places come from the
 * parser's own events (text-tree.ts), what is written is JSON's notation where a collection is in flow style and block style elsewhere.
 */
import { dump, parseEvents, YAMLException } from "js-yaml";
import type { FieldPath } from "./resource.ts";
import { MAX_DEPTH } from "./source-text.ts";
import { type TextEntry, type TextNode, type TextRange, textTrees } from "./text-tree.ts";

export interface ResourceIdentity {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export type FieldEdit =
  | { readonly edit: "set"; readonly path: FieldPath; readonly value: unknown }
  | { readonly edit: "delete"; readonly path: FieldPath };

type Mapping = Extract<TextNode, { kind: "mapping" }>;
type Sequence = Extract<TextNode, { kind: "sequence" }>;

const INDENT = 2;

/**
 * The text with the field changed; undefined where it cannot be done without touching what it must not: an alias on the way, a resource
 * that is not in the text or stands there twice, a text that only a more lenient parser reads (readDocuments). Whoever writes the result reads it again first, and compares.
 */
export function editText(text: string, of: ResourceIdentity, change: FieldEdit): string | undefined {
  const [root, ...others] = treesOf(text).flatMap((tree) => resourcesIn(text, withQuotes(text, tree), of));
  if (root === undefined || others.length > 0) return undefined;
  return change.edit === "set"
    ? setField(text, root, change.path, change.value)
    : deleteField(text, root, change.path);
}

/** None where the parser refuses the text: old charts have quoted texts with too little indentation, which kubectl's takes. */
function treesOf(text: string): readonly TextNode[] {
  try {
    return textTrees(text, parseEvents(text, { maxDepth: MAX_DEPTH }));
  } catch (error) {
    if (error instanceof YAMLException) return [];
    throw error;
  }
}

/** The tree's places of quoted scalars are those of what stands between the quotes. */
function withQuotes(text: string, node: TextNode): TextNode {
  if (node.kind === "scalar") return { ...node, ...outside(text, node) };
  if (node.kind === "sequence") return { ...node, items: node.items.map((item) => withQuotes(text, item)) };
  if (node.kind === "alias") return node;
  const entries = node.entries.map((entry) => {
    const { start, end } = outside(text, { start: entry.keyStart, end: entry.keyEnd });
    return { ...entry, keyStart: start, keyEnd: end, value: withQuotes(text, entry.value) };
  });
  return { ...node, start: isFlow(text, node) ? node.start : (entries[0]?.keyStart ?? node.start), entries };
}

function outside(text: string, { start, end }: TextRange): TextRange {
  const quote = text[start - 1];
  const isQuoted = (quote === '"' || quote === "'") && text[end] === quote;
  return isQuoted ? { start: start - 1, end: end + 1 } : { start, end };
}

/** The mappings that are this resource: a document, or an item of a List. */
function resourcesIn(text: string, tree: TextNode, of: ResourceIdentity): readonly Mapping[] {
  if (tree.kind !== "mapping") return [];
  const items = entryOf(tree, "items")?.value;
  if (items?.kind === "sequence") return items.items.flatMap((item) => resourcesIn(text, item, of));
  const metadata = entryOf(tree, "metadata")?.value;
  if (metadata?.kind !== "mapping") return [];
  const said = (node: Mapping, key: string): string | undefined =>
    scalarText(text, entryOf(node, key)?.value);
  const namespace = said(metadata, "namespace") ?? (of.namespace === "default" ? "default" : "");
  const isIt =
    said(tree, "kind") === of.kind &&
    said(tree, "apiVersion") === of.apiVersion &&
    said(metadata, "name") === of.name &&
    namespace === of.namespace;
  return isIt ? [tree] : [];
}

function scalarText(text: string, node: TextNode | undefined): string | undefined {
  if (node?.kind !== "scalar") return undefined;
  return text.slice(node.start, node.end).replace(/^(["'])(.*)\1$/s, "$2");
}

function entryOf(node: TextNode, step: string | number): TextEntry | undefined {
  return node.kind === "mapping" ? node.entries.find(({ key }) => key === String(step)) : undefined;
}

function childOf(node: TextNode, step: string | number): TextNode | undefined {
  if (node.kind === "sequence") return typeof step === "number" ? node.items[step] : undefined;
  return entryOf(node, step)?.value;
}

/** The nodes along the path, from the root on, as far as it is there. */
function follow(root: TextNode, path: FieldPath): readonly TextNode[] {
  const nodes = [root];
  let node: TextNode | undefined = root;
  for (const step of path) {
    node = childOf(node, step);
    if (node === undefined) break;
    nodes.push(node);
  }
  return nodes;
}

function setField(text: string, root: Mapping, path: FieldPath, value: unknown): string | undefined {
  const nodes = follow(root, path);
  const depth = nodes.length - 1;
  const node = nodes[depth];
  if (node === undefined || nodes.some(({ kind }) => kind === "alias")) return undefined;
  if (depth === path.length) return replaceValue(text, nodes[depth - 1], node, value);
  const rest = path.slice(depth + 1).reduceRight<unknown>((inner, step) => wrap(step, inner), value);
  const step = path[depth];
  if (step === undefined) return undefined;
  if (node.kind === "mapping") return addEntry(text, node, String(step), rest);
  if (node.kind === "sequence" && step === node.items.length) return addItem(text, node, rest);
  // `spec:` with nothing behind it is to become a mapping.
  if (node.kind === "scalar" && node.start === node.end && depth > 0)
    return replaceValue(text, nodes[depth - 1], node, wrap(step, rest));
  return undefined;
}

function wrap(step: string | number, inner: unknown): unknown {
  return typeof step === "number" ? [inner] : { [step]: inner };
}

function isFlow(text: string, node: TextNode): boolean {
  return text[node.start] === "{" || text[node.start] === "[";
}

function replaceValue(text: string, parent: TextNode | undefined, node: TextNode, value: unknown): string {
  const isInFlow = parent !== undefined && isFlow(text, parent);
  const { start } = node;
  const end = wholeEnd(text, node);
  const written =
    isInFlow || isFlow(text, node) || !isCollection(value)
      ? inline(text, value)
      : `\n${block(value, columnOf(text, lineStart(text, node.start), parent) + INDENT)}`;
  const gap = node.kind !== "scalar" && !isFlow(text, node) ? blockStart(text, node, written) : start;
  const space = gap > 0 && text[gap - 1] === ":" && !written.startsWith("\n") ? " " : "";
  return text.slice(0, gap) + space + written + text.slice(end);
}

/** A block collection begins on a line of its own: what replaces it stands behind the colon, or on the next line again. */
function blockStart(text: string, node: TextNode, written: string): number {
  const before = text.slice(0, node.start).replace(/[ \t\r\n]+$/, "").length;
  return text[before - 1] === ":" ? before : written.startsWith("\n") ? before : node.start;
}

/** Where the bracket stands that ends a collection in flow style: after its last token there are only blanks, commas and comments. */
function closing(text: string, node: TextNode): number {
  const bracket = text[node.start] === "{" ? "}" : "]";
  let at = Math.max(node.start + 1, lastEndOf(text, node));
  for (; at < text.length && text[at] !== bracket; at++) if (text[at] === "#") at = endOfLine(text, at);
  return at;
}

function lastEndOf(text: string, node: TextNode): number {
  if (node.kind === "mapping" || node.kind === "sequence") {
    const last = node.kind === "mapping" ? node.entries.at(-1)?.value : node.items.at(-1);
    if (last === undefined) return node.start + 1;
    return isFlow(text, last) && last.kind !== "scalar" ? closing(text, last) + 1 : lastEndOf(text, last);
  }
  return node.end;
}

function isCollection(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length > 0;
}

/** JSON is YAML's flow style; plain words need no quotes where the file is no JSON. */
function inline(text: string, value: unknown): string {
  if (typeof value === "string" && !isJson(text)) {
    const written = dump(value, { lineWidth: -1 }).trimEnd();
    if (!written.includes("\n") && !/[,[\]{}]/.test(written)) return written;
  }
  return JSON.stringify(value);
}

function isJson(text: string): boolean {
  return /^\s*[{[]/.test(text);
}

function block(value: unknown, indent: number): string {
  const pad = " ".repeat(indent);
  return dump(value, { lineWidth: -1, noRefs: true })
    .trimEnd()
    .split("\n")
    .map((line) => (line === "" ? line : pad + line))
    .join("\n");
}

function addEntry(text: string, node: Mapping, key: string, value: unknown): string {
  const last = node.entries.at(-1);
  if (isFlow(text, node)) {
    const name = isJson(text) || !/^[\w./-]+$/.test(key) ? JSON.stringify(key) : key;
    const at = last === undefined ? node.start + 1 : lastEndOf(text, node);
    return `${text.slice(0, at)}${last === undefined ? "" : ", "}${name}: ${inline(text, value)}${text.slice(at)}`;
  }
  const column = last === undefined ? 0 : last.keyStart - lineStart(text, last.keyStart);
  return insertLines(text, endOfBlock(text, node), block({ [key]: value }, column));
}

function addItem(text: string, node: Sequence, value: unknown): string {
  if (isFlow(text, node)) {
    const at = lastEndOf(text, node);
    return `${text.slice(0, at)}${node.items.length === 0 ? "" : ", "}${inline(text, value)}${text.slice(at)}`;
  }
  return insertLines(text, endOfBlock(text, node), block([value], node.start - lineStart(text, node.start)));
}

/** The end of the line on which the node's last token stands. */
function endOfBlock(text: string, node: TextNode): number {
  return endOfLine(text, Math.max(node.start, lastEndOf(text, node)));
}

function insertLines(text: string, at: number, lines: string): string {
  return `${text.slice(0, at)}\n${lines}${text.slice(at)}`;
}

function deleteField(text: string, root: Mapping, path: FieldPath): string | undefined {
  const nodes = follow(root, path);
  const parent = nodes[path.length - 1];
  const step = path.at(-1);
  const node = nodes[path.length];
  if (parent === undefined || node === undefined || step === undefined) return undefined;
  if (nodes.slice(0, -1).some(({ kind }) => kind === "alias")) return undefined;
  const starts = startsOf(parent);
  const index =
    parent.kind === "mapping" ? parent.entries.findIndex(({ key }) => key === String(step)) : step;
  if (typeof index !== "number" || index < 0) return undefined;
  if (starts.length === 1) {
    const empty = parent.kind === "mapping" ? {} : [];
    return path.length < 2 ? undefined : setField(text, root, path.slice(0, -1), empty);
  }
  return isFlow(text, parent) ? deleteInFlow(text, parent, index) : deleteLines(text, parent, starts, index);
}

function startsOf(node: TextNode): readonly number[] {
  if (node.kind === "mapping") return node.entries.map(({ keyStart }) => keyStart);
  return node.kind === "sequence" ? node.items.map(({ start }) => start) : [];
}

function deleteInFlow(text: string, parent: TextNode, index: number): string {
  const starts = startsOf(parent);
  const [from, to] = [starts[index] ?? 0, starts[index + 1]];
  if (to !== undefined) return text.slice(0, from) + text.slice(to);
  const values = parent.kind === "mapping" ? parent.entries.map(({ value }) => value) : itemsOf(parent);
  const before = values[index - 1];
  const end = before === undefined ? parent.start + 1 : wholeEnd(text, before);
  return text.slice(0, end) + text.slice(lastEndOf(text, parent));
}

function itemsOf(node: TextNode): readonly TextNode[] {
  return node.kind === "sequence" ? node.items : [];
}

function wholeEnd(text: string, node: TextNode): number {
  return isFlow(text, node) && node.kind !== "scalar" ? closing(text, node) + 1 : lastEndOf(text, node);
}

/** From the beginning of its line to that of the next, or behind its last token; a first key behind `- ` gives its place to the next. */
function deleteLines(text: string, parent: TextNode, starts: readonly number[], index: number): string {
  const at = itemStart(text, parent, starts[index] ?? 0);
  const next = starts[index + 1];
  if (next !== undefined) {
    const to = itemStart(text, parent, next);
    const isAlone = text.slice(lineStart(text, at), at).trim() === "";
    return isAlone
      ? text.slice(0, lineStart(text, at)) + text.slice(lineStart(text, to))
      : text.slice(0, at) + text.slice(to);
  }
  const end = endOfBlock(text, parent);
  return text.slice(0, Math.max(0, lineStart(text, at) - 1)) + text.slice(end);
}

/** Items of a block sequence begin at their dash. */
function itemStart(text: string, parent: TextNode, start: number): number {
  return parent.kind === "sequence" ? text.lastIndexOf("-", start - 1) : start;
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf("\n", offset - 1) + 1;
}

function endOfLine(text: string, offset: number): number {
  const end = text.indexOf("\n", offset);
  return end < 0 ? text.length : text[end - 1] === "\r" ? end - 1 : end;
}

function columnOf(text: string, line: number, parent: TextNode | undefined): number {
  if (parent === undefined) return /^ */.exec(text.slice(line))?.[0].length ?? 0;
  const first = parent.kind === "mapping" ? parent.entries[0]?.keyStart : undefined;
  return first === undefined ? parent.start - lineStart(text, parent.start) : first - lineStart(text, first);
}
