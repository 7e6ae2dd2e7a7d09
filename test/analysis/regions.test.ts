import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Diagram, Diagrams, NO, OR, YES } from "../../src/analysis/space/diagram.ts";
import { coverWithRegions, diagramOf } from "../../src/analysis/space/regions.ts";

const SIZES = [4, 3, 3, 2];
const SEED = 20261122;

/** A union of products, as policies make them. */
const arbitraryProducts = fc.array(
  fc.tuple(...SIZES.map((size) => fc.uniqueArray(fc.nat({ max: size - 1 }), { minLength: 1 }))),
  { maxLength: 5 },
);

function setOf(diagrams: Diagrams, products: readonly (readonly (readonly number[])[])[]): Diagram {
  const sets = products.map((product) =>
    diagramOf(diagrams, new Map(product.map((cells, place) => [place, new Set(cells)]))),
  );
  return diagrams.all(OR, sets, NO);
}

test("regions cover the set, take nothing else that is a request, and none could be wider", () => {
  fc.assert(
    fc.property(arbitraryProducts, arbitraryProducts, (products, possible) => {
      const diagrams = new Diagrams(SIZES);
      const requests = possible.length === 0 ? YES : setOf(diagrams, possible);
      const set = diagrams.and(setOf(diagrams, products), requests);
      const { regions, rest } = coverWithRegions(diagrams, set, requests, 100);
      assert.equal(rest, NO);
      const covered = diagrams.all(
        OR,
        regions.map((region) => diagramOf(diagrams, region)),
        NO,
      );
      assert.equal(diagrams.and(covered, requests), set);
      const allowed = diagrams.or(set, diagrams.not(requests));
      for (const region of regions) {
        for (const [place, cells] of region) {
          for (let cell = 0; cell < (SIZES[place] ?? 0); cell++) {
            if (cells.has(cell)) continue;
            const wider = new Map([...region, [place, new Set([...cells, cell])]]);
            assert.ok(!diagrams.includes(allowed, diagramOf(diagrams, wider)), "could be wider");
          }
        }
      }
    }),
    { seed: SEED, numRuns: 400 },
  );
});

test("what is left when no more regions are granted is told", () => {
  const diagrams = new Diagrams([4, 4]);
  const set = setOf(diagrams, [
    [[0], [0]],
    [[1], [1]],
    [[2], [2]],
  ]);
  const { regions, rest } = coverWithRegions(diagrams, set, YES, 2);
  assert.equal(regions.length, 2);
  const covered = diagrams.all(
    OR,
    regions.map((region) => diagramOf(diagrams, region)),
    NO,
  );
  assert.equal(diagrams.or(covered, rest), set);
  assert.notEqual(rest, NO);
});
