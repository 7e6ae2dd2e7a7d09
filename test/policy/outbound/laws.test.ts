import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { DomainTable } from "../../../src/policy/outbound/domain-table.ts";
import {
  compareSpecificity,
  hostsOverlap,
  isHostSubset,
  mostSpecific,
  newHostTable,
  resolveShortName,
  tableOf,
} from "../../../src/policy/outbound/host-name.ts";
import { RequestView } from "../../../src/policy/outbound/request-view.ts";
import { compilePathRewrite, compileRedirect } from "../../../src/policy/outbound/rewrite.ts";
import { compileStringMatch } from "../../../src/policy/outbound/string-match.ts";
import { chooseTarget, plainTarget } from "../../../src/policy/outbound/targets.ts";

const PARAMETERS = { numRuns: 300, seed: 20_260_822 } as const;

const label = fc.constantFrom("a", "b", "foo", "com", "x1");
const exactHost = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
const host = fc.oneof(
  exactHost,
  exactHost.map((name) => `*.${name}`),
  fc.constant("*"),
);

describe("host names", () => {
  test("isHostSubset() is a partial order, and implies hostsOverlap(), which is symmetric", () => {
    fc.assert(
      fc.property(host, host, host, (a, b, c) => {
        assert.ok(isHostSubset(a, a));
        if (isHostSubset(a, b) && isHostSubset(b, c)) assert.ok(isHostSubset(a, c));
        if (isHostSubset(a, b) && isHostSubset(b, a)) assert.equal(a, b);
        if (isHostSubset(a, b)) assert.ok(hostsOverlap(a, b));
        assert.equal(hostsOverlap(a, b), hostsOverlap(b, a));
      }),
      PARAMETERS,
    );
  });

  test("isHostSubset(): a wildcard covers names below it, not itself without the star, nor look-alikes", () => {
    assert.ok(isHostSubset("a.foo.com", "*.foo.com"));
    assert.ok(isHostSubset("a.b.foo.com", "*.foo.com"));
    assert.ok(!isHostSubset("foo.com", "*.foo.com"));
    assert.ok(!isHostSubset("evilfoo.com", "*.foo.com"));
    assert.ok(!isHostSubset("*.com", "*.foo.com"));
  });

  test("mostSpecific() finds the least covering host of a table, as sorting all of them does", () => {
    fc.assert(
      fc.property(fc.uniqueArray(host, { maxLength: 8 }), exactHost, (hosts, needle) => {
        const table = newHostTable<string>();
        for (const entry of hosts) tableOf(table, entry).set(entry, entry);
        const expected = hosts.filter((entry) => isHostSubset(needle, entry)).sort(compareSpecificity)[0];
        assert.equal(mostSpecific(needle, table), expected);
      }),
      PARAMETERS,
    );
  });

  test("DomainTable decides as the obvious search: exact, longest suffix, star", () => {
    fc.assert(
      fc.property(fc.uniqueArray(host, { maxLength: 8 }), exactHost, (domains, name) => {
        const table = new DomainTable(domains.map((domain) => [domain, domain] as const));
        const expected = domains.filter((entry) => isHostSubset(name, entry)).sort(compareSpecificity)[0];
        assert.equal(table.find(name), expected);
      }),
      PARAMETERS,
    );
  });

  test("resolveShortName() is idempotent and leaves names with dots, addresses and the star alone", () => {
    fc.assert(
      fc.property(fc.oneof(host, fc.ipV4(), fc.ipV6()), label, (name, namespace) => {
        const resolved = resolveShortName(name, namespace);
        assert.equal(resolveShortName(resolved, "other"), resolved);
        if (name.includes(".") || name.includes(":") || name === "*") assert.equal(resolved, name);
        else assert.equal(resolved, `${name}.${namespace}.svc.cluster.local`);
      }),
      PARAMETERS,
    );
  });
});

describe("weights", () => {
  const weights = fc.array(fc.nat({ max: 100 }), { minLength: 1, maxLength: 6 });

  test("chooseTarget() gives each target exactly its share of the unit interval, and 0 none", () => {
    fc.assert(
      fc.property(weights, (list) => {
        const targets = list.map((weight, index) => plainTarget(`t${index}`, undefined, weight));
        const total = list.reduce((sum, weight) => sum + weight, 0);
        const counts = new Map<string, number>();
        for (let slot = 0; slot < total; slot++) {
          const name = chooseTarget(targets, (slot + 0.5) / total)?.name ?? "";
          counts.set(name, (counts.get(name) ?? 0) + 1);
        }
        for (const [index, weight] of list.entries()) assert.equal(counts.get(`t${index}`) ?? 0, weight);
      }),
      { ...PARAMETERS, numRuns: 100 },
    );
  });

  test("chooseTarget() always chooses where any weight is above 0, whatever the roll", () => {
    fc.assert(
      fc.property(weights, fc.double({ min: 0, max: 0.999_999_999, noNaN: true }), (list, roll) => {
        const targets = list.map((weight, index) => plainTarget(`t${index}`, undefined, weight));
        const chosen = chooseTarget(targets, roll);
        assert.equal(
          chosen === undefined,
          list.every((weight) => weight === 0),
        );
        if (chosen !== undefined) assert.ok(chosen.weight > 0);
      }),
      PARAMETERS,
    );
  });
});

