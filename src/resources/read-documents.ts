import { constructFromEvents, EVENT_ID, type Event, YAMLException } from "js-yaml";
import type { Diagnostic } from "./diagnostic.ts";
import { countLines, MAX_DEPTH, SourceText } from "./source-text.ts";
import { KUBERNETES_SCHEMA } from "./yaml-schema.ts";

/** One document as it was read. */
export interface SourceDocument {
  readonly value: unknown;
  readonly source: SourceText;
  /** Its place among the documents of `source`. */
  readonly index: number;
}

/** Values that aliases repeat are written out; more than this in one document is an attack on memory ("billion laughs"). */
const MAX_EXPANDED_NODES = 200_000;
const MAX_ALIASES = 20_000;

/**
 * A document starts at `---` in the first column, which can never stand inside a scalar (YAML 1.2 §9.1.2). Not with `^`:
 * JavaScript knows more line breaks than YAML.
 */
const DOCUMENT_START = /(?<![^\r\n])---(?=[ \t\r\n]|$)/g;

/** Reads every document of a YAML or JSON text. A broken document does not take its neighbours with it. Never throws. */
export function readDocuments(
  file: string,
  text: string,
  report: (problem: Diagnostic) => void,
): SourceDocument[] {
  const documents: SourceDocument[] = [];
  for (const source of chunks(file, text.startsWith("\uFEFF") ? text.slice(1) : text)) {
    const parsed = parseChunk(source, report);
    for (const [index, value] of parsed.values.entries()) {
      documents.push({ value, source: parsed.source, index });
    }
  }
  return documents;
}

/** Each document is parsed by itself: the parser gives up at the first error of a text. */
function* chunks(file: string, text: string): Generator<SourceText> {
  let start = 0;
  let linesBefore = 0;
  for (const match of text.matchAll(DOCUMENT_START)) {
    const end = directivesBefore(text, start, match.index);
    if (end === start) continue;
    const chunk = text.slice(start, end);
    yield new SourceText(file, chunk, linesBefore);
    linesBefore += countLines(chunk);
    start = end;
  }
  yield new SourceText(file, text.slice(start), linesBefore);
}

/** Directives (`%YAML 1.2`) belong to the document that follows them. */
function directivesBefore(text: string, from: number, marker: number): number {
  let first = marker;
  for (let end = marker; end > from; ) {
    // A negative position would be taken for 0, and the loop would stand still at a break there.
    const start = end - 2 < from ? from : Math.max(text.lastIndexOf("\n", end - 2) + 1, from);
    const line = text.slice(start, end).trim();
    if (line.startsWith("%")) first = start;
    else if (line !== "" && !line.startsWith("#")) break;
    end = start;
  }
  return first;
}

function parseChunk(
  source: SourceText,
  report: (problem: Diagnostic) => void,
): { source: SourceText; values: unknown[] } {
  let current = source;
  for (;;) {
    try {
      return { source: current, values: construct(current) };
    } catch (error) {
      const indented = withMoreIndent(current, error);
      if (indented === undefined) {
        for (const problem of explain(error, current)) report(problem);
        return { source: current, values: [] };
      }
      current = indented;
    }
  }
}

function construct(source: SourceText): unknown[] {
  const events = source.events();
  const values = constructFromEvents(events, {
    source: source.text,
    schema: KUBERNETES_SCHEMA,
    maxAliases: MAX_ALIASES,
  });
  return values.map(hasAlias(events) ? writtenOut : trimmed);
}

/**
 * The same value with every list as long as it has to be. The first `push` onto an empty array takes room for seventeen, and most lists of manifests have
 * one or two: of a mesh of ten thousand workloads that was 18 MB of 118.
 */
function trimmed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(trimmed);
  if (typeof value !== "object" || value === null) return value;
  const fields = value as Record<string, unknown>;
  for (const [key, item] of Object.entries(fields)) {
    const own = trimmed(item);
    // Never so for `__proto__`, which an assignment would take for the prototype.
    if (own !== item && key !== "__proto__") fields[key] = own;
  }
  return fields;
}

/**
 * Kubernetes' parser does not mind where the closing bracket of a flow collection stands; the YAML standard (§7.4) and
 * ours do. So such a line, whose indentation means nothing, is moved to the right and the text read again.
 */
