/** Divides the requests for one host by what its routes tell apart. */
import type { HttpMatch, StringMatch } from "../../../policy/outbound/resource-shapes.ts";
import { isPresenceMatch } from "../../../policy/outbound/string-match.ts";
import { AnalysisLimit } from "../../space/analysis-limit.ts";
import type { Dimension, TextDimension } from "../../space/dimension.ts";
import { textCells } from "../../space/text-cells.ts";
import {
  containing,
  endingWith,
  NOT_EMPTY,
  startingWith,
  type TextLanguage,
} from "../../space/text-language.ts";

/** What a client sends, in the form that routes are asked in. */
export interface RouteRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly authority?: string;
  /** Names in lower case and values, in turn. */
  readonly headers: readonly string[];
}

/** Points: one cell for each dimension. */
export interface RouteCells {
  readonly dimensions: readonly Dimension[];
  readonly points: readonly (readonly number[])[];
  /** One of each point, in their order. */
  readonly requests: readonly RouteRequest[];
}

/** More are told to be too many, rather than asked one by one. */
const MAX_POINTS = 4096;
const CHARACTERS = "xabcdefghijklmnopqrstuvwyz0123456789-._/";
/** As paths are once they are normal. */
const NO_PATHS: readonly TextLanguage[] = [
  ...["?", "#", " ", "//", "/./", "/../", "\\"].map(containing),
  ...["/.", "/.."].map(endingWith),
];

/** @throws {AnalysisLimit} where conditions are not followed, or there are too many. */
export function routeCells(matches: readonly HttpMatch[]): RouteCells {
  const collected = new Conditions();
  for (const match of matches) collected.add(match);
  const dimensions = collected.dimensions();
  const count = dimensions.reduce((product, { size }) => product * size, 1);
  if (count > MAX_POINTS) throw new AnalysisLimit(`its routes tell ${count} kinds of requests apart`);
  const points = pointsOf(dimensions.map(({ size }) => size));
  return { dimensions, points, requests: points.map((point) => requestAt(dimensions, point)) };
}

function pointsOf(sizes: readonly number[]): number[][] {
  return sizes.reduce<number[][]>(
    (points, size) => points.flatMap((point) => Array.from({ length: size }, (_, cell) => [...point, cell])),
    [[]],
  );
}

function requestAt(dimensions: readonly Dimension[], point: readonly number[]): RouteRequest {
  const request = { method: "GET", path: "/", headers: [] as string[] };
  const query: string[] = [];
  let authority: string | undefined;
  for (const [at, dimension] of dimensions.entries()) {
    const cell = point[at] ?? 0;
    if (dimension.kind !== "text" && dimension.kind !== "field") continue;
    if (dimension.kind === "field" && cell === 0) continue;
    const text = dimension.texts.cells[dimension.kind === "field" ? cell - 1 : cell]?.sample ?? "";
    const [kind, name = ""] = dimension.id.split(" ");
    if (kind === "path") request.path = text;
    else if (kind === "method") request.method = text;
    else if (kind === "authority") authority = text;
    else if (kind === "header") request.headers.push(name, text);
    else query.push(`${name}=${text}`);
  }
  const path = query.length === 0 ? request.path : `${request.path}?${query.join("&")}`;
  return { ...request, path, ...(authority === undefined ? {} : { authority }) };
}

interface Texts {
  readonly title: string;
  readonly exact: Set<string>;
  readonly languages: Map<string, TextLanguage>;
}

class Conditions {
  readonly #texts = new Map<string, Texts>();

  add(match: HttpMatch): void {
    const { uri, method, authority, scheme, headers, withoutHeaders, queryParams } = match;
    if (match.ignoreUriCase === true && uri !== undefined)
      throw new AnalysisLimit("a route looks at paths without their case");
    if (scheme !== undefined) throw new AnalysisLimit("a route looks at the scheme");
    if (uri !== undefined) this.#note("path", "paths", uri);
    if (method !== undefined) this.#note("method", "methods", method);
    if (authority !== undefined) this.#note("authority", "hosts asked for", authority);
    for (const [name, wanted] of [
      ...Object.entries(headers ?? {}),
      ...Object.entries(withoutHeaders ?? {}),
    ]) {
      if (name.startsWith(":")) throw new AnalysisLimit(`a route looks at the header ${name}`);
      this.#note(`header ${name.toLowerCase()}`, `headers ${name.toLowerCase()}`, wanted);
    }
    for (const [name, wanted] of Object.entries(queryParams ?? {}))
      this.#note(`query ${name}`, `query parameters ${name}`, wanted);
  }

  /** Paths and methods always, so that examples have them. */
  dimensions(): readonly Dimension[] {
    this.#textsOf("method", "methods").exact.add("GET");
    this.#textsOf("path", "paths").exact.add("/");
    return [...this.#texts]
      .toSorted(([a], [b]) => ORDER.indexOf(a) - ORDER.indexOf(b) || (a < b ? -1 : 1))
      .map(([id, texts]) => dimensionOf(id, texts));
  }

  #note(id: string, title: string, wanted: StringMatch): void {
    const { exact, languages } = this.#textsOf(id, title);
    if (isPresenceMatch(wanted) || wanted.regex === ".*") return;
    const add = (language: TextLanguage): void => void languages.set(language.label, language);
    if (wanted.exact !== undefined) exact.add(wanted.exact);
    else if (wanted.prefix !== undefined) add(startingWith(wanted.prefix));
    else if (wanted.pathPrefix !== undefined) {
      exact.add(wanted.pathPrefix);
      add(startingWith(`${wanted.pathPrefix}/`));
    } else throw new AnalysisLimit("a route looks at texts by a regular expression");
  }

  #textsOf(id: string, title: string): Texts {
    const known = this.#texts.get(id);
    if (known !== undefined) return known;
    const made: Texts = { title, exact: new Set(), languages: new Map() };
    this.#texts.set(id, made);
    return made;
  }
}

/** First is told first. */
const ORDER: readonly string[] = ["header", "query", "authority", "path", "method"];

function dimensionOf(id: string, { title, exact, languages }: Texts): TextDimension {
  const asked = [...languages.values()];
  const isPath = id === "path";
  const texts = textCells({
    universe: isPath ? [startingWith("/")] : [NOT_EMPTY],
    never: isPath ? NO_PATHS : [containing(" "), containing("&"), containing(","), containing("#")],
    languages: asked,
    exact: new Set([...exact].filter((text) => text !== "")),
    alphabet: id === "method" ? "XABCDEFGHIJKLMNOPQRSTUVWYZ" : CHARACTERS,
  });
  const isField = id.includes(" ");
  const size = texts.cells.length + (isField ? 1 : 0);
  return { id, title, kind: isField ? "field" : "text", size, texts, languages: asked };
}
