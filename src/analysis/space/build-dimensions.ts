/** From what policies name to the dimensions of the space in which they decide. */
import { isAuthority } from "../../policy/authority.ts";
import { parseIpAddress } from "../../policy/ip-address.ts";
import type { JwtLocations } from "../../policy/jwt/jwt-policy.ts";
import { normalizePath, type PathNormalization } from "../../policy/normalize-path.ts";
import { addressCells } from "./address-cells.ts";
import { AnalysisLimit } from "./analysis-limit.ts";
import { type Aspect, HOST, IDENTITY, METHOD, PATH } from "./aspect.ts";
import type { Atoms } from "./atoms.ts";
import type { Dimension, MemberDimension, TextDimension } from "./dimension.ts";
import { identityCells } from "./identity-cells.ts";
import { textCells } from "./text-cells.ts";
import {
  ALL,
  any,
  containing,
  endingWith,
  literal,
  one,
  type Piece,
  some,
  startingWith,
  type TextLanguage,
} from "./text-language.ts";
import { TooComplex } from "./too-complex.ts";

export interface SpaceSettings {
  readonly pathNormalization: PathNormalization;
  /** Issuers whose tokens servers take. */
  readonly issuers: readonly string[];
  /** Where a token that does not verify is found by who verifies, if others take no notice of it; null or absent: there is nothing to tell apart. */
  readonly unverified?: JwtLocations | null;
  /** Whether server names of TLS are DNS names or none, others being refused before any policy looks; `any` without. */
  readonly serverNames?: "any" | "dns";
}

type DividedTexts = Pick<TextDimension, "texts" | "languages">;

/** In the order in which diagrams ask for them: first what most rules name, and what decides whether the rest counts. */
export function buildDimensions(atoms: Atoms, settings: SpaceSettings): readonly Dimension[] {
  const aspects = [...atoms.aspects.values()];
  const of = (kind: Aspect["kind"]): readonly Aspect[] =>
    aspects.filter((aspect) => aspect.kind === kind).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const texts = (id: string, universe: Universe): DividedTexts => divide(atoms, id, universe);
  const identities = texts("identity", SPIFFE_IDS);
  return [
    portDimension(atoms.ports),
    { id: "protocol", title: "protocols", kind: "protocol", size: 2 },
    {
      id: "identity",
      title: "identities",
      kind: "identity",
      size: identities.texts.cells.length + 1,
      ...identities,
    },
    ...of("address").map((aspect) => addressDimension(aspect, atoms)),
    ...(settings.issuers.length === 0 ? [] : [tokenDimension(settings)]),
    ...of("text")
      .filter(({ id }) => id === "sni")
      .map((aspect) =>
        textDimension(aspect, texts(aspect.id, settings.serverNames === "dns" ? DNS_NAMES : NAMES)),
      ),
    textDimension(METHOD, methods(atoms)),
    textDimension(HOST, hosts(texts("host", HOSTS))),
    textDimension(PATH, texts("path", pathsOf(settings.pathNormalization))),
    ...of("field").map((aspect) => fieldDimension(aspect, texts(aspect.id, VALUES))),
    ...of("many").flatMap((aspect) => memberDimensions(aspect, texts(aspect.id, VALUES))),
  ];
}

/** What texts there are. */
interface Universe {
  readonly all: readonly TextLanguage[];
  readonly never: readonly TextLanguage[];
  /** Preferred in examples, in this order. */
  readonly alphabet: string;
  /** Whether a text that a policy names can ever come. */
  readonly has?: (text: string) => boolean;
}

function language(label: string, ...pieces: readonly Piece[]): TextLanguage {
  return { label, pieces };
}

