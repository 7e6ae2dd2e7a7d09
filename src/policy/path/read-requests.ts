/** A file of requests: JSON (or YAML, which JSON is), an array or `{"requests": [...]}`. */
import type { Mesh } from "../../model/mesh.ts";
import type { Diagnostic, Parsed } from "../../resources/diagnostic.ts";
import { readDocuments, type SourceDocument } from "../../resources/read-documents.ts";
import type { FieldPath } from "../../resources/resource.ts";
import type { AccessRequest } from "./access-request.ts";
import { checkRequest, type RequestProblem } from "./check-request.ts";
import { repeatsKey } from "./repeats-key.ts";

/** More are not listed: a file of the wrong kind has one for each line. */
const MAX_PROBLEMS = 50;

/**
 * Reads requests and checks them against the mesh.
 * @param file its name, for messages.
 * @returns the requests, or every problem with line and column.
 */
export function readRequests(text: string, file: string, mesh: Mesh): Parsed<readonly AccessRequest[]> {
  const diagnostics: Diagnostic[] = [];
  const place = new Places(file, text);
  const root = parseText(text, place, (problem) => diagnostics.push(problem));
  const [first, ...others] = diagnostics;
  if (first !== undefined) return { ok: false, errors: [first, ...others] };
  const { list, at } = listOf(root);
  if (list === undefined) return { ok: false, errors: [noList(place)] };
  const problems: Diagnostic[] = [];
  for (const [index, value] of list.entries()) {
    if (problems.length >= MAX_PROBLEMS) break;
    for (const problem of checkRequest(mesh, value)) problems.push(place.diagnostic([...at, index], problem));
  }
  for (const problem of repeatedIds(list)) problems.push(place.diagnostic([...at, ...problem.path], problem));
  const [wrong, ...more] = problems;
  if (wrong !== undefined) return { ok: false, errors: [wrong, ...more] };
  return { ok: true, value: list as readonly AccessRequest[], warnings: [] };
}

/** Decisions are told apart by their ids alone. */
function repeatedIds(list: readonly unknown[]): readonly RequestProblem[] {
  const first = new Map<string, number>();
  const problems: RequestProblem[] = [];
  for (const [index, value] of list.entries()) {
    const id = typeof value === "object" && value !== null ? (value as { id?: unknown }).id : undefined;
    if (typeof id !== "string" || problems.length >= MAX_PROBLEMS) continue;
    const before = first.get(id);
    if (before === undefined) first.set(id, index);
    else
      problems.push({
        code: "BW1501_REQUEST_FIELD",
        path: [index, "id"],
        message: `the id \`${id}\` is that of request ${before + 1} already`,
        help: "give each request an id of its own, or none",
      });
  }
  return problems;
}

/** JSON by the platform's parser, which is fast; anything else (a byte order mark is enough), and a key given twice, by ours, which says where it is wrong. */
function parseText(text: string, place: Places, report: (problem: Diagnostic) => void): unknown {
  try {
    const value: unknown = JSON.parse(text);
    if (!repeatsKey(text)) return value;
  } catch {}
  const documents = place.documents(report);
  return documents.length === 1 ? documents[0]?.value : undefined;
}

function listOf(root: unknown): { readonly list: readonly unknown[] | undefined; readonly at: FieldPath } {
  if (Array.isArray(root)) return { list: root, at: [] };
  const requests =
    typeof root === "object" && root !== null ? (root as { requests?: unknown }).requests : undefined;
  return { list: Array.isArray(requests) ? requests : undefined, at: ["requests"] };
}

function noList(place: Places): Diagnostic {
  return {
    code: "BW1500_NO_REQUESTS",
    severity: "error",
    message: "this is no list of requests",
    ...place.spanOf([]),
    help: 'write an array of requests, or {"requests": [...]}',
  };
}

/** Lines and columns, found only when something is wrong. */
class Places {
  readonly #file: string;
  readonly #text: string;
  #documents: readonly SourceDocument[] | undefined;

  constructor(file: string, text: string) {
    this.#file = file;
    this.#text = text;
  }

  documents(report: (problem: Diagnostic) => void): readonly SourceDocument[] {
    this.#documents ??= readDocuments(this.#file, this.#text, report);
    return this.#documents;
  }

  spanOf(path: FieldPath, prefer: "key" | "value" = "value"): Pick<Diagnostic, "span"> {
    const [document] = this.documents(() => {});
    return document === undefined ? {} : { span: document.source.locate(document.index, path, prefer) };
  }

  diagnostic(at: FieldPath, { code, path, atKey, message, help }: RequestProblem): Diagnostic {
    return {
      code,
      severity: "error",
      message,
      ...this.spanOf([...at, ...path], atKey === true ? "key" : "value"),
      ...(help === undefined ? {} : { help }),
    };
  }
}
