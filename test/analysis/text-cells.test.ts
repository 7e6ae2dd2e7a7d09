import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { plainCells } from "../../src/analysis/space/plain-cells.ts";
import { automatonCells, textCells } from "../../src/analysis/space/text-cells.ts";
import type { TextCells } from "../../src/analysis/space/text-division.ts";
import {
  any,
  containing,
  endingWith,
  exactly,
  literal,
  NOT_EMPTY,
  some,
  startingWith,
  type TextLanguage,
} from "../../src/analysis/space/text-language.ts";

const SEED = 20261122;
const RUNS = 50 * Number(process.env.ANALYSIS_RUNS ?? 6);
const NO_SLASH = { but: true, text: "/" };

/** Each language with what it says, written without automata. */
const LANGUAGES: readonly (readonly [TextLanguage, (text: string) => boolean])[] = [
  [startingWith("/a"), (text) => text.startsWith("/a")],
  [startingWith("/ab/"), (text) => text.startsWith("/ab/")],
  [startingWith(""), () => true],
  [endingWith("a"), (text) => text.endsWith("a")],
  [endingWith("/ab"), (text) => text.endsWith("/ab")],
  [containing("ba"), (text) => text.includes("ba")],
  [exactly("/ab"), (text) => text === "/ab"],
  [{ label: "segment", pieces: [...literal("/"), some(NO_SLASH)] }, (text) => /^\/[^/]+$/s.test(text)],
  [
    {
      label: "two",
      pieces: [...literal("/"), some(NO_SLASH), ...literal("/"), any(NO_SLASH), ...literal("b")],
    },
    (text) => /^\/[^/]+\/[^/]*b$/s.test(text),
  ],
];

const UNIVERSES: readonly (readonly [
  readonly TextLanguage[],
  readonly TextLanguage[],
  (text: string) => boolean,
])[] = [
  [[], [], () => true],
  [[startingWith("/")], [containing("//")], (text) => text.startsWith("/") && !text.includes("//")],
];

const arbitraryText = fc.string({ unit: fc.constantFrom("/", "a", "b", "c", "é"), maxLength: 7 });

test("a text is in the cell of the languages that take it, or nowhere when there is no such text", () => {
  fc.assert(
    fc.property(
      fc.subarray([...LANGUAGES]),
      fc.constantFrom(...UNIVERSES),
      fc.uniqueArray(arbitraryText, { maxLength: 4 }),
      fc.array(arbitraryText, { minLength: 20, maxLength: 20 }),
      (chosen, [universe, never, isText], exact, texts) => {
        const { cells, cellOf } = textCells({
          universe,
          never,
          languages: chosen.map(([language]) => language),
          exact: new Set(exact),
          alphabet: "abc",
        });
        for (const text of [...texts, ...exact]) {
          const cell = cellOf(text);
          assert.equal(cell !== undefined, isText(text), text);
          if (cell === undefined) continue;
          const { languages, only } = cells[cell] ?? assert.fail();
          assert.deepEqual(
            chosen.map((_, at) => languages.has(at)),
            chosen.map(([, takes]) => takes(text)),
            text,
          );
          assert.equal(only, exact.includes(text) ? text : undefined);
        }
      },
    ),
    { seed: SEED, numRuns: RUNS },
  );
});

test("every cell has an example, which is in it, and of which none is shorter", () => {
  const short = allTexts(["a", "b", "c", "/"], 4);
  fc.assert(
    fc.property(
      fc.subarray([...LANGUAGES]),
      fc.constantFrom(...UNIVERSES),
      fc.uniqueArray(arbitraryText, { maxLength: 4 }),
      (chosen, [universe, never], exact) => {
        const { cells, cellOf } = textCells({
          universe,
          never,
          languages: chosen.map(([language]) => language),
          exact: new Set(exact),
          alphabet: "abc",
        });
        for (const [at, { sample }] of cells.entries()) assert.equal(cellOf(sample), at);
        for (const text of short) {
          const cell = cellOf(text);
          if (cell !== undefined) assert.ok((cells[cell]?.sample.length ?? Infinity) <= text.length, text);
        }
      },
    ),
    { seed: SEED, numRuns: 60 },
  );
});

function allTexts(characters: readonly string[], length: number): readonly string[] {
  if (length === 0) return [""];
  const shorter = allTexts(characters, length - 1);
  return ["", ...shorter.flatMap((text) => characters.map((character) => text + character))];
}

const arbitraryPattern = fc
  .tuple(fc.constantFrom(startingWith, endingWith), arbitraryText)
  .map(([make, text]) => make(text));
const LETTERS = { but: false, text: "/abc" };

function placeIn({ cells, cellOf }: TextCells, text: string): unknown {
  const { only, languages } = cells[cellOf(text) ?? -1] ?? {};
  return [only, languages];
}

test("beginnings and ends are divided without an automaton as with one, and the examples are no longer", () => {
  let plain = 0;
  fc.assert(
    fc.property(
      fc.array(arbitraryPattern, { maxLength: 5 }),
      fc.boolean(),
      fc.constantFrom(
        [[], []],
        [[startingWith("/")], ["//", "/./"].map(containing)],
        [[{ label: "letters", pieces: [some(LETTERS)] }], [startingWith("."), endingWith("/")]],
      ),
      fc.uniqueArray(arbitraryText, { maxLength: 4 }),
      fc.array(arbitraryText, { minLength: 10, maxLength: 10 }),
      (patterns, isFilled, [universe = [], never = []], exact, texts) => {
        const languages = [
          ...new Map([...patterns, ...(isFilled ? [NOT_EMPTY] : [])].map((own) => [own.label, own])).values(),
        ];
        const question = { universe, never, languages, exact: new Set(exact), alphabet: "abc" };
        const own = plainCells(question);
        if (own === undefined) return;
        plain++;
        const whole = automatonCells(question);
        const summary = (cells: typeof own.cells): readonly string[] =>
          cells.map((cell) => `${cell.only ?? ""} ${[...cell.languages].join()}`).sort();
        assert.deepEqual(summary(own.cells), summary(whole.cells));
        for (const [at, { sample }] of own.cells.entries()) {
          assert.equal(own.cellOf(sample), at);
          const other = whole.cells[whole.cellOf(sample) ?? assert.fail(sample)];
          assert.ok(sample.length <= (other?.sample.length ?? 0), `${sample} ${other?.sample}`);
        }
        for (const text of texts) {
          assert.deepEqual(placeIn(own, text), placeIn(whole, text), text);
        }
      },
    ),
    { seed: SEED, numRuns: RUNS },
  );
  assert.ok(plain > RUNS / 2, `${plain} of ${RUNS} without an automaton`);
});

test("where single texts take a whole cell's place, the cell is gone", () => {
  const { cells } = textCells({
    universe: [{ label: "one letter", pieces: literal("a") }],
    never: [],
    languages: [startingWith("a")],
    exact: new Set(["a"]),
    alphabet: "ab",
  });
  assert.deepEqual(
    cells.map(({ sample, only }) => [sample, only]),
    [["a", "a"]],
  );
});
