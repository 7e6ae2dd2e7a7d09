import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { pathPatterns } from "../../../src/analysis/tighten/path-patterns.ts";
import { DEFAULT_THRESHOLDS } from "../../../src/analysis/tighten/path-thresholds.ts";
import { PathTree } from "../../../src/analysis/tighten/path-tree.ts";
import { isPathTemplate, matchesPathTemplate, parsePathTemplate } from "../../../src/policy/path-template.ts";
import { compileTextPatterns, matchesText } from "../../../src/policy/text-pattern.ts";

const SEED = 20261122;

function patternsOf(
  paths: readonly string[],
  thresholds: Partial<typeof DEFAULT_THRESHOLDS> = {},
): readonly string[] {
  const all = { ...DEFAULT_THRESHOLDS, ...thresholds };
  const tree = new PathTree(all);
  for (const path of paths) tree.add(path, 0);
  tree.generalise();
  return (pathPatterns(tree, all).get(0) ?? []).map(({ pattern }) => pattern);
}

function matches(pattern: string, path: string): boolean {
  if (!isPathTemplate(pattern)) return matchesText(compileTextPatterns([pattern]), path);
  const template = parsePathTemplate(pattern);
  assert.ok(template !== undefined, pattern);
  return matchesPathTemplate(template, path);
}

const range = (count: number, make: (at: number) => string): string[] =>
  Array.from({ length: count }, (_, at) => make(at));

test("identifiers in one place are one pattern from the threshold on, and stay what they are below it", () => {
  assert.deepEqual(patternsOf(range(5, (at) => `/orders/${at}`)), ["/orders/{*}"]);
  assert.deepEqual(
    patternsOf(range(4, (at) => `/orders/${at}`)),
    range(4, (at) => `/orders/${at}`),
  );
  assert.deepEqual(
    patternsOf(
      range(5, (at) => `/orders/${at}`),
      { identifiers: 6 },
    ),
    range(5, (at) => `/orders/${at}`),
  );
});

test("a path that ends in a star of its own opens no prefix", () => {
  for (const path of ["/search/*", "/files/a*", "/*", "/a*b", "/a*/b"]) {
    const [pattern = assert.fail(), ...others] = patternsOf([path]);
    assert.deepEqual(others, []);
    assert.ok(matches(pattern, path), pattern);
    for (const other of [`${path}x`, path.replace(/\*$/, "x"), path.replace(/\*$/, ""), `${path}/x`])
      if (other !== path) assert.ok(!matches(pattern, other), `${pattern} takes ${other}`);
  }
  assert.deepEqual(patternsOf(["/search/*", "/search/a"]), ["*/search/*", "/search/a"]);
});

test("names beside identifiers stay names, and so do versions", () => {
  const paths = [
    ...range(9, (at) => `/orders/${at}/items`),
    "/orders/health",
    ...range(6, (at) => `/v${at}`),
  ];
  assert.deepEqual(patternsOf(paths), [
    "/orders/health",
    "/orders/{*}/items",
    ...range(6, (at) => `/v${at}`),
  ]);
});

test("words are one pattern only where many have the same continuations", () => {
  const name = (at: number): string =>
    `user${"abcdefghijklmnopqrstuvwxyz"[at % 26]}${"xyz"[Math.floor(at / 26)]}`;
  assert.deepEqual(patternsOf(range(30, (at) => `/users/${name(at)}/profile`)), ["/users/{*}/profile"]);
  const unlike = range(30, (at) => `/${name(at)}/${name(at + 1)}`);
  assert.deepEqual(patternsOf(unlike, { patterns: 100 }), unlike.toSorted());
});

test("whoever came with one value in a place of many is granted that one alone", () => {
  const tree = new PathTree(DEFAULT_THRESHOLDS);
  for (let at = 0; at < 200; at++) tree.add(`/tenants/${at}/bills`, 0);
  for (let at = 0; at < 3; at++) tree.add("/tenants/17/bills", 1);
  tree.generalise();
  const patterns = pathPatterns(tree, DEFAULT_THRESHOLDS);
  assert.deepEqual(
    patterns.get(0)?.map(({ pattern }) => pattern),
    ["/tenants/{*}/bills"],
  );
  assert.deepEqual(
    patterns.get(1)?.map(({ pattern, requests }) => [pattern, requests]),
    [["/tenants/17/bills", 3]],
  );
});

test("too many paths of one caller are shortened to the longest prefixes that many of them share", () => {
  const paths = [
    ...range(40, (at) => `/static/${"abcdefghij"[at % 10]}${"klmn"[at % 4]}/${"x".repeat(at + 1)}/a`),
    "/login",
  ];
  assert.deepEqual(patternsOf(paths), ["/login", "/static/*"]);
});