const SEGMENT = some({ but: true, text: "/" });
const SPIFFE_ID = language(
  "SPIFFE ID",
  ...literal("spiffe://"),
  SEGMENT,
  ...literal("/ns/"),
  SEGMENT,
  ...literal("/sa/"),
  SEGMENT,
);
const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";
const SPIFFE_IDS: Universe = { all: [SPIFFE_ID], never: [], alphabet: `x${LETTERS}-.:/` };
const VALUES: Universe = { all: [], never: [], alphabet: `x${LETTERS}-._/` };
const NAMES: Universe = { all: [], never: [], alphabet: `x${LETTERS}-.` };
/** As Bulwark's proxies read a ClientHello: labels of letters, digits, hyphens and underscores, the last of which is no number. */
const DNS_NAME =
  /^(?!(?:.*\.)?\d+$)(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;
const DIGITS = { but: false, text: "0123456789" };
const HEX_DIGITS = { but: false, text: "0123456789abcdef" };
const DNS_NAMES: Universe = {
  all: [language("server name", any({ but: false, text: `${LETTERS}-_.` }))],
  never: [
    ...[".", "-"].map(startingWith),
    ...[".", "-"].map(endingWith),
    ...["..", ".-", "-."].map(containing),
    language("number", some(DIGITS)),
    language("number at the end", any(), one("."), some(DIGITS)),
    language("hexadecimal", ...literal("0x"), any(HEX_DIGITS)),
    language("hexadecimal at the end", any(), ...literal(".0x"), any(HEX_DIGITS)),
  ],
  alphabet: `x${LETTERS}-.`,
  has: (text) => text === "" || DNS_NAME.test(text),
};
/** Letters are the lower ones: hosts are compared so. */
const HOST_CHARACTERS = `x${LETTERS}-_.:[]`;
const NAME = some({ but: true, text: "[" });
const HOSTS: Universe = {
  all: [language("host", some({ but: false, text: HOST_CHARACTERS }))],
  never: [
    startingWith("."),
    containing(".."),
    startingWith(":"),
    endingWith(":"),
    language("port", any(), ...literal(":"), one("ghijklmnopqrstuvwxyz-_."), any()),
    language("inner bracket", some(ALL), ...literal("["), any()),
    // Hexadecimal digits and more than one colon are for addresses in brackets.
    language("port of letters", NAME, ...literal(":"), any(), one("abcdef"), any()),
    language("port of letters behind brackets", any(), ...literal("]:"), any(), one("abcdef:]."), any()),
    language(
      "anything else behind brackets",
      any(),
      ...literal("]"),
      { characters: { but: true, text: ":" }, times: "one" },
      any(),
    ),
    language("two ports", NAME, ...literal(":"), any(), ...literal(":"), any()),
  ],
  alphabet: HOST_CHARACTERS,
  has: isAuthority,
};
const TOKEN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~";
const METHOD_NAMES: Universe = {
  all: [language("token", some({ but: false, text: TOKEN }))],
  never: [],
  alphabet: TOKEN,
};

/** With the usual ones apart, so that examples have them. */
function methods(atoms: Atoms): DividedTexts {
  atoms.textsOf("method").exact.add("GET");
  return divide(atoms, "method", METHOD_NAMES);
}

/** An example that no proxy would read as a host would be no example. */
function hosts(divided: DividedTexts): DividedTexts {
  const odd = divided.texts.cells.find(({ sample }) => !isAuthority(sample));
  if (odd !== undefined) throw new AnalysisLimit(`no host was found that is like \`${odd.sample}\``);
  return divided;
}

/** Paths as they are once they are normal: others are none that rules see. */
function pathsOf(mode: PathNormalization): Universe {
  const known = PATHS.get(mode);
  if (known !== undefined) return known;
  const made = normalPaths(mode);
  PATHS.set(mode, made);
  return made;
}

const PATHS = new Map<PathNormalization, Universe>();

function normalPaths(mode: PathNormalization): Universe {
  const canonical = mode === "NONE" ? [] : ["/./", "/../", "\\"];
  const merged = mode.includes("MERGE_SLASHES") ? ["//"] : [];
  const ends = mode === "NONE" ? [] : ["/.", "/.."];
  return {
    all: [startingWith("/")],
    never: [...["?", "#", " ", ...canonical, ...merged].map(containing), ...ends.map(endingWith)],
    alphabet: `x${LETTERS}/-.`,
    has: (text) => normalizePath(mode, text) === text,
  };
}

function divide(atoms: Atoms, id: string, universe: Universe): DividedTexts {
  const { exact, languages } = atoms.textsOf(id);
  const key = JSON.stringify([[...languages.keys()], [...exact]]);
  const known = DIVIDED.get(universe) ?? new Map<string, DividedTexts>();
  DIVIDED.set(universe, known);
  const found = known.get(key);
  if (found !== undefined) return found;
  const made = telling(atoms, id, () => divideAnew([...languages.values()], exact, universe));
  const [oldest] = known.keys();
  if (known.size >= KEPT_DIVISIONS && oldest !== undefined) known.delete(oldest);
  known.set(key, made);
  return made;
}

/** @throws {TooComplex} as `make` does, with the name of what is divided. */
function telling<T>(atoms: Atoms, id: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof TooComplex)) throw error;
    const named = [METHOD, HOST, PATH, IDENTITY].find((aspect) => aspect.id === id);
    throw new TooComplex(error.reason, (named ?? atoms.aspects.get(id))?.title);
  }
}

