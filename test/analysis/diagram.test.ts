import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AnalysisLimit } from "../../src/analysis/space/analysis-limit.ts";
import { AND, type Diagram, Diagrams, ELSE, NO, OR, YES } from "../../src/analysis/space/diagram.ts";

const SIZES = [3, 2, 4, 2];
const SEED = 20261122;
const RUNS = 40 * Number(process.env.ANALYSIS_RUNS ?? 10);

/** Every point of the small space. */
const POINTS = SIZES.reduce<readonly (readonly number[])[]>(
  (points, size) => points.flatMap((point) => Array.from({ length: size }, (_, cell) => [...point, cell])),
  [[]],
);

/** A set as its members, built cell by cell, so that nothing of what is tested is used. */
const arbitrarySet = fc.array(fc.boolean(), { minLength: POINTS.length, maxLength: POINTS.length });

function diagramOf(diagrams: Diagrams, members: readonly boolean[], outcome = YES): Diagram {
  const below = (point: readonly number[]): Diagram => {
    if (point.length === SIZES.length) {
      const at = POINTS.findIndex((other) => other.every((cell, place) => cell === point[place]));
      return members[at] === true ? outcome : NO;
    }
    const cells = Array.from({ length: SIZES[point.length] ?? 0 }, (_, cell) => cell);
    return diagrams.choose(
      point.length,
      NO,
      cells.map((cell) => [cell, below([...point, cell])] as const),
    );
  };
  return below([]);
}

function membersOf(diagrams: Diagrams, diagram: Diagram): readonly boolean[] {
  return POINTS.map((point) => diagrams.outcomeOf(diagram, point) !== NO);
}

test("a diagram holds just the points that it was made of", () => {
  fc.assert(
    fc.property(arbitrarySet, (members) => {
      const diagrams = new Diagrams(SIZES);
      assert.deepEqual(membersOf(diagrams, diagramOf(diagrams, members)), members);
    }),
    { seed: SEED, numRuns: RUNS },
  );
});

test("union, intersection, difference and complement are those of the points", () => {
  fc.assert(
    fc.property(arbitrarySet, arbitrarySet, (left, right) => {
      const diagrams = new Diagrams(SIZES);
      const a = diagramOf(diagrams, left);
      const b = diagramOf(diagrams, right);
      const of = (combine: (x: boolean, y: boolean) => boolean): readonly boolean[] =>
        left.map((x, at) => combine(x, right[at] === true));
      assert.deepEqual(
        membersOf(diagrams, diagrams.or(a, b)),
        of((x, y) => x || y),
      );
      assert.deepEqual(
        membersOf(diagrams, diagrams.and(a, b)),
        of((x, y) => x && y),
      );
      assert.deepEqual(
        membersOf(diagrams, diagrams.minus(a, b)),
        of((x, y) => x && !y),
      );
      assert.deepEqual(
        membersOf(diagrams, diagrams.not(a)),
        of((x) => !x),
      );
      assert.equal(
        diagrams.includes(a, b),
        right.every((y, at) => !y || left[at] === true),
      );
    }),
    { seed: SEED, numRuns: RUNS },
  );
});

test("equal sets are the same number, however they were made: De Morgan, absorption, distribution, and no order of arguments", () => {
  fc.assert(
    fc.property(arbitrarySet, arbitrarySet, arbitrarySet, (one, two, three) => {
      const diagrams = new Diagrams(SIZES);
      const [a, b, c] = [one, two, three].map((members) => diagramOf(diagrams, members)) as [
        Diagram,
        Diagram,
        Diagram,
      ];
      const { and, or, not, minus } = {
        and: (x: Diagram, y: Diagram) => diagrams.and(x, y),
        or: (x: Diagram, y: Diagram) => diagrams.or(x, y),
        not: (x: Diagram) => diagrams.not(x),
        minus: (x: Diagram, y: Diagram) => diagrams.minus(x, y),
      };
      assert.equal(not(or(a, b)), and(not(a), not(b)));
      assert.equal(or(a, and(a, b)), a);
      assert.equal(and(a, or(a, b)), a);
      assert.equal(and(a, or(b, c)), or(and(a, b), and(a, c)));
      assert.equal(or(a, and(b, c)), and(or(a, b), or(a, c)));
      assert.equal(not(not(a)), a);
      assert.equal(minus(a, b), and(a, not(b)));
      assert.equal(or(a, not(a)), YES);
      assert.equal(and(a, not(a)), NO);
      assert.equal(diagrams.all(OR, [a, b, c], NO), or(c, or(b, a)));
      assert.equal(diagrams.all(AND, [a, b, c], YES), and(c, and(b, a)));
    }),
    { seed: SEED, numRuns: RUNS },
  );
});

test("exists and forAll are the union and the intersection over the cells that are named", () => {
  fc.assert(
    fc.property(
      arbitrarySet,
      fc.nat({ max: SIZES.length - 1 }),
      fc.uniqueArray(fc.nat({ max: 3 }), { minLength: 1 }),
      (members, place, wanted) => {
        const cells = new Set(wanted.filter((cell) => cell < (SIZES[place] ?? 0)));
        fc.pre(cells.size > 0);
        const diagrams = new Diagrams(SIZES);
        const a = diagramOf(diagrams, members);
        const given = [...cells].map((cell) => diagrams.given(a, place, cell));
        assert.equal(diagrams.exists(a, place, cells), diagrams.all(OR, given, NO));
        assert.equal(diagrams.forAll(a, place, cells), diagrams.all(AND, given, YES));
        for (const point of POINTS) {
          const inAny = [...cells].some((cell) => diagrams.outcomeOf(a, point.with(place, cell)) === YES);
          assert.equal(diagrams.outcomeOf(diagrams.exists(a, place, cells), point) === YES, inAny);
        }
      },
    ),
    { seed: SEED, numRuns: RUNS },
  );
});

test("of functions one after the other the first that has an outcome tells it", () => {
  fc.assert(
    fc.property(arbitrarySet, arbitrarySet, (left, right) => {
      const diagrams = new Diagrams(SIZES);
      const both = diagrams.apply(ELSE, diagramOf(diagrams, left, 3), diagramOf(diagrams, right, 5));
      for (const [at, point] of POINTS.entries()) {
        const wanted = left[at] === true ? 3 : right[at] === true ? 5 : NO;
        assert.equal(diagrams.outcomeOf(both, point), wanted);
        assert.equal(diagrams.outcomeOf(diagrams.where(both, 5), point), wanted === 5 ? YES : NO);
      }
    }),
    { seed: SEED, numRuns: RUNS },
  );
});

test("a function that would need more nodes than are granted is refused, not held", () => {
  const diagrams = new Diagrams([1000, 1000], 350);
  const pairs = Array.from({ length: 100 }, (_, at) => diagrams.within(0, [at]));
  assert.throws(
    () =>
      diagrams.all(
        OR,
        pairs.map((own, at) => diagrams.and(own, diagrams.within(1, [at]))),
        NO,
      ),
    AnalysisLimit,
  );
});
