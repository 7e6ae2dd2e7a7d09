import assert from "node:assert/strict";
import { test } from "node:test";
import { DomainTable } from "../../../src/policy/outbound/domain-table.ts";
import {
  clusterName,
  clusterSni,
  compareSpecificity,
  hostsOverlap,
  isHostSubset,
  isWildcard,
  mostSpecific,
  newHostTable,
  resolveGatewayName,
  resolveShortName,
  tableOf,
} from "../../../src/policy/outbound/host-name.ts";

const PAIRS: readonly [inner: string, outer: string, isSubset: boolean, isOverlap: boolean][] = [
  ["a.foo.com", "a.foo.com", true, true],
  ["a.foo.com", "b.foo.com", false, false],
  ["a.foo.com", "*", true, true],
  ["a.foo.com", "*.foo.com", true, true],
  ["*.foo.com", "a.foo.com", false, true],
  ["foo.com", "*.foo.com", false, false],
  ["*.foo.com", "*.foo.com", true, true],
  ["*.a.foo.com", "*.foo.com", true, true],
  ["*.foo.com", "*.a.foo.com", false, true],
  ["*foo.com", "*.foo.com", false, true],
  ["*.com", "*.org", false, false],
  ["*", "*.foo.com", false, true],
  ["*", "*", true, true],
];
for (const [inner, outer, isSubset, isOverlap] of PAIRS)
  test(`${inner} is ${isSubset ? "" : "not "}within ${outer}, and they ${isOverlap ? "" : "do not "}overlap`, () => {
    assert.equal(isHostSubset(inner, outer), isSubset);
    assert.equal(hostsOverlap(inner, outer), isOverlap);
    assert.equal(hostsOverlap(outer, inner), isOverlap);
  });

test("the more specific host is first: exact before wildcard, longer before shorter, then by name", () => {
  const hosts = ["*", "*.b", "*.a", "*.a.b", "b", "a", "a.b", "a.b"];
  assert.deepEqual(hosts.sort(compareSpecificity), ["a.b", "a.b", "a", "b", "*.a.b", "*.a", "*.b", "*"]);
  assert.equal(Math.sign(compareSpecificity("a", "b")), -1);
  assert.equal(Math.sign(compareSpecificity("b", "a")), 1);
  assert.equal(compareSpecificity("a", "a"), 0);
  assert.deepEqual([isWildcard("*.a"), isWildcard("a.*"), isWildcard("")], [true, false, false]);
});

test("mostSpecific() finds for a wildcard itself, else the longest wildcard that covers it all", () => {
  const table = newHostTable<string>();
  for (const host of ["*", "*.com", "*.foo.com", "a.foo.com", "*.bar.com"])
    tableOf(table, host).set(host, host);
  assert.deepEqual([[...table.exact.keys()], table.wildcard.size], [["a.foo.com"], 4]);
  const found = (needle: string): string | undefined => mostSpecific(needle, table);
  assert.equal(found("a.foo.com"), "a.foo.com");
  assert.equal(found("b.foo.com"), "*.foo.com");
  assert.equal(found("*.foo.com"), "*.foo.com");
  assert.equal(found("*.x.foo.com"), "*.foo.com");
  assert.equal(found("*.org"), "*");
  assert.equal(found("*.com"), "*.com");
  assert.equal(mostSpecific("a", newHostTable()), undefined);
});

const SHORT_NAMES: readonly [written: string, host: string][] = [
  ["web", "web.foo.svc.cluster.local"],
  ["web.foo", "web.foo"],
  ["", ""],
  ["*", "*"],
  ["*.com", "*.com"],
  ["*web", "*web.foo.svc.cluster.local"],
  ["10.0.0.1", "10.0.0.1"],
  ["fd00::1", "fd00::1"],
];
for (const [written, host] of SHORT_NAMES)
  test(`\`${written}\` in a resource of namespace foo is \`${host}\``, () => {
    assert.equal(resolveShortName(written, "foo"), host);
  });

const GATEWAYS: readonly [written: string, name: string][] = [
  ["mesh", "mesh"],
  ["gw", "foo/gw"],
  ["edge/gw", "edge/gw"],
  ["./gw", "foo/gw"],
  ["/gw", "/gw"],
  ["gw.edge", "edge/gw"],
  ["gw.edge.svc.cluster.local", "edge/gw"],
  ["edge/gw.v1", "edge/gw.v1"],
];
for (const [written, name] of GATEWAYS)
  test(`the gateway \`${written}\` in a VirtualService of namespace foo is \`${name}\``, () => {
    assert.equal(resolveGatewayName(written, "foo"), name);
  });

test("clusters are named as Istio names them", () => {
  assert.equal(clusterName(80, "v1", "h"), "outbound|80|v1|h");
  assert.equal(clusterSni(80, "v1", "h"), "outbound_.80_.v1_.h");
});

test("DomainTable: exact, then the longest suffix, then the star; the first of two for one domain stands", () => {
  const entries = [
    ["a.com", 1],
    ["a.com", 2],
    ["*.com", 3],
    ["*.com", 4],
    ["*.b.com", 5],
    ["*", 6],
    ["*", 7],
  ] as const;
  const table = new DomainTable<number>(entries);
  const bare = new DomainTable<number>(entries.slice(0, 5));
  const names = ["a.com", "x.com", "x.b.com", "b.com", ".com", "com", "x.org", ""];
  assert.deepEqual(
    names.map((name) => table.find(name)),
    [1, 3, 5, 3, 6, 6, 6, 6],
  );
  assert.deepEqual(
    names.map((name) => bare.find(name)),
    [1, 3, 5, 3, undefined, undefined, undefined, undefined],
  );
});

test("DomainTable: the names of a table behind count as if they were its own, but for those that both have", () => {
  const behind = new DomainTable<string>([
    ["a.com", "behind a"],
    ["b.com", "behind b"],
    ["*.com", "behind *.com"],
    ["*.x.com", "behind *.x.com"],
    ["*.org", "behind *.org"],
    ["*", "behind *"],
  ]);
  const own: (readonly [string, string])[] = [
    ["a.com", "own a"],
    ["*.com", "own *.com"],
    ["*.y.com", "own *.y.com"],
  ];
  const names = ["a.com", "b.com", "c.com", "c.x.com", "c.y.com", "c.org", "c.net"];
  const found = (table: DomainTable<string>): (string | undefined)[] => names.map((name) => table.find(name));
  assert.deepEqual(found(new DomainTable(own, behind)), [
    "own a",
    "behind b",
    "own *.com",
    "behind *.x.com",
    "own *.y.com",
    "behind *.org",
    "behind *",
  ]);
  assert.equal(new DomainTable([...own, ["*", "own *"] as const], behind).find("c.net"), "own *");
  assert.deepEqual(found(new DomainTable([], behind)), [
    "behind a",
    "behind b",
    "behind *.com",
    "behind *.x.com",
    "behind *.com",
    "behind *.org",
    "behind *",
  ]);
});