/** Workloads whose policies name the same methods and paths are many. By what there is to be divided, and what divides it. */
const DIVIDED = new WeakMap<Universe, Map<string, DividedTexts>>();
const KEPT_DIVISIONS = 64;

function divideAnew(
  languages: readonly TextLanguage[],
  named: ReadonlySet<string>,
  { all, never, alphabet, has = () => true }: Universe,
): DividedTexts {
  const exact = new Set([...named].filter(has));
  const question = { universe: all, never, languages, exact, alphabet };
  const identities = all.includes(SPIFFE_ID) ? identityCells(question) : undefined;
  return { texts: identities ?? textCells(question), languages };
}

/** The usual ports first, as examples; the last cell is any other. */
function portDimension(named: ReadonlySet<number>): Dimension {
  const other = [8080, 80, 9090, 7070, 6060].find((port) => !named.has(port)) ?? unusedPort(named);
  const ports = [...[...named].sort((a, b) => a - b), other];
  return { id: "port", title: "ports", kind: "port", ports, size: ports.length };
}

function unusedPort(named: ReadonlySet<number>): number {
  for (let port = 1024; port < 65536; port++) if (!named.has(port)) return port;
  return 0;
}

function addressDimension({ id, title }: Aspect, atoms: Atoms): Dimension {
  const addresses = addressCells(atoms.blocks.get(id) ?? []);
  return { id, title, kind: "address", addresses, size: addresses.cells.length };
}

function tokenDimension({ issuers, unverified = null }: SpaceSettings): Dimension {
  const size = issuers.length + (unverified === null ? 1 : 2);
  return { id: "token", title: "token issuers", kind: "token", issuers, unverified, size };
}

function textDimension({ id, title }: Aspect, divided: DividedTexts): TextDimension {
  return { id, title, kind: "text", size: divided.texts.cells.length, ...divided };
}

function fieldDimension({ id, title }: Aspect, divided: DividedTexts): TextDimension {
  return { id, title, kind: "field", size: divided.texts.cells.length + 1, ...divided };
}

function memberDimensions(aspect: Aspect, divided: DividedTexts): readonly MemberDimension[] {
  return divided.texts.cells.map((_, cell) => ({
    id: `${aspect.id} ${cell}`,
    title: aspect.title,
    kind: "member",
    aspect,
    cell,
    size: 2,
    ...divided,
  }));
}

/** The cell of an address; undefined where it is none. */
export function cellOfAddress(dimension: Dimension, text: string): number | undefined {
  const address = dimension.kind === "address" ? parseIpAddress(text) : undefined;
  return address === undefined || dimension.kind !== "address"
    ? undefined
    : dimension.addresses.cellOf(address);
}