describe("paths", () => {
  const segment = fc.constantFrom("", "a", "api", "v1", "x.png");
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => `/${segments.join("/")}`);

  test("a rewrite replaces exactly the matched prefix: the rest of the path stays", () => {
    fc.assert(
      fc.property(path, path, path, (prefix, rest, replacement) => {
        const rewrite = compilePathRewrite({ uri: replacement }, { uri: { prefix } });
        assert.equal(rewrite?.(prefix + rest), replacement + rest);
      }),
      PARAMETERS,
    );
  });

  test("rewriting a prefix by itself changes nothing", () => {
    fc.assert(
      fc.property(path, path, (prefix, rest) => {
        assert.equal(
          compilePathRewrite({ uri: prefix }, { uri: { prefix } })?.(prefix + rest),
          prefix + rest,
        );
      }),
      PARAMETERS,
    );
  });

  test("behind an exact path or a pattern the whole path is replaced; without condition the leading slash", () => {
    const whole = "/a/b";
    assert.equal(compilePathRewrite({ uri: "/n" }, { uri: { exact: whole } })?.(whole), "/n");
    assert.equal(compilePathRewrite({ uri: "/n" }, { uri: { regex: "/a.*" } })?.(whole), "/n");
    assert.equal(compilePathRewrite({ uri: "/n/" }, undefined)?.(whole), "/n/a/b");
    assert.equal(compilePathRewrite({ authority: "x" }, undefined), undefined);
  });

  test("a pattern rewrite substitutes its groups, and takes dollars literally", () => {
    const rewrite = compilePathRewrite(
      { uriRegexRewrite: { match: "^/v(\\d+)/(.*)$", rewrite: "/\\2/$\\1" } },
      undefined,
    );
    assert.equal(rewrite?.("/v2/items/7"), "/items/7/$2");
  });

  const redirectTo = (redirect: Parameters<typeof compileRedirect>[0], authority: string): string => {
    const request = new RequestView({ authority, method: "GET", headers: [] }, "/p?q=1", "/p?q=1");
    return compileRedirect(redirect, undefined, 80, false)?.locate(request) ?? "none";
  };

  test("a redirect keeps path and query, and drops the port that the new scheme makes wrong", () => {
    assert.equal(redirectTo({ scheme: "https" }, "h:80"), "https://h/p?q=1");
    assert.equal(redirectTo({ scheme: "https" }, "h:8080"), "https://h:8080/p?q=1");
    assert.equal(redirectTo({ scheme: "https", port: 8443 }, "h:8080"), "https://h:8443/p?q=1");
    assert.equal(redirectTo({ scheme: "https", port: 443 }, "h:80"), "https://h/p?q=1");
    assert.equal(redirectTo({ uri: "/n", authority: "o" }, "h"), "http://o/n?q=1");
    assert.equal(redirectTo({ uri: "/n?own=1" }, "h"), "http://h/n?own=1");
    assert.equal(redirectTo({ redirectCode: 305 }, "h"), "none");
  });
});

describe("string matches", () => {
  test("exact, prefix and pattern hold for what they say and for nothing else", () => {
    const holds = (
      match: Parameters<typeof compileStringMatch>[0],
      text: string,
      ignoreCase = false,
    ): boolean => compileStringMatch(match, ignoreCase)(text);
    assert.ok(holds({ exact: "/a" }, "/a"));
    assert.ok(!holds({ exact: "/a" }, "/A"));
    assert.ok(holds({ exact: "/a" }, "/A", true));
    assert.ok(holds({ prefix: "/a" }, "/ab"), "a prefix is not by segment");
    assert.ok(!holds({ prefix: "/a" }, "/b"));
    assert.ok(holds({ prefix: "/A" }, "/ab", true));
    assert.ok(holds({ regex: "v[0-9]+" }, "v12"));
    assert.ok(!holds({ regex: "v[0-9]+" }, "xv12"), "a pattern is of the whole text");
    assert.ok(!holds({ regex: "(" }, "("), "what is no pattern matches nothing");
    assert.ok(!holds({ regex: "a(?=b)" }, "a"), "RE2 has no look-ahead");
  });

  test("a pattern that would backtrack is decided in linear time", () => {
    const matches = compileStringMatch({ regex: "(a*)*b" });
    const started = performance.now();
    assert.ok(!matches("a".repeat(20_000)));
    assert.ok(performance.now() - started < 15_000);
  });
});
