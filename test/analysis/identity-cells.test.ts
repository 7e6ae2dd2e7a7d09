import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Atoms } from "../../src/analysis/space/atoms.ts";
import { identityCells } from "../../src/analysis/space/identity-cells.ts";
import { automatonCells } from "../../src/analysis/space/text-cells.ts";
import type { TextCells } from "../../src/analysis/space/text-division.ts";
import { literal, some, type TextLanguage } from "../../src/analysis/space/text-language.ts";

const SEED = 20261122;
const RUNS = 10 * Number(process.env.ANALYSIS_RUNS ?? 6);
const ALPHABET = "xabcdefghijklmnopqrstuvwyz0123456789-.:/";
const SEGMENT = some({ but: true, text: "/" });
const SPIFFE_ID: TextLanguage = {
  label: "SPIFFE ID",
  pieces: [...literal("spiffe://"), SEGMENT, ...literal("/ns/"), SEGMENT, ...literal("/sa/"), SEGMENT],
};

const NAMES = ["foo", "bar", "fo", "x", "a", "ns", "sa"];
const name = fc.constantFrom(...NAMES);
const pattern = fc.oneof(
  name,
  name.map((text) => `${text}*`),
  name.map((text) => `*${text}`),
);
const principal = fc
  .tuple(fc.constantFrom("td", "old", "*"), name, name)
  .chain(([domain, namespace, account]) => {
    const whole = `${domain}/ns/${namespace}/sa/${account}`;
    return fc.oneof(
      fc.constant(whole),
      fc.nat(whole.length).map((end) => `${whole.slice(0, end)}*`.replace(/^\*.*\*$/, "*")),
      fc.nat(whole.length).map((from) => `*${whole.slice(from)}`),
    );
  });
const condition = fc.oneof(
  fc.tuple(fc.constant("principals"), fc.array(principal, { minLength: 1, maxLength: 3 })),
  fc.tuple(fc.constant("namespaces"), fc.array(pattern, { minLength: 1, maxLength: 2 })),
  fc.tuple(fc.constant("serviceAccounts"), fc.array(fc.tuple(name, name).map((both) => both.join("/")))),
  fc.tuple(fc.constant("trustDomains"), fc.array(fc.constantFrom("td", "old", "*", "t*", "*d"))),
);
const identity = fc
  .tuple(fc.constantFrom("td", "old", "x", "tdd"), name, name)
  .map(([domain, namespace, account]) => `spiffe://${domain}/ns/${namespace}/sa/${account}`);

/** Single texts, and of every other cell the patterns that take it. */
function summary({ cells }: TextCells): readonly string[] {
  return cells.map(({ only, languages }) => `${only ?? ""} ${[...languages].join()}`).sort();
}

function placeIn({ cells, cellOf }: TextCells, text: string): unknown {
  const { only, languages } = cells[cellOf(text) ?? -1] ?? {};
  return [only, languages];
}

test("identities are divided name by name as by an automaton of whole texts, with examples that are no longer", () => {
  let plain = 0;
  fc.assert(
    fc.property(fc.array(condition, { maxLength: 5 }), fc.array(identity), (conditions, identities) => {
      const atoms = new Atoms();
      for (const [field, values] of conditions)
        atoms.addCondition(
          { field, values, notValues: [] },
          { trustDomains: ["td", "old"], policyNamespace: "foo" },
        );
      atoms.addTrustDomain("td");
      const { exact, languages } = atoms.textsOf("identity");
      const question = {
        universe: [SPIFFE_ID],
        never: [],
        languages: [...languages.values()],
        exact,
        alphabet: ALPHABET,
      };
      const own = identityCells(question);
      if (own === undefined) return;
      plain++;
      const whole = automatonCells(question);
      assert.deepEqual(summary(own), summary(whole));
      for (const [at, { sample }] of own.cells.entries()) {
        assert.equal(own.cellOf(sample), at);
        const other = whole.cells[whole.cellOf(sample) ?? assert.fail(sample)];
        assert.ok(sample.length <= (other?.sample.length ?? 0), `${sample} ${other?.sample}`);
      }
      for (const text of identities) {
        assert.deepEqual(placeIn(own, text), placeIn(whole, text), text);
      }
      for (const text of ["spiffe://td", "spiffe://td/ns//sa/a", "td/ns/a/sa/b", "spiffe://td/ns/a/b/sa/c"])
        assert.equal(own.cellOf(text), undefined, text);
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assert.ok(plain > RUNS / 2, `${plain} of ${RUNS} without an automaton`);
});

test("a pattern of a namespace with a star in its middle, which may stand for slashes, is left to the automaton", () => {
  const atoms = new Atoms();
  atoms.addCondition(
    { field: "namespaces", values: ["f*o"], notValues: [] },
    { trustDomains: ["td"], policyNamespace: "foo" },
  );
  const { exact, languages } = atoms.textsOf("identity");
  assert.equal(identityCells({ languages: [...languages.values()], exact, alphabet: ALPHABET }), undefined);
});
