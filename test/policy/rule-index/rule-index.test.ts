import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection } from "../../../src/policy/connection.ts";
import { HttpRequest } from "../../../src/policy/http-request.ts";
import {
  METHOD,
  NAMESPACE,
  oneText,
  PATH,
  SUBJECT,
  type TextDimension,
} from "../../../src/policy/rule-index/dimension.ts";
import { classOf } from "../../../src/policy/rule-index/leaf.ts";
import { NO_RANK, RuleIndex } from "../../../src/policy/rule-index/rule-index.ts";
import { textHash, textPrint } from "../../../src/policy/rule-index/text-print.ts";
import { compileTextPatterns } from "../../../src/policy/text-pattern.ts";
import { connect } from "../inbound-fixture.ts";
import { ruleOf, watched } from "./compiled.ts";

/** By what a rule is keyed: dimensions, each with its values. */
type Keyed = readonly (readonly [TextDimension, ...string[]])[];

/** An index over rules that tell when they are tested, whatever their keys are. */
class WatchedIndex {
  readonly #tested: number[] = [];
  readonly #index: RuleIndex;

  /** @param matching ranks of the rules that match where they are tested. */
  constructor(rules: readonly Keyed[], ...matching: readonly number[]) {
    this.#index = new RuleIndex(
      rules.map((keyed, rank) => {
        const [own = watched(rank, this.#tested, matching.includes(rank)), ...more] = keyed.map(
          ([dimension, ...values], place) => {
            const keys = { dimension, patterns: compileTextPatterns(values), decisive: true };
            const last = place === keyed.length - 1;
            const tested = last ? this.#tested : [];
            const condition = watched(rank, tested, !last || matching.includes(rank), keys);
            // What is not asked for in keys is asked of the predicate.
            return { ...condition, notValues: ["y"] };
          },
        );
        const conditions = [own, ...more];
        const isPath = (place: number) => keyed[place]?.[0] === PATH;
        return ruleOf(
          [conditions.filter((_, place) => !isPath(place))],
          [conditions.filter((_, place) => isPath(place))],
        );
      }),
    );
  }