function withMoreIndent(source: SourceText, error: unknown): SourceText | undefined {
  if (!(error instanceof YAMLException) || error.reason !== "deficient indentation") return undefined;
  return source.indentLineAt(error.mark?.position ?? 0);
}

function hasAlias(events: readonly Event[]): boolean {
  return events.some((event) => event.type === EVENT_ID.ALIAS);
}

class ExpansionError extends Error {}

/** Copies what aliases share, so that no change to one place shows in another, within a budget. */
function writtenOut(root: unknown): unknown {
  let left = MAX_EXPANDED_NODES;
  const copy = (value: unknown, depth: number): unknown => {
    if (--left < 0 || depth > MAX_DEPTH) throw new ExpansionError();
    if (Array.isArray(value)) return value.map((item) => copy(item, depth + 1));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copy(item, depth + 1)]));
  };
  return copy(root, 0);
}

function explain(error: unknown, source: SourceText): Diagnostic[] {
  if (error instanceof ExpansionError) {
    return [
      {
        code: "BW1008_ALIAS_EXPANSION",
        severity: "error",
        message: `aliases make this document larger than ${MAX_EXPANDED_NODES} values, or repeat themselves without end`,
        span: source.locate(0, []),
        help: "write the repeated parts out, or split the document",
      },
    ];
  }
  if (!(error instanceof YAMLException)) return [syntaxError(source, 0, "cannot be read as YAML")];
  const reason = error.reason;
  const at = Math.min(Math.max(error.mark?.position ?? 0, 0), source.text.length);
  if (reason === "duplicated mapping key") return repeated(source);
  if (isTemplate(source.text)) return [template(source, at)];
  if (reason.startsWith("nesting exceeded")) {
    return [
      {
        code: "BW1007_TOO_DEEP",
        severity: "error",
        message: `collections are nested more than ${MAX_DEPTH} deep`,
        span: source.span({ start: at, end: at }),
        help: "no Kubernetes object is nested so deep: check the file",
      },
    ];
  }
  if (reason.startsWith("aliases exceeded") || reason.startsWith("merge keys exceeded")) {
    return [
      {
        code: "BW1008_ALIAS_EXPANSION",
        severity: "error",
        message: `too many aliases or merged keys (${reason})`,
        span: source.span({ start: at, end: at }),
        help: "write the repeated parts out, or split the document",
      },
    ];
  }
  return [syntaxError(source, at, reason)];
}

function syntaxError(source: SourceText, at: number, reason: string): Diagnostic {
  return {
    code: "BW1005_SYNTAX",
    severity: "error",
    message: `not valid YAML: ${reason}`,
    span: source.span({ start: at, end: at }),
    help:
      SYNTAX_HELP.find(([pattern]) => pattern.test(reason))?.[1] ??
      "check indentation, quotes and colons here",
  };
}

const SYNTAX_HELP: readonly (readonly [RegExp, string])[] = [
  [/tab/, "YAML is indented with spaces, never with tabs"],
  [/indentation/, "align this line with its neighbours; a value that contains `: ` must be quoted"],
  [/unidentified alias/, "anchors (&name) must stand before their aliases (*name), in the same document"],
  [/unknown .*tag/, "Kubernetes knows no own tags: remove `!…`, or quote the value"],
  [/complex keys/, "a key must be a plain string: quote what looks like a list or a map"],
  [/multiline key|implicit key/, "a key and its colon must stand on one line"],
];

function repeated(source: SourceText): Diagnostic[] {
  return source.repeatedKeys().map(({ key, first, again }) => ({
    code: "BW1006_DUPLICATE_KEY",
    severity: "error",
    message: `the key \`${key}\` stands twice in one map: first at ${first.line}:${first.column}, again here`,
    span: again,
    help: "remove one, or join the two values: only one of them would count",
  }));
}

function isTemplate(text: string): boolean {
  return /\{\{[-\s]*[.$\w"(]/.test(text);
}

function template(source: SourceText, at: number): Diagnostic {
  const brace = source.text.indexOf("{{");
  const start = brace >= 0 ? brace : at;
  return {
    code: "BW1012_TEMPLATE",
    severity: "error",
    message: "this is a template (`{{ … }}`), not a manifest",
    span: source.span({ start, end: start + 2 }),
    help: "render it first: `helm template CHART > mesh.yaml`, or give a folder without templates",
  };
}
