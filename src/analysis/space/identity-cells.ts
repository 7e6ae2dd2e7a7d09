/**
 * Cells of identities, `spiffe://<trust domain>/ns/<namespace>/sa/<account>`. Nearly every pattern that policies write says something of each of
 * the three names apart, so that the names are divided one by one and cells are products: without the automaton of whole texts, which
 * took five sixths of the time of `verify`. What says more than that is left to it.
 */
import { type SegmentPatterns, segmentPatterns } from "./identity-segments.ts";
import { textCells } from "./text-cells.ts";
import { divisionOf, type TextCells, type TextQuestion } from "./text-division.ts";
import { some, type TextLanguage } from "./text-language.ts";
import { byAlphabet } from "./text-order.ts";
import { TooComplex } from "./too-complex.ts";

type IdentityQuestion = Pick<TextQuestion, "languages" | "exact" | "alphabet">;

const PRODUCT_LIMIT = 500_000;
const SEGMENT: TextLanguage = { label: "segment", pieces: [some({ but: true, text: "/" })] };
const SPIFFE_ID = /^spiffe:\/\/([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/s;

/**
 * As {@link textCells} divides the identities of a mesh, and with the same examples.
 * @returns undefined where names cannot be looked at one by one.
 */
export function identityCells({ languages, exact, alphabet }: IdentityQuestion): TextCells | undefined {
  const patterns = languages.map(segmentPatterns);
  if (!patterns.every((pattern) => pattern !== undefined)) return undefined;
  const division = new Division(patterns, alphabet);
  const examples = division.examples(exact);
  if (examples === undefined) return undefined;
  return divisionOf(exact, examples, (text) => {
    const taken = division.languagesOf(text);
    return taken === undefined ? undefined : new Set(taken);
  });
}

/** The names of one place, divided. */
interface Names {
  readonly cells: readonly { readonly sample: string; readonly isOne: boolean }[];
  readonly cellOf: (name: string) => number | undefined;
  /** By cell: the languages that say something of this place, and take the cell. */
  readonly takenBy: readonly (readonly number[])[];
}

class Division {
  readonly #names: readonly [Names, Names, Names];
  /** Of how many places each language says something; {@link NEVER} where it takes no identity. */
  readonly #needs: readonly number[];
  readonly #always: readonly number[];
  readonly #order: (a: string, b: string) => number;

  constructor(patterns: readonly (SegmentPatterns | "none")[], alphabet: string) {
    const at = (place: 0 | 1 | 2): Names =>
      namesFor(
        patterns.map((pattern) => (pattern === "none" ? undefined : pattern[place])),
        alphabet,
      );
    this.#names = [at(0), at(1), at(2)];
    this.#needs = patterns.map((pattern) =>
      pattern === "none" ? NEVER : pattern.filter((own) => own !== undefined).length,
    );
    this.#always = this.#needs.flatMap((need, language) => (need === 0 ? [language] : []));
    this.#order = byAlphabet(alphabet);
  }

  /** Indices in ascending order; undefined where there is no such identity. */
  languagesOf(text: string): readonly number[] | undefined {
    const names = SPIFFE_ID.exec(text)?.slice(1);
    const cells = names?.map((name, place) => this.#names[place]?.cellOf(name));
    const [trustDomain, namespace, account] = cells ?? [];
    if (trustDomain === undefined || namespace === undefined || account === undefined) return undefined;
    return this.#taking(trustDomain, namespace, account);
  }

  /** Of each cell of more than single texts the first, in their order. Undefined where one would have to be looked for. */
  examples(exact: ReadonlySet<string>): readonly string[] | undefined {
    const [trustDomains, namespaces, accounts] = this.#names;
    if (trustDomains.cells.length * namespaces.cells.length * accounts.cells.length > PRODUCT_LIMIT)
      throw new TooComplex("patterns of identities that overlap in too many ways");
    const found = new Map<string, string>();
    for (const [at, { sample: trustDomain, isOne: isOneDomain }] of trustDomains.cells.entries()) {
      for (const [place, { sample: namespace, isOne: isOneNamespace }] of namespaces.cells.entries()) {
        for (const [own, { sample: account, isOne: isOneAccount }] of accounts.cells.entries()) {
          const sample = `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;
          if (exact.has(sample)) {
            // Of one text, which stands apart, nothing is left.
            if (isOneDomain && isOneNamespace && isOneAccount) continue;
            return undefined;
          }
          const languages = this.#taking(at, place, own).join();
          const known = found.get(languages);
          if (known === undefined || this.#order(sample, known) < 0) found.set(languages, sample);
        }
      }
    }
    return [...found.values()].sort(this.#order);
  }

  /** The languages that take what these cells have in common. */
  #taking(...cells: readonly [trustDomain: number, namespace: number, account: number]): readonly number[] {
    const counts = new Map<number, number>();
    for (const [place, names] of this.#names.entries())
      for (const language of names.takenBy[cells[place] ?? 0] ?? [])
        counts.set(language, (counts.get(language) ?? 0) + 1);
    const taking = [...this.#always];
    for (const [language, count] of counts) if (count === this.#needs[language]) taking.push(language);
    return taking.sort((a, b) => a - b);
  }
}

const NEVER = 4;

/** @param patterns by language; undefined where it says nothing of this place. */
function namesFor(patterns: readonly (SegmentPatterns[number] | undefined)[], alphabet: string): Names {
  const exact = new Set(patterns.flatMap((own) => (own?.exact === undefined ? [] : [own.exact])));
  const others = patterns.flatMap((own, language) =>
    own !== undefined && own.exact === undefined ? [{ language, pieces: own.pieces }] : [],
  );
  const divided =
    others.length === 0
      ? exactNames(exact, alphabet)
      : textCells({
          universe: [SEGMENT],
          never: [],
          languages: others.map(({ pieces }) => ({ label: "", pieces })),
          exact,
          alphabet: alphabet.replaceAll("/", ""),
        });
  const byName = new Map<string, number[]>();
  for (const [language, own] of patterns.entries()) {
    if (own?.exact === undefined) continue;
    const known = byName.get(own.exact);
    if (known === undefined) byName.set(own.exact, [language]);
    else known.push(language);
  }
  return {
    cells: divided.cells.map(({ sample, only }) => ({ sample, isOne: only !== undefined })),
    cellOf: divided.cellOf,
    takenBy: divided.cells.map(({ only, languages }) => [
      ...(only === undefined ? [] : (byName.get(only) ?? [])),
      ...[...languages].map((at) => others[at]?.language ?? 0),
    ]),
  };
}

const NO_LANGUAGES: ReadonlySet<number> = new Set();

/** Single names, and any other first. */
function exactNames(exact: ReadonlySet<string>, alphabet: string): TextCells {
  const named = [...exact].map((text) => ({ sample: text, only: text, languages: NO_LANGUAGES }));
  const byText = new Map(named.map(({ only }, at) => [only, at + 1]));
  return {
    cells: [{ sample: firstOther(exact, alphabet), languages: NO_LANGUAGES }, ...named],
    cellOf: (text) => byText.get(text) ?? 0,
  };
}

/** Of the shortest names that are none of these, the first in the alphabet's order. */
function firstOther(taken: ReadonlySet<string>, alphabet: string): string {
  const characters = [...new Set(alphabet)].filter((character) => character !== "/");
  const names = [""];
  // A list that grows while it is walked: it ends with the first name that is not taken.
  for (const name of names) {
    for (const character of characters) {
      const longer = name + character;
      if (!taken.has(longer)) return longer;
      names.push(longer);
    }
  }
  throw new Error("BUG: an alphabet without characters");
}
