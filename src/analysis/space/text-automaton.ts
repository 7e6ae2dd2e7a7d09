/**
 * One automaton that runs all patterns of a dimension at once: the subset construction, with each pattern's acceptance kept. The dearest part of
 * the analysis; what needs none goes without (plain-cells.ts, identity-cells.ts).
 */
import type { TextQuestion } from "./text-division.ts";
import { CHARACTERS, type Characters, type Piece, takes } from "./text-language.ts";
import { TooComplex } from "./too-complex.ts";

const STATE_LIMIT = 20_000;
/** Places that were moved on, over all states: a second. */
const MOVE_LIMIT = 8_000_000;
const SAMPLE_LIMIT = 200_000;
const OVERLAPS = "patterns that overlap in too many ways";

interface State {
  /** Ascending. */
  readonly places: readonly number[];
  readonly accepting: string;
  readonly isText: boolean;
  /** By class of characters; filled when asked. */
  readonly next: (State | undefined)[];
}

/** A place in one language: before one of its pieces, or at its end. */
interface Place {
  readonly language: number;
  /** With those behind pieces that need not take anything. */
  readonly reach: readonly number[];
  readonly accepts: boolean;
  /** From here on the language takes whatever comes: its other places no longer matter. */
  readonly takesAll: boolean;
  /** By class of characters: the places that follow, with their reach. */
  readonly moves: readonly (readonly number[])[];
}

export class TextAutomaton {
  readonly #asked: number;
  readonly #required: number;
  readonly #places: readonly Place[];
  readonly #classes: CharacterClasses;
  readonly #states = new Map<string, State>();
  readonly #start: State;
  /** Marks, so that gathering places allocates little. */
  readonly #marks: Uint8Array;
  #moves = 0;
  #shortestByState: ReadonlyMap<State, string> | undefined = undefined;

