import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type JoinedRegion, joinAlternatives } from "../../src/analysis/space/alternatives.ts";
import { claim } from "../../src/analysis/space/aspect.ts";
import { describeJoined } from "../../src/analysis/space/describe.ts";
import type { Dimension } from "../../src/analysis/space/dimension.ts";
import type { Region } from "../../src/analysis/space/regions.ts";
import { textCells } from "../../src/analysis/space/text-cells.ts";

/** Whether a token has each of these texts under the claim, and the protocol. */
function dimensionsFor(claims: Readonly<Record<string, readonly string[]>>): readonly Dimension[] {
  const members = Object.entries(claims).flatMap(([path, names]): Dimension[] => {
    const aspect = claim(path);
    const texts = textCells({
      universe: [],
      never: [],
      languages: [],
      exact: new Set(names),
      alphabet: "xabc",
    });
    return names.map((name) => ({
      id: `${aspect.id} ${name}`,
      title: aspect.title,
      kind: "member",
      size: 2,
      aspect,
      texts,
      languages: [],
      cell: texts.cells.findIndex(({ only }) => only === name),
    }));
  });
  return [{ id: "protocol", title: "protocols", kind: "protocol", size: 2 }, ...members];
}

const DIMENSIONS = dimensionsFor({ "[groups]": ["a", "b", "c"], "[roles]": ["x", "y"] });

function isIn(region: Region, point: readonly number[]): boolean {
  return [...region].every(([place, cells]) => cells.has(point[place] ?? 0));
}

function isInJoined({ region, anyOf, of }: JoinedRegion, point: readonly number[]): boolean {
  const isInOne = of.some((part) => isIn(part, point));
  const isInAll = isIn(region, point) && anyOf.every((places) => places.some((place) => point[place] === 1));
  assert.equal(isInAll, isInOne);
  return isInAll;
}

const POINTS = Array.from({ length: 2 ** DIMENSIONS.length }, (_, at) =>
  DIMENSIONS.map((_, place) => (at >> place) & 1),
);

test("joined regions are the same set of requests, and never more", () => {
  const cell = fc.constantFrom(undefined, undefined, 0, 1, 1);
  const region = fc
    .tuple(...DIMENSIONS.map(() => cell))
    .map(
      (cells): Region =>
        new Map(cells.flatMap((own, place) => (own === undefined ? [] : [[place, new Set([own])]]))),
    );
  fc.assert(
    fc.property(fc.array(region, { maxLength: 12 }), (regions) => {
      const joined = joinAlternatives(DIMENSIONS, regions);
      assert.ok(joined.length <= regions.length);
      for (const point of POINTS)
        assert.equal(
          joined.some((own) => isInJoined(own, point)),
          regions.some((own) => isIn(own, point)),
        );
    }),
  );
});

const has = (...places: readonly number[]): Region => new Map(places.map((place) => [place, new Set([1])]));

test("each of some texts of two names, in every pairing, is one region", () => {
  const pairs = [1, 2, 3].flatMap((group) => [4, 5].map((role) => has(group, role)));
  const [only, ...others] = joinAlternatives(DIMENSIONS, pairs);
  assert.deepEqual(others, []);
  assert.ok(only !== undefined);
  assert.deepEqual(
    describeJoined(DIMENSIONS, only).map(({ title, text }) => `${title} ${text}`),
    ["claims [groups] with one of a, b, c", "claims [roles] with one of x, y"],
  );
});

test("two texts that are both wanted are no choice", () => {
  const [both, one] = joinAlternatives(DIMENSIONS, [has(1, 2), has(3)]).map((own) =>
    describeJoined(DIMENSIONS, own).map(({ text }) => text),
  );
  assert.deepEqual(both, ["with a and b"]);
  assert.deepEqual(one, ["with c"]);
});

test("an audience in all the spellings that count as equal is told once", () => {
  const spellings = ["", "http://", "https://"].flatMap((scheme) => [`${scheme}api`, `${scheme}api/`]);
  const dimensions = dimensionsFor({ "[aud]": [...spellings, "other"] });
  const regions = dimensions.slice(1).map((_, at) => has(at + 1));
  const said = joinAlternatives(dimensions, regions).map((own) => describeJoined(dimensions, own));
  assert.deepEqual(said, [
    [
      {
        id: "claim [aud]",
        title: "claims [aud]",
        text: "with one of api (with or without http://, https:// and a / behind), other",
      },
    ],
  ]);
});