test("a pattern of values that were seen tells how many and which", () => {
  const tree = new PathTree(DEFAULT_THRESHOLDS);
  for (let at = 0; at < 7; at++) tree.add(`/a/${at}`, 0);
  tree.generalise();
  assert.deepEqual(pathPatterns(tree, DEFAULT_THRESHOLDS).get(0), [
    { pattern: "/a/{*}", requests: 7, seen: { values: 7, samples: ["0", "1", "2"] } },
  ]);
});

test("the evidence of a pattern is its own: of those that share a place each has the values that it was seen with", () => {
  const tree = new PathTree(DEFAULT_THRESHOLDS);
  for (let at = 0; at < 50; at++) {
    tree.add(`/orders/${at}`, 0);
    if (at % 5 === 2) tree.add(`/orders/${at}/items`, 0);
    if (at === 7) for (let item = 0; item < 9; item++) tree.add(`/orders/${at}/items/${item}`, 0);
    if (at < 2) tree.add(`/orders/${at}`, 1);
  }
  tree.generalise();
  const patterns = pathPatterns(tree, DEFAULT_THRESHOLDS);
  const told = (use: number) =>
    patterns.get(use)?.map(({ pattern, seen }) => [pattern, seen?.values, seen?.samples]);
  assert.deepEqual(told(0), [
    ["/orders/{*}", 50, ["0", "1", "2"]],
    ["/orders/{*}/items", 10, ["2", "7", "12"]],
    ["/orders/{*}/items/{*}", 9, ["7", "0", "1"]],
  ]);
  assert.deepEqual(told(1), [["/orders/{*}", 2, ["0", "1"]]]);
});

test("values that come once a place is known to have many are counted as far as samples tell them apart", () => {
  const tree = new PathTree(DEFAULT_THRESHOLDS);
  for (let at = 0; at < 300; at++) tree.add(`/orders/${at}`, 0);
  for (let at = 0; at < 300; at++) tree.add(`/orders/${at % 2}/late`, 0);
  tree.generalise();
  const late = pathPatterns(tree, DEFAULT_THRESHOLDS)
    .get(0)
    ?.find(({ pattern }) => pattern.endsWith("/late"));
  assert.deepEqual(late, {
    pattern: "/orders/{*}/late",
    requests: 300,
    seen: { values: 2, samples: ["0", "1"] },
  });
});

test("a path that is a template itself is granted by the folder that it lies in, not as another pattern", () => {
  assert.deepEqual(patternsOf(["/a/{*}/c"]), ["/a/*"]);
  assert.deepEqual(patternsOf(["/a*b"]), ["/a*b"]);
});

test("memory is bounded: a million different paths leave a small tree", () => {
  const tree = new PathTree(DEFAULT_THRESHOLDS);
  for (let at = 0; at < 300_000; at++) tree.add(`/${at % 1000}x/${at}/${(at * 7919) % 1_000_003}`, 0);
  let nodes = 0;
  const count = (node: typeof tree.root): void => {
    nodes++;
    for (const child of node.children.values()) count(child);
    if (node.wild !== undefined) count(node.wild);
  };
  count(tree.root);
  assert.ok(nodes < 20_001, `${nodes} nodes`);
});

const segment = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom("a", "b", "orders", "v1", "", "x*", "{*}", "{**}", "[b]", "é", "%2F", "*"),
  },
  { weight: 5, arbitrary: fc.integer({ min: 0, max: 300 }).map(String) },
  { weight: 1, arbitrary: fc.string({ maxLength: 4 }).map((text) => text.replaceAll(/[/?#\s\0]/g, "")) },
);
const arbitraryPath = fc
  .array(segment, { minLength: 1, maxLength: 5 })
  .map((segments) => `/${segments.join("/")}`);

test("every path that was seen matches one of its caller's patterns, whatever it looks like", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(arbitraryPath, fc.nat(2)), { minLength: 1, maxLength: 200 }),
      fc.integer({ min: 1, max: 10 }),
      (seen, patterns) => {
        const thresholds = { identifiers: 3, words: 4, patterns };
        const tree = new PathTree(thresholds);
        for (const [path, use] of seen) tree.add(path, use);
        tree.generalise();
        const found = pathPatterns(tree, thresholds);
        for (const [path, use] of seen)
          assert.ok(
            found.get(use)?.some(({ pattern }) => matches(pattern, path)),
            `${path} by none of ${JSON.stringify(found.get(use))}`,
          );
        const total = [...found.values()].flat().reduce((sum, { requests }) => sum + requests, 0);
        assert.equal(total, seen.length);
      },
    ),
    { seed: SEED, numRuns: 200 },
  );
});
