/** Regions in words. */
import { ZTUNNEL_PORTS } from "./ambient-server.ts";
import { ABSENT, type Dimension, HTTP } from "./dimension.ts";
import type { Region } from "./regions.ts";
import type { TextCells } from "./text-division.ts";
import type { TextLanguage } from "./text-language.ts";

/** What a region says of one dimension: `paths`, `/a*, except /a/b`. */
export interface Saying {
  readonly id: string;
  readonly title: string;
  readonly text: string;
}

/** In the order of the dimensions. Those that a region leaves open are not said. */
export function describeRegion(dimensions: readonly Dimension[], region: Region): readonly Saying[] {
  const sayings: Saying[] = [];
  const members = new Map<
    string,
    { readonly has: string[]; readonly lacks: string[]; readonly title: string }
  >();
  for (const [place, cells] of [...region].toSorted(([a], [b]) => a - b)) {
    const dimension = dimensions[place];
    if (dimension === undefined) continue;
    if (dimension.kind !== "member") {
      sayings.push({ id: dimension.id, title: dimension.title, text: describeCells(dimension, cells) });
      continue;
    }
    const { id, title } = dimension.aspect;
    const known = members.get(id) ?? { has: [], lacks: [], title };
    (cells.has(1) ? known.has : known.lacks).push(describeCells(dimension, cells));
    members.set(id, known);
  }
  for (const [id, { has, lacks, title }] of members) {
    const text = [
      ...(has.length === 0 ? [] : [`with ${has.join(" and ")}`]),
      ...(lacks.length === 0 ? [] : [`without ${lacks.join(" and ")}`]),
    ].join(", ");
    sayings.push({ id, title, text });
  }
  return sayings;
}

const UNVERIFIED = "one that does not verify";

export function describeCells(dimension: Dimension, cells: ReadonlySet<number>): string {
  switch (dimension.kind) {
    case "protocol":
      return cells.has(HTTP) ? "HTTP" : "TCP";
    case "port":
      return describePorts(dimension.ports, cells);
    case "token":
      return [...cells]
        .map((cell) => (cell === ABSENT ? "no token" : (dimension.issuers[cell - 1] ?? UNVERIFIED)))
        .join(", ");
    case "address":
      return [...cells]
        .map((cell) => {
          const { block = "", except = [] } = dimension.addresses.cells[cell] ?? {};
          return except.length === 0 ? block : `${block} but for ${except.join(", ")}`;
        })
        .join(", ");
    case "text":
      return describeTexts(dimension.texts, dimension.languages, cells);
    case "member":
      return describeTexts(dimension.texts, dimension.languages, new Set([dimension.cell]));
    case "identity":
    case "field": {
      const texts = new Set([...cells].filter((cell) => cell !== ABSENT).map((cell) => cell - 1));
      const absent = dimension.kind === "identity" ? "no identity (plaintext)" : "none";
      const present = texts.size === 0 ? [] : [describeTexts(dimension.texts, dimension.languages, texts)];
      return [...(cells.has(ABSENT) ? [absent] : []), ...present].join(", or ").replaceAll("spiffe://", "");
    }
  }
}

/** Proxies' own ports are none that anybody asks for: regions take it in or not as it suits them. */
function describePorts(ports: readonly number[], cells: ReadonlySet<number>): string {
  const other = ports.length - 1;
  const isTold = (port: number | undefined): boolean => port === undefined || !ZTUNNEL_PORTS.includes(port);
  if (!cells.has(other))
    return [...cells]
      .map((cell) => ports[cell])
      .filter(isTold)
      .join(", ");
  const missing = ports.filter((port, cell) => !cells.has(cell) && isTold(port));
  return missing.length === 0 ? "any" : `any but ${missing.join(", ")}`;
}

/** Whichever is shorter to say: what it is, or what it is not. */
export function describeTexts(
  texts: TextCells,
  languages: readonly TextLanguage[],
  cells: ReadonlySet<number>,
): string {
  const all = texts.cells.map((_, cell) => cell);
  if (cells.size === all.length) return "any";
  const work = { left: MOST_WORK };
  const positive = termsFor({ texts, languages, work }, cells, 2);
  const others = new Set(all.filter((cell) => !cells.has(cell)));
  const negative = termsFor({ texts, languages, work }, others, 2);
  const says = ({ terms, isVague }: Terms): number => terms.length + (isVague ? VAGUE : 0);
  if (says(positive) <= says(negative)) return positive.terms.join(", ");
  const but = negative.terms.join(", ");
  // A star takes any text that is not empty.
  return but === "*" ? "none" : `any but ${but}`;
}