  constructor({ languages, universe, never, alphabet, exact }: TextQuestion) {
    const all = [...languages, ...universe, ...never];
    this.#asked = languages.length;
    this.#required = languages.length + universe.length;
    this.#classes = new CharacterClasses(
      all.flatMap(({ pieces }) => pieces),
      [...alphabet, ...[...exact].join("")],
    );
    const starts: number[] = [];
    const places: Place[] = [];
    for (const [language, { pieces }] of all.entries()) {
      starts.push(places.length);
      places.push(...placesOf(language, pieces, places.length, this.#classes));
    }
    this.#places = places;
    this.#marks = new Uint8Array(places.length);
    this.#start = this.#stateOf(starts.flatMap((start) => places[start]?.reach ?? []));
  }

  /** How many states were made so far. */
  get size(): number {
    return this.#states.size;
  }

  /** Undefined where there is no such text. */
  languagesOf(text: string): ReadonlySet<number> | undefined {
    let state = this.#start;
    for (const character of text) state = this.#step(state, this.#classes.classOf(character));
    return state.isText ? languagesIn(state.accepting) : undefined;
  }

  /** One text for each set of languages that takes any besides those in `without`. */
  samples(without: ReadonlySet<string>): readonly string[] {
    const samples = new Map<string, string>();
    const taken = new Map<string, State[]>();
    for (const [state, text] of this.#shortestTexts()) {
      if (!state.isText || samples.has(state.accepting)) continue;
      if (without.has(text)) taken.set(state.accepting, [...(taken.get(state.accepting) ?? []), state]);
      else samples.set(state.accepting, text);
    }
    for (const [accepting, ends] of taken) {
      const sample = samples.has(accepting) ? undefined : this.#shortest(ends, without);
      if (sample !== undefined) samples.set(accepting, sample);
    }
    return [...samples.values()];
  }

  /** Every state that can be reached, with the first of the shortest texts that lead there; short ones first. */
  #shortestTexts(): ReadonlyMap<State, string> {
    if (this.#shortestByState !== undefined) return this.#shortestByState;
    const texts = new Map<State, string>([[this.#start, ""]]);
    // A map that grows while it is walked is walked to its end.
    for (const [state, text] of texts) {
      for (let kind = 0; kind < this.#classes.count; kind++) {
        const next = this.#step(state, kind);
        if (!texts.has(next)) texts.set(next, text + this.#classes.sampleOf(kind));
      }
    }
    this.#shortestByState = texts;
    return texts;
  }

  /** A text that leads to one of `ends` and is not in `without`: breadth first, over states from which they can still be reached. */
  #shortest(ends: readonly State[], without: ReadonlySet<string>): string | undefined {
    const useful = this.#leadingTo(ends);
    const wanted = new Set(ends);
    let words: readonly (readonly [text: string, state: State])[] = [["", this.#start]];
    for (let looked = 0; words.length > 0; looked += words.length) {
      if (looked > SAMPLE_LIMIT) throw new TooComplex("no example of a text was found in time");
      const found = words.find(([text, state]) => wanted.has(state) && !without.has(text));
      if (found !== undefined) return found[0];
      const longer: (readonly [string, State])[] = [];
      const reached = new Map<State, number>();
      for (const [text, state] of words) {
        for (let kind = 0; kind < this.#classes.count; kind++) {
          const next = this.#step(state, kind);
          // One more text of a state than could be taken away is enough to find one that is not.
          const count = reached.get(next) ?? 0;
          if (!useful.has(next) || count > without.size) continue;
          reached.set(next, count + 1);
          longer.push([text + this.#classes.sampleOf(kind), next]);
        }
      }
      words = longer;
    }
    return undefined;
  }

  #leadingTo(ends: readonly State[]): ReadonlySet<State> {
    const from = new Map<State, State[]>();
    for (const state of this.#states.values()) {
      for (const next of state.next) {
        if (next === undefined) continue;
        const known = from.get(next);
        if (known === undefined) from.set(next, [state]);
        else known.push(state);
      }
    }
    const useful = new Set(ends);
    for (const state of useful) for (const before of from.get(state) ?? []) useful.add(before);
    return useful;
  }

  #step(state: State, kind: number): State {
    const known = state.next[kind];
    if (known !== undefined) return known;
    const moved: number[] = [];
    this.#moves += state.places.length;
    if (this.#moves > MOVE_LIMIT) throw new TooComplex(OVERLAPS);
    for (const place of state.places) moved.push(...(this.#places[place]?.moves[kind] ?? []));
    const next = this.#stateOf(moved);
    state.next[kind] = next;
    return next;
  }

  /** Each once; of a language that takes all from here on, that place alone. */
  #distinct(places: readonly number[]): readonly number[] {
    const kept: number[] = [];
    const satisfied = new Set<number>();
    for (const at of places) {
      const place = this.#places[at];
      if (place?.takesAll === true) satisfied.add(place.language);
    }
    for (const at of places) {
      const place = this.#places[at];
      if (place === undefined || this.#marks[at] === 1) continue;
      if (!place.takesAll && satisfied.has(place.language)) continue;
      this.#marks[at] = 1;
      kept.push(at);
    }
    for (const at of kept) this.#marks[at] = 0;
    return kept.sort((a, b) => a - b);
  }

  #stateOf(reached: readonly number[]): State {
    const places = this.#distinct(reached);
    const key = String.fromCodePoint(...places.map(characterOf));
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (this.#states.size >= STATE_LIMIT) throw new TooComplex(OVERLAPS);
    const accepted = new Set<number>();
    for (const at of places) {
      const place = this.#places[at];
      if (place?.accepts === true) accepted.add(place.language);
    }
    const languages = [...accepted];
    const state: State = {
      places,
      accepting: languages.filter((language) => language < this.#asked).join(),
      isText:
        languages.every((language) => language < this.#required) &&
        languages.filter((language) => language >= this.#asked).length === this.#required - this.#asked,
      next: [],
    };
    this.#states.set(key, state);
    return state;
  }
}

/** @param first the number of the first of them. */
function placesOf(
  language: number,
  pieces: readonly Piece[],
  first: number,
  classes: CharacterClasses,
): readonly Place[] {
  const reachOf = (at: number): readonly number[] => {
    const reach = [first + at];
    for (let next = at; pieces[next]?.times === "any"; next++) reach.push(first + next + 1);
    return reach;
  };
  const isAll = (piece: Piece | undefined): boolean =>
    piece?.times === "any" && piece.characters.but && piece.characters.text === "";
  return Array.from({ length: pieces.length + 1 }, (_, at) => {
    const piece = pieces[at];
    const reach = reachOf(at);
    const after =
      piece === undefined ? [] : piece.times === "one" ? reachOf(at + 1) : [...reach, ...reachOf(at + 1)];
    const moves = Array.from({ length: classes.count }, (_unused, kind) =>
      piece !== undefined && takes(piece.characters, classes.sampleOf(kind)) ? after : NOWHERE,
    );
    return {
      language,
      reach,
      // The last piece that need not take anything ends the language already.
      accepts: at === pieces.length || (at === pieces.length - 1 && isAll(piece)),
      takesAll: at === pieces.length - 1 && isAll(piece),
      moves,
    };
  });
}

/** A number as a character, past those that come in pairs. */
function characterOf(place: number): number {
  return place < 0xd800 ? place : place + 0x800;
}

const NOWHERE: readonly number[] = [];

function languagesIn(accepting: string): ReadonlySet<number> {
  return new Set(accepting === "" ? [] : accepting.split(",").map(Number));
}

/** Characters that no piece tells apart are one; its sample is the first of the preferred. */
class CharacterClasses {
  readonly #samples: string[] = [];
  readonly #kinds = new Map<string, number>();
  readonly #sets: readonly Characters[];
  readonly #bySet = new Map<string, number>();

  constructor(pieces: readonly Piece[], preferred: readonly string[]) {
    this.#sets = [
      ...new Map(pieces.map(({ characters }) => [JSON.stringify(characters), characters])).values(),
    ];
    const named = this.#sets.flatMap(({ text }) => [...text]);
    for (const character of new Set([...preferred, ...named, ...CHARACTERS])) {
      const kind = this.#sets.map((set) => (takes(set, character) ? "1" : "0")).join("");
      const known = this.#bySet.get(kind);
      this.#kinds.set(character, known ?? this.#samples.length);
      if (known !== undefined) continue;
      this.#bySet.set(kind, this.#samples.length);
      this.#samples.push(character);
    }
  }

  get count(): number {
    return this.#samples.length;
  }

  sampleOf(kind: number): string {
    return this.#samples[kind] as string;
  }

  /** A character that no set names is as any other such. */
  classOf(character: string): number {
    const known = this.#kinds.get(character);
    if (known !== undefined) return known;
    const kind = this.#sets.map((set) => (takes(set, character) ? "1" : "0")).join("");
    const made = this.#bySet.get(kind);
    if (made === undefined) throw new Error("BUG: the alphabet has no character that no pattern names");
    return made;
  }
}
