/** Regions in words. */
import { sanitizeAudience } from "../../policy/jwt/audience.ts";
import type { JoinedRegion } from "./alternatives.ts";
import { ZTUNNEL_PORTS } from "./ambient-server.ts";
import { type Aspect, claim } from "./aspect.ts";
import { describeTexts } from "./describe-texts.ts";
import { ABSENT, type Dimension, HTTP } from "./dimension.ts";
import type { Region } from "./regions.ts";

/** What a region says of one dimension: `paths`, `/a*, except /a/b`. */
export interface Saying {
  readonly id: string;
  readonly title: string;
  readonly text: string;
}

/** In the order of the dimensions. Those that a region leaves open are not said. */
export function describeRegion(dimensions: readonly Dimension[], region: Region): readonly Saying[] {
  return describeJoined(dimensions, { region, anyOf: [] });
}

/** As {@link describeRegion}; of what its regions differ in, that one of it suffices. */
export function describeJoined(
  dimensions: readonly Dimension[],
  { region, anyOf }: Pick<JoinedRegion, "region" | "anyOf">,
): readonly Saying[] {
  const sayings: Saying[] = [];
  const members = new Map<string, MemberWords>();
  const wordsOf = ({ id, title }: Aspect): MemberWords => {
    const known = members.get(id) ?? { title, has: [], lacks: [], choices: [] };
    members.set(id, known);
    return known;
  };
  for (const [place, cells] of [...region].toSorted(([a], [b]) => a - b)) {
    const dimension = dimensions[place];
    if (dimension === undefined) continue;
    if (dimension.kind !== "member") {
      sayings.push({ id: dimension.id, title: dimension.title, text: describeCells(dimension, cells) });
      continue;
    }
    const { has, lacks } = wordsOf(dimension.aspect);
    (cells.has(1) ? has : lacks).push(describeCells(dimension, cells));
  }
  for (const places of anyOf) {
    const choices = places.map((place) => dimensions[place]).filter((one) => one?.kind === "member");
    const [first] = choices;
    if (first === undefined) continue;
    wordsOf(first.aspect).choices.push(choices.map((choice) => describeCells(choice, WHOLE)));
  }
  for (const [id, words] of members) sayings.push({ id, title: words.title, text: memberText(id, words) });
  return sayings;
}

/** What a request's texts of one name are to have, not to have, and to have one of. */
interface MemberWords {
  readonly title: string;
  readonly has: string[];
  readonly lacks: string[];
  readonly choices: (readonly string[])[];
}

/** A member's words do not hang on whether it is there. */
const WHOLE: ReadonlySet<number> = new Set([1]);

function memberText(id: string, { has, lacks, choices }: MemberWords): string {
  const needed = [...has, ...choices.map((texts) => choiceText(id, texts))];
  return [
    ...(needed.length === 0 ? [] : [`with ${needed.join(" and ")}`]),
    ...(lacks.length === 0 ? [] : [`without ${namesOf(id, lacks).join(" and ")}`]),
  ].join(", ");
}

const AUDIENCES = claim("[aud]").id;
/** What {@link sanitizeAudience} takes for one. */
const SPELLINGS = 6;

function choiceText(id: string, texts: readonly string[]): string {
  const named = namesOf(id, texts);
  return named.length === 1 ? `${named[0]}` : `one of ${named.join(", ")}`;
}

/** An audience in all spellings that count as equal is told once. */
function namesOf(id: string, texts: readonly string[]): readonly string[] {
  if (id !== AUDIENCES) return texts;
  const byName = Map.groupBy(texts, sanitizeAudience);
  return [...byName].flatMap(([name, spellings]) =>
    spellings.length === SPELLINGS
      ? [`${name} (with or without http://, https:// and a / behind)`]
      : spellings,
  );
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