/** Words for a set; vague where some of them are an example of what has no name. */
interface Terms {
  readonly terms: readonly string[];
  readonly isVague: boolean;
}

/** More than so many names are worse than a vague word. */
const VAGUE = 50;
/** So many texts are read more easily than the pattern that they have in common. */
const NAMES = 8;
/** So many exceptions can be read. */
const EXCEPTIONS = 3;
/** So many cells are told one by one. */
const SINGLE_CELLS = 50;
/** Looks at a cell, for the words of one set. Exceptions of exceptions of hundreds of patterns would take minutes; without them the words are worse, and as true. */
const MOST_WORK = 3_000_000;

interface Wording {
  readonly texts: TextCells;
  readonly languages: readonly TextLanguage[];
  readonly work: { left: number };
}

/** Patterns that cover the set, widest first, each with what it must not take; then single texts; then what no pattern names. */
function termsFor(wording: Wording, cells: ReadonlySet<number>, depth: number): Terms {
  const { texts, languages } = wording;
  const left = new Set(cells);
  const terms: string[] = [];
  const named = [...cells].map((cell) => texts.cells[cell]?.only);
  if (named.length <= NAMES && named.every((text) => text !== undefined)) {
    return { terms: named.map(nameOf), isVague: false };
  }
  for (const { label, inside, outside } of patternsFor(wording, cells)) {
    const more = inside.filter((cell) => left.has(cell));
    if (more.length === 0) continue;
    // A few texts are told by name, rather than as a pattern without all else that it takes.
    if (
      outside.length > 0 &&
      more.length <= NAMES &&
      more.every((cell) => texts.cells[cell]?.only !== undefined)
    )
      continue;
    const except = exceptions(wording, outside, depth);
    if (except === undefined) continue;
    terms.push(except.length === 0 ? label : `${label} (but not ${except.join(", ")})`);
    for (const cell of inside) left.delete(cell);
  }
  let isVague = false;
  const single = [...left];
  for (const cell of single.slice(0, SINGLE_CELLS)) {
    terms.push(describeCell(texts, languages, cell));
    if (texts.cells[cell]?.only === undefined) isVague = true;
  }
  if (single.length > SINGLE_CELLS) terms.push(`${single.length - SINGLE_CELLS} kinds more`);
  return { terms, isVague };
}

/** Undefined where they would be too many to read. */
function exceptions(
  wording: Wording,
  outside: readonly number[],
  depth: number,
): readonly string[] | undefined {
  if (outside.length === 0) return [];
  if (depth === 0 || wording.work.left < 0) return undefined;
  const { terms, isVague } = termsFor(wording, new Set(outside), depth - 1);
  return isVague || terms.length > EXCEPTIONS ? undefined : terms;
}

interface Pattern {
  readonly label: string;
  readonly inside: readonly number[];
  readonly outside: readonly number[];
}

function patternsFor({ texts, languages, work }: Wording, cells: ReadonlySet<number>): readonly Pattern[] {
  work.left -= languages.length * texts.cells.length;
  if (work.left < 0) return [];
  return languages
    .map(({ label }, language) => {
      const taken = texts.cells.flatMap((cell, at) => (cell.languages.has(language) ? [at] : []));
      return {
        label,
        inside: taken.filter((cell) => cells.has(cell)),
        outside: taken.filter((cell) => !cells.has(cell)),
      };
    })
    .toSorted((a, b) => a.outside.length - b.outside.length || b.inside.length - a.inside.length);
}

function nameOf(text: string): string {
  return text === "" ? "the empty text" : text;
}

function describeCell(texts: TextCells, languages: readonly TextLanguage[], at: number): string {
  const cell = texts.cells[at];
  if (cell === undefined) return "";
  if (cell.only !== undefined) return nameOf(cell.only);
  const names = [...cell.languages].map((language) => languages[language]?.label ?? "");
  if (names.length === 0) return `any that no rule names (such as ${nameOf(cell.sample)})`;
  return `${names.join(" and ")} (such as ${cell.sample})`;
}
