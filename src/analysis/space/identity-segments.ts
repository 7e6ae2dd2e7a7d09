/** What a pattern over whole identities says of each of their three names. */
import { any, type Piece, type TextLanguage, takes, takesText } from "./text-language.ts";

/** Of the trust domain, the namespace and the account; undefined where any name is taken. `exact`: one name alone. */
export type SegmentPatterns = readonly [
  trustDomain: SegmentPattern | undefined,
  namespace: SegmentPattern | undefined,
  account: SegmentPattern | undefined,
];

export interface SegmentPattern {
  readonly pieces: readonly Piece[];
  readonly exact?: string;
}

/** What every identity has between its slashes; undefined: a name. */
const TEMPLATE: readonly (string | undefined)[] = [
  "spiffe:",
  "",
  undefined,
  "ns",
  undefined,
  "sa",
  undefined,
];

/** Invariants are looked at beside the policies of every workload. */
const KNOWN = new WeakMap<TextLanguage, { readonly patterns: SegmentPatterns | "none" | undefined }>();

/** @returns `none`: it takes no identity. Undefined: what it says of one name hangs on another. */
export function segmentPatterns(language: TextLanguage): SegmentPatterns | "none" | undefined {
  const known = KNOWN.get(language) ?? { patterns: patternsIn(language) };
  KNOWN.set(language, known);
  return known.patterns;
}

function patternsIn({ pieces }: TextLanguage): SegmentPatterns | "none" | undefined {
  const chunks = chunksOf(pieces);
  if (chunks === undefined) return undefined;
  if (chunks.length > TEMPLATE.length) return "none";
  const patterns: (SegmentPattern | undefined)[] = [];
  for (const [at, fixed] of TEMPLATE.entries()) {
    const chunk = chunks[at];
    const own = chunk === undefined ? ANYTHING : chunk;
    if (fixed === undefined) patterns.push(isAnything(own) ? undefined : patternOf(own));
    else if (!takesText(own, fixed)) return "none";
  }
  if (patterns.some((pattern) => pattern?.exact === "")) return "none";
  const [trustDomain, namespace, account] = patterns;
  return [trustDomain, namespace, account];
}

const ANYTHING: readonly Piece[] = [any()];

/**
 * One list of pieces for each place of an identity from its beginning, or `undefined` for places that are left open. Slashes part the places: a
 * piece that takes one besides other characters may only stand at the beginning or the end, where all before or behind is open.
 */
function chunksOf(pieces: readonly Piece[]): readonly (readonly Piece[] | undefined)[] | undefined {
  const chunks: Piece[][] = [[]];
  for (const piece of pieces) {
    if (isSlash(piece)) chunks.push([]);
    else chunks.at(-1)?.push(piece);
  }
  const opens = chunks.flatMap((chunk, at) =>
    chunk.flatMap((piece, index) => (takes(piece.characters, "/") ? [{ at, index, piece }] : [])),
  );
  // Nothing but what takes a text as it comes.
  if (pieces.length === 1 && opens.length === 1)
    return isOpen(pieces[0]) || isFilled(pieces[0]) ? [] : undefined;
  const last = chunks.length - 1;
  const isTail = ({ at, index, piece }: Open): boolean =>
    at === last && index === (chunks[at]?.length ?? 0) - 1 && isOpen(piece);
  const isHead = ({ at, index, piece }: Open): boolean => at === 0 && index === 0 && isOpen(piece);
  const [open, second, ...more] = opens;
  if (open === undefined) return chunks.length === TEMPLATE.length ? chunks : NOTHING;
  if (second === undefined) {
    if (isTail(open)) return chunks;
    if (!isHead(open)) return undefined;
    const missing = TEMPLATE.length - chunks.length;
    return missing < 0 ? NOTHING : [...Array.from({ length: missing }, () => undefined), ...chunks];
  }
  return more.length === 0 && isTail(second) && isOpen(open.piece) ? openBefore(chunks, open) : undefined;
}

interface Open {
  readonly at: number;
  readonly index: number;
  readonly piece: Piece;
}

/** More places than there are. */
const NOTHING: readonly undefined[] = Array.from({ length: TEMPLATE.length + 1 }, () => undefined);

/** `a*` and then a slash and anything: another slash always comes, but for the last place. */
function openBefore(
  chunks: readonly (readonly Piece[])[],
  { at, index }: Open,
): readonly (readonly Piece[])[] | undefined {
  const isEnd = at === chunks.length - 2 && index === (chunks[at]?.length ?? 0) - 1;
  const isAllBehind = chunks.at(-1)?.length === 1;
  return isEnd && isAllBehind && at < TEMPLATE.length - 1 && at > 0 ? chunks.slice(0, -1) : undefined;
}

function isSlash({ times, characters }: Piece): boolean {
  return times === "one" && !characters.but && characters.text === "/";
}

function isOpen(piece: Piece | undefined): boolean {
  return piece?.times === "any" && piece.characters.but && piece.characters.text === "";
}

function isFilled(piece: Piece | undefined): boolean {
  return piece?.times === "some" && piece.characters.but && piece.characters.text === "";
}

/** Names are not empty and have no slash, so that all of these take every one. */
function isAnything(pieces: readonly Piece[]): boolean {
  const [only, ...others] = pieces;
  if (only === undefined || others.length > 0 || only.times === "one" || !only.characters.but) return false;
  return only.characters.text === "" || only.characters.text === "/";
}

function patternOf(pieces: readonly Piece[]): SegmentPattern {
  const isOne = pieces.every(
    ({ times, characters }) => times === "one" && !characters.but && [...characters.text].length === 1,
  );
  return isOne
    ? { pieces, exact: pieces.map(({ characters }) => characters.text).join("") }
    : { pieces: pieces.map(withoutSlash) };
}

/** A name has none: whether a star takes one makes no difference. */
function withoutSlash(piece: Piece): Piece {
  const { times, characters } = piece;
  return times === "any" && characters.but && characters.text === "/" ? any() : piece;
}
