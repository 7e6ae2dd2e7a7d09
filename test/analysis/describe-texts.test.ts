import assert from "node:assert/strict";
import { test } from "node:test";
import { describeTexts } from "../../src/analysis/space/describe-texts.ts";
import { textCells } from "../../src/analysis/space/text-cells.ts";
import {
  endingWith,
  NOT_EMPTY,
  startingWith,
  type TextLanguage,
} from "../../src/analysis/space/text-language.ts";

const HOST = "shop.example.com";
const HOSTS = [endingWith(".example.com"), startingWith(`${HOST}:`)];

/** The words for all texts that `isIn` takes, by the example of their cell. */
function words(languages: readonly TextLanguage[], isIn: (text: string) => boolean): string {
  const alphabet = "xabcdefghijklmnopqrstuvwyz.:/0";
  const texts = textCells({ universe: [], never: [], languages, exact: new Set([HOST, ""]), alphabet });
  const cells = texts.cells.flatMap(({ sample }, at) => (isIn(sample) ? [at] : []));
  return describeTexts(texts, languages, new Set(cells));
}

test("a text that a wider pattern takes as well is told by its name, not as the pattern without all else", () => {
  const own = (text: string): boolean => text === HOST || text.startsWith(`${HOST}:`);
  const said = words(HOSTS, own);
  assert.deepEqual(said.split(", ").toSorted(), [HOST, `${HOST}:*`]);
  assert.equal(
    words(HOSTS, (text) => text === HOST),
    HOST,
  );
});

test("a pattern without one text is told so, and no text at all as none", () => {
  const suffix = (text: string): boolean => text.endsWith(".example.com");
  assert.equal(
    words(HOSTS, (text) => suffix(text) && text !== HOST),
    `*.example.com (but not ${HOST})`,
  );
  assert.equal(
    words(HOSTS, () => true),
    "any",
  );
  assert.ok(["none", "the empty text"].includes(words([NOT_EMPTY], (text) => text === "")));
});

test("an exception is told by the pattern that it has in common, as far as the whole goes", () => {
  const languages = [endingWith("/health"), startingWith("/orders/secret"), startingWith("/orders/")];
  const said = words(languages, (text) => text.endsWith("/health") && !text.startsWith("/orders/secret"));
  assert.equal(said, "*/health (but not /orders/secret*)");
});

test("what two patterns have in common is told by both", () => {
  const languages = [startingWith("a/"), startingWith("b/"), startingWith("c/"), endingWith("/x")];
  const said = words(languages, (text) => text.startsWith("a/") && text.endsWith("/x"));
  assert.equal(said, "a/* and */x");
});
