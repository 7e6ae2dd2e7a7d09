import assert from "node:assert/strict";
import { test } from "node:test";
import { textHash, textPrint } from "../../../src/policy/rule-index/text-print.ts";

/** Places of a text of that length whose character, if changed, changes the number. */
function tellingPlaces(numberOf: (text: string) => number, length: number): number[] {
  const text = "abcdefghijklmnopqrstuvwxyz".slice(0, length);
  const number = numberOf(text);
  const places = [...text].map((_, place) => place);
  return places.filter((place) => numberOf(`${text.slice(0, place)}#${text.slice(place + 1)}`) !== number);
}

test("textPrint() looks at the last character, the third from the end, the middle, and the one at three quarters", () => {
  const places = [1, 2, 3, 4, 5, 8, 9, 20].map((length) => tellingPlaces(textPrint, length));
  assert.deepEqual(places, [
    [0],
    [0, 1],
    [0, 1, 2],
    [1, 2, 3],
    [2, 3, 4],
    [3, 5, 7],
    [4, 6, 8],
    [9, 14, 17, 19],
  ]);
});

test("textPrint() tells lengths apart, and texts of one and two characters", () => {
  const texts = ["", "a", "aaa", "aaaa", "aaaaa", "ab", "ba", "b", "abc", "cba"];
  assert.equal(new Set(texts.map(textPrint)).size, texts.length);
});

test("textHash() looks at every character and at the length", () => {
  for (const length of [1, 2, 3, 4, 5, 16, 17, 26])
    assert.deepEqual(
      tellingPlaces(textHash, length),
      Array.from({ length }, (_, place) => place),
    );
  const texts = ["", "\0", "\0\0", "\0\0\0", "ab", "ba", "abab", "abba", "abcd", "cbad", "adcb"];
  assert.equal(new Set(texts.map(textHash)).size, texts.length);
});

test("both numbers are the same on every machine and in every run", () => {
  const numbers = ["", "a", "GET", "/accounts/7", "spiffe://cluster.local/ns/foo/sa/sleep"].map((text) => [
    textPrint(text),
    textHash(text),
  ]);
  assert.deepEqual(numbers, [
    [0, 374784852],
    [-132043503, 1632149693],
    [-431248297, -169757330],
    [-1509614872, 276333086],
    [-2243411, -105329813],
  ]);
});
