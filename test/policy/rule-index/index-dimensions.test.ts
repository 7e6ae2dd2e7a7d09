import assert from "node:assert/strict";
import { test } from "node:test";
import type { RuleSpec } from "../../../src/policy/authorization-spec.ts";
import { indexDimensions } from "../../../src/policy/rule-index/index-dimensions.ts";
import { textHash } from "../../../src/policy/rule-index/text-print.ts";
import { connect, get } from "../inbound-fixture.ts";
import { compiled, from, ruleOf, to } from "./compiled.ts";

function dimensionsOf(...specs: readonly RuleSpec[]) {
  const rules = specs.map((spec, rank) => compiled(spec, rank));
  const { dimensions, rooms, exactSubject, lookups, keysOf } = indexDimensions(rules);
  return { dimensions, rooms, exactSubject, lookups, keys: rules.map((_, rank) => keysOf(rank)) };
}

const when = (key: string, ...values: string[]): RuleSpec => ({ when: [{ key, values }] });
const subject = (account: string) => textHash(`spiffe://cluster.local/ns/foo/sa/${account}`);
const principal = (account: string) => `cluster.local/ns/foo/sa/${account}`;

for (const [name, spec, cost, mayNotTell, hashed] of [
  ["subject", from({ principals: [principal("a")] }), 0, false, true],
  ["port", to({ ports: ["80"] }), 0, false, false],
  ["account", from({ serviceAccounts: ["a"] }), 1, true, true],
  ["namespace", from({ namespaces: ["a"] }), 1, true, true],
  ["method", to({ methods: ["GET"] }), 2, false, true],
  ["sni", when("connection.sni", "a"), 2, false, true],
  ["host", to({ hosts: ["a"] }), 3, false, true],
  ["path", to({ paths: ["/a"] }), 4, false, true],
  ["a header", when("request.headers[x-a]", "a"), 8, false, true],
  ["an address", from({ ipBlocks: ["10.0.0.0/8"] }), 8, false, undefined],
] as const)
  test(`looking up ${name} costs ${cost} rules, and ${mayNotTell ? "may fail to" : "always does"} tell`, () => {
    const { dimensions, rooms, exactSubject } = dimensionsOf(spec);
    assert.deepEqual(dimensions, [{ cost, mayNotTell }]);
    assert.deepEqual(rooms, [hashed === false ? 2 : 4]);
    assert.equal(exactSubject, name === "subject" ? 0 : -1);
  });

test("dimensions come by how many rules are keyed in them; each rule has its keys in each, null where it has none", () => {
  const { dimensions, keys, rooms } = dimensionsOf(
    to({ methods: ["GET"] }),
    to({ methods: ["GET"], paths: ["/a"], ports: ["80", "81"] }),
    to({ methods: ["PUT"], ports: ["80"] }),
    {},
  );
  assert.deepEqual(
    dimensions.map(({ cost }) => cost),
    [2, 0, 4],
  );
  assert.deepEqual(keys, [
    [[textHash("GET")], null, null],
    [[textHash("GET")], [80, 81], [textHash("/a")]],
    [[textHash("PUT")], [80], null],
    [null, null, null],
  ]);
  assert.deepEqual(rooms, [6, 2, 4]);
});

test("the subject's place is known where all of its keys are exact, and only then", () => {
  const exact = dimensionsOf(
    to({ methods: ["GET"] }),
    to({ methods: ["GET"] }),
    from({ principals: [principal("a")] }),
  );
  assert.equal(exact.exactSubject, 1);
  const pattern = dimensionsOf(
    from({ principals: [principal("a")] }),
    from({ principals: ["cluster.local/ns/*"] }),
  );
  assert.deepEqual([pattern.exactSubject, pattern.keys], [-1, [[[subject("a")]], [[0]]]]);
  assert.equal(dimensionsOf().exactSubject, -1);
});

test("the clauses of one side are alternatives: a rule has the keys of them all, each once", () => {
  const { keys } = dimensionsOf(
    from({ principals: [principal("a"), principal("b")] }, { principals: [principal("b"), principal("c")] }),
  );
  assert.deepEqual(keys, [[["a", "b", "c"].map(subject)]]);
});

test("a rule is not keyed where one of its alternatives is not", () => {
  const unkeyed: readonly object[] = [
    { namespaces: ["x"] },
    { principals: ["*"] },
    { notPrincipals: [principal("a")] },
    {},
  ];
  for (const other of unkeyed) {
    const { keys } = dimensionsOf(
      from({ principals: [principal("a")] }),
      from({ principals: [principal("b")] }, other),
    );
    assert.deepEqual(
      keys.map((own) => own[0]),
      [[subject("a")], null],
      JSON.stringify(other),
    );
  }
});

test("`*` is no key; beside it, another condition on the same place is", () => {
  assert.deepEqual(dimensionsOf(to({ methods: ["*"] })).dimensions, []);
  const twice: RuleSpec = {
    when: [
      { key: "request.headers[x-a]", values: ["*"] },
      { key: "request.headers[x-a]", values: ["b"] },
      { key: "request.headers[x-b]", values: ["c"] },
    ],
  };
  assert.deepEqual(dimensionsOf(twice).keys, [[[textHash("b")], [textHash("c")]]]);
});

test("a rule can be keyed by its sources and by its operations", () => {
  const { keys, dimensions } = dimensionsOf({ ...from({ namespaces: ["n"] }), ...to({ ports: ["80"] }) });
  assert.deepEqual(keys, [[[textHash("n")], [80]]]);
  assert.deepEqual(dimensions, [
    { cost: 1, mayNotTell: true },
    { cost: 0, mayNotTell: false },
  ]);
});

test("sixteen dimensions are indexed, those that most rules are keyed in", () => {
  const header = (name: number) => when(`request.headers[x-${name}]`, "a");
  const all = Array.from({ length: 20 }, (_, name) => header(name));
  const { dimensions, keys, lookups } = dimensionsOf(...all, header(18));
  assert.equal(dimensions.length, 16);
  assert.deepEqual(
    keys.map((own) => own.findIndex((numbers) => numbers !== null)),
    [...Array.from({ length: 15 }, (_, name) => name + 1), -1, -1, -1, 0, -1, 0],
  );
  const out = new Int32Array(8);
  const asked = lookups.map((lookup) => lookup.collect(connect(), get("/", ["x-18", "a", "x-3", "a"]), out));
  assert.deepEqual(asked, [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
});

test("rules without clauses or conditions have no keys", () => {
  const { dimensions, keysOf } = indexDimensions([ruleOf([[]])]);
  assert.deepEqual([dimensions, keysOf(0)], [[], []]);
});