  /** The rank that was found, and the ranks of the rules that were tested, in their order. */
  ask(connection: Connection, request: HttpRequest | null): { found: number | null; tested: number[] } {
    this.#tested.length = 0;
    const found = this.#index.first(connection, request);
    return { found: found === NO_RANK ? null : found, tested: [...this.#tested] };
  }
}

const NOBODY = connect({ principal: null });
const count = (length: number): number[] => Array.from({ length }, (_, index) => index);
const byMethods = (length: number): Keyed[] => count(length).map((rank) => [[METHOD, `M${rank}`]]);

function call(method: string, path = "/", ...headers: readonly string[]): HttpRequest {
  const request = HttpRequest.read("NONE", method, path, "h", headers, 2);
  assert.ok(request !== null);
  return request;
}

function by(account: string): Connection {
  return connect({ principal: `td/ns/foo/sa/${account}` });
}

test("of rules that name one method each, those of the request's method are tested", () => {
  const index = new WatchedIndex([...byMethods(40), [[METHOD, "M7", "M8"]]], 40);
  assert.deepEqual(index.ask(NOBODY, call("M7")), { found: 40, tested: [7, 40] });
  assert.deepEqual(index.ask(NOBODY, call("M9")), { found: null, tested: [9] });
  assert.deepEqual(index.ask(NOBODY, call("NEW")), { found: null, tested: [] });
  assert.deepEqual(index.ask(NOBODY, null), { found: null, tested: [] });
});

test("32 rules are tested one by one, in their order, until one matches", () => {
  const index = new WatchedIndex(byMethods(32), 20, 25);
  assert.deepEqual(index.ask(NOBODY, call("M0")), { found: 20, tested: count(21) });
  assert.deepEqual(index.ask(NOBODY, null), { found: 20, tested: count(21) });
});

test("no rules, or few, are searched without a request too", () => {
  assert.deepEqual(new WatchedIndex([]).ask(NOBODY, null), { found: null, tested: [] });
  assert.deepEqual(new WatchedIndex([[], []], 1).ask(NOBODY, null), { found: 1, tested: [0, 1] });
});

test("rules without a key are tested besides, but for those that come after one that matches", () => {
  const rules: Keyed[] = [[], ...byMethods(40).slice(1), [], []];
  assert.deepEqual(new WatchedIndex(rules).ask(NOBODY, call("M7")), { found: null, tested: [7, 0, 40, 41] });
  assert.deepEqual(new WatchedIndex(rules, 7).ask(NOBODY, call("M7")), { found: 7, tested: [7, 0] });
  assert.deepEqual(new WatchedIndex(rules, 7, 0).ask(NOBODY, call("M7")), { found: 0, tested: [7, 0] });
  assert.deepEqual(new WatchedIndex(rules, 40).ask(NOBODY, null), { found: 40, tested: [0, 40] });
});

test("rules without a key that all come later are not looked at", () => {
  const rules: Keyed[] = [...byMethods(40), ...count(10).map((): Keyed => [])];
  assert.deepEqual(new WatchedIndex(rules, 7, 45).ask(NOBODY, call("M7")), { found: 7, tested: [7] });
  const later = new WatchedIndex(rules, 45).ask(NOBODY, call("M7"));
  assert.deepEqual(later, { found: 45, tested: [7, 40, 41, 42, 43, 44, 45] });
});

test("rules that name one caller each are found by the hash of its name", () => {
  const subject = (account: string) => `spiffe://td/ns/foo/sa/${account}`;
  const index = new WatchedIndex([
    ...count(40).map((rank): Keyed => [[SUBJECT, subject(`a${rank}`)]]),
    [],
    [[SUBJECT, ""]],
  ]);
  assert.deepEqual(index.ask(by("a5"), null).tested, [5, 40]);
  assert.deepEqual(index.ask(by("new"), call("GET")).tested, [40]);
  assert.deepEqual(index.ask(NOBODY, null).tested, [40], "no name is not the empty name");
  assert.deepEqual(index.ask(connect({ principal: "dns:" }), null).tested, [41, 40]);
});

test("callers are found by patterns too", () => {
  const rules = count(40).map((rank): Keyed => [[SUBJECT, `spiffe://td/ns/foo/sa/a${rank}*`]]);
  const index = new WatchedIndex(rules);
  assert.deepEqual(index.ask(by("a5"), null).tested, [5]);
  assert.deepEqual(index.ask(by("a15"), null).tested, [1, 15]);
  assert.deepEqual(index.ask(NOBODY, null).tested, []);
});

test("where an identity does not tell its namespace, all rules are tested, each once", () => {
  const rules = count(40).map((rank): Keyed => (rank === 30 ? [] : [[NAMESPACE, `n${rank}`]]));
  const index = new WatchedIndex(rules, 35);
  assert.deepEqual(index.ask(connect({ principal: "td/ns/n5/sa/a" }), null).tested, [5, 30]);
  assert.deepEqual(index.ask(connect({ principal: "td/odd/n5" }), null), { found: 35, tested: count(36) });
});

const roleOf: TextDimension = {
  kind: "text",
  id: "header x-role",
  repeats: true,
  next: (_connection, request, after) => (after + 2 < (request?.headers.length ?? 0) ? after + 2 : -1),
  textAt: (_connection, request, cursor) => request?.headers[cursor] ?? "",
};

/** A request whose roles are these, in this order. */
const withRoles = (...roles: string[]): HttpRequest =>
  call("GET", "/", ...roles.flatMap((role) => ["x", role]));

for (const [size, kind] of [
  [10, "leaves"],
  [3, "lists"],
] as const)
  test(`of several keys' ${kind}, what comes after a rule that matched already is not tested, nor that rule again`, () => {
    // Role a has the later half and the rule between; b the earlier half, that rule, and one more.
    const middle = size;
    const rules: Keyed[] = [
      ...count(size - 2).map((): Keyed => [[roleOf, "b"]]),
      ...count(2).map((): Keyed => [[roleOf, "d"]]),
      [[roleOf, "a", "b"]],
      ...count(size - 1).map((): Keyed => [[roleOf, "a"]]),
      [[roleOf, "c", "b"]],
      ...count(40).map((other): Keyed => [[roleOf, `other${other}`]]),
    ];
    const earlier = count(size - 2);
    const index = new WatchedIndex(rules, middle);
    assert.deepEqual(index.ask(NOBODY, withRoles("a", "b")), { found: middle, tested: [middle, ...earlier] });
    assert.deepEqual(index.ask(NOBODY, withRoles("b", "a")), { found: middle, tested: [...earlier, middle] });
    assert.deepEqual(index.ask(NOBODY, withRoles("c", "b")).tested, [2 * size, ...earlier, middle]);
    const first = new WatchedIndex(rules, 0, middle);
    assert.deepEqual(first.ask(NOBODY, withRoles("a", "b")), { found: 0, tested: [middle, 0] });
  });

for (const [size, kind] of [
  [30, "leaf"],
  [3, "list"],
] as const)
  test(`a ${kind} passes over rules of paths of another class than the request's`, () => {
    const paths = count(size).map((place) => `/p${place}`);
    const filler = size === 3 ? byMethods(40).map(([method]): Keyed => [method ?? [METHOD]]) : [];
    const own: Keyed = size === 3 ? [[METHOD, "OWN"]] : [];
    const rules: Keyed[] = [...paths.map((path): Keyed => [...own, [PATH, path]]), ...filler];
    const index = new WatchedIndex(rules);
    for (const asked of ["/p0", "/p1", "/p2", "/other", "/p0x", "/zz9"]) {
      const same = (path: string) => classOf(textPrint(path)) === classOf(textPrint(asked));
      const expected = count(size).filter((rank) => same(paths[rank] ?? ""));
      assert.deepEqual(index.ask(NOBODY, call("OWN", asked)).tested, expected, asked);
    }
    assert.deepEqual(index.ask(NOBODY, null).tested, [], "without a request there is no path");
  });

test("a list that a caller leads to passes over no rule where there is no request", () => {
  const rules: Keyed[] = [
    [
      [SUBJECT, "spiffe://td/ns/foo/sa/own"],
      [PATH, "/p0"],
    ],
    [
      [SUBJECT, "spiffe://td/ns/foo/sa/own"],
      [PATH, "/p1"],
    ],
    ...count(40).map((rank): Keyed => [[SUBJECT, `spiffe://td/ns/foo/sa/a${rank}`]]),
  ];
  assert.deepEqual(new WatchedIndex(rules).ask(by("own"), null).tested, [0, 1]);
});

test("a leaf passes over rules of callers of another class than the connection's, and all that name some without one", () => {
  const names = count(30).map((rank) => `spiffe://td/ns/foo/sa/a${rank}`);
  const index = new WatchedIndex([...names.map((name): Keyed => [[SUBJECT, name]]), []]);
  for (const account of ["a0", "a7", "a29", "other"]) {
    const asked = classOf(textHash(`spiffe://td/ns/foo/sa/${account}`));
    const expected = names.flatMap((name, rank) => (classOf(textHash(name)) === asked ? [rank] : []));
    assert.deepEqual(index.ask(by(account), null).tested, [...expected, 30], account);
  }
  assert.deepEqual(index.ask(NOBODY, null).tested, [30]);
});

test("the keys of a dimension are looked up once for a request, however many nodes ask for them", () => {
  let lookups = 0;
  const tenant: TextDimension = {
    kind: "text",
    id: "tenant",
    repeats: true,
    next: (_connection, _request, after) => {
      if (after < 0) lookups++;
      return after < 1 ? after + 1 : -1;
    },
    textAt: (_connection, _request, cursor) => `t${cursor}`,
  };
  // Four methods split, then tenants under each, and in the rest.
  const rules = count(720).map((rank): Keyed => {
    const own: Keyed[number] = [tenant, `t${(rank >> 2) % 2}`];
    return rank < 480 ? [[METHOD, `M${rank % 4}`], own] : [own];
  });
  const index = new WatchedIndex(rules);
  const { tested } = index.ask(NOBODY, call("M1"));
  const ofTenant = (own: number) => (rank: number) => (rank >> 2) % 2 === own;
  const named = count(480).filter((rank) => rank % 4 === 1);
  const rest = count(720).slice(480);
  assert.deepEqual(
    tested,
    [named, rest].flatMap((ranks) => [...ranks.filter(ofTenant(0)), ...ranks.filter(ofTenant(1))]),
  );
  assert.equal(lookups, 1);
  index.ask(NOBODY, call("M2"));
  assert.equal(lookups, 2);
});

test("deciding about one request leaves nothing behind for the next", () => {
  const own = oneText("own", (_connection, request) => request?.host ?? null);
  const rules: Keyed[] = [...count(40).map((rank): Keyed => [[own, `h${rank}`]]), [[own, "h"]]];
  const index = new WatchedIndex(rules);
  assert.deepEqual(index.ask(NOBODY, call("GET")).tested, [40]);
  assert.deepEqual(index.ask(NOBODY, null).tested, []);
  assert.deepEqual(index.ask(NOBODY, call("GET")).tested, [40]);
});
