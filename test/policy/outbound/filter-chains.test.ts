/** Which filter chain takes a connection: Envoy's order, by address, then server name, then application protocol. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  ChainMatcher,
  type ChainTarget,
  type FilterChain,
  type Opening,
  sameConditions,
  takesEverything,
} from "../../../src/policy/outbound/filter-chains.ts";

const BY = { resource: null, section: "default", route: null } as const;

/** A target that is known by its name. */
function target(name: string): ChainTarget {
  return { kind: "tcp", forward: { by: { ...BY, routeName: name }, targets: [], weighted: false } };
}

function chain(name: string, conditions: Partial<FilterChain> = {}): FilterChain {
  return { serverNames: [], blocks: [], onlyHttp: false, target: target(name), ...conditions };
}

const TCP: Opening = { kind: "tcp" };
const HTTP: Opening = { kind: "http" };
const tls = (sni: string | undefined): Opening => ({ kind: "tls", sni });

function found(matcher: ChainMatcher, address: string | undefined, opening: Opening): string | undefined {
  const taken = matcher.find(address, opening);
  return taken?.kind === "tcp" ? taken.forward.by.routeName : undefined;
}

describe("conditions", () => {
  test("a chain without any, or for the name *, takes everything", () => {
    assert.equal(takesEverything(chain("c")), true);
    assert.equal(takesEverything(chain("c", { serverNames: ["a", "*"] })), true);
    assert.equal(takesEverything(chain("c", { serverNames: ["a"] })), false);
    assert.equal(takesEverything(chain("c", { blocks: ["10.0.0.0/8"] })), false);
    assert.equal(takesEverything(chain("c", { onlyHttp: true })), false);
  });

  const SAME: readonly [a: Partial<FilterChain>, b: Partial<FilterChain>, same: boolean][] = [
    [{}, {}, true],
    [{ serverNames: ["a", "b"] }, { serverNames: ["b", "a"] }, true],
    [{ serverNames: ["a"] }, { serverNames: ["a", "b"] }, false],
    [{ serverNames: ["a", "*"] }, { serverNames: ["a"] }, true],
    [{ serverNames: ["*"] }, {}, true],
    [{ blocks: ["10.0.0.0/8"] }, { blocks: ["10.0.0.0/8"] }, true],
    [{ blocks: ["10.0.0.0/8"] }, {}, false],
    [{ onlyHttp: true }, { onlyHttp: true }, true],
    [{ onlyHttp: true }, {}, false],
    [{ blocks: ["10.0.0.0/8"], serverNames: ["a"] }, { blocks: ["10.0.0.0/8"] }, false],
  ];
  for (const [a, b, same] of SAME)
    test(`${JSON.stringify(a)} and ${JSON.stringify(b)} are ${same ? "" : "not "}the same`, () => {
      assert.equal(sameConditions(chain("a", a), chain("b", b)), same);
      assert.equal(sameConditions(chain("b", b), chain("a", a)), same);
    });
});

describe("ChainMatcher", () => {
  test("names: exact, longest suffix, else the chain for all; case does not count; the first of two stands", () => {
    const matcher = new ChainMatcher([
      chain("exact", { serverNames: ["A.com", "b.com"] }),
      chain("again", { serverNames: ["a.com"] }),
      chain("suffix", { serverNames: ["*.com"] }),
      chain("all"),
      chain("all again"),
    ]);
    assert.equal(matcher.readsSni, true);
    assert.equal(found(matcher, undefined, tls("a.com")), "exact");
    assert.equal(found(matcher, undefined, tls("a.COM")), "exact");
    assert.equal(found(matcher, undefined, tls("b.com")), "exact");
    assert.equal(found(matcher, "10.0.0.1", tls("x.com")), "suffix");
    for (const opening of [tls("x.org"), tls(undefined), tls(""), TCP, HTTP])
      assert.equal(found(matcher, undefined, opening), "all", JSON.stringify(opening));
  });

  test("a chain for a name and for * is for all: it comes after an earlier one for all", () => {
    const both = chain("both", { serverNames: ["a.com", "*"] });
    assert.equal(found(new ChainMatcher([chain("all"), both]), undefined, tls("a.com")), "all");
    assert.equal(found(new ChainMatcher([both, chain("all")]), undefined, tls("b.com")), "both");
  });

  test("without a chain for all a connection of no listed name is taken by none", () => {
    const matcher = new ChainMatcher([chain("named", { serverNames: ["a.com"] })]);
    assert.equal(found(matcher, undefined, tls("a.com")), "named");
    for (const opening of [tls("b.com"), tls(undefined), TCP, HTTP])
      assert.equal(found(matcher, undefined, opening), undefined);
    assert.equal(new ChainMatcher([]).find(undefined, TCP), undefined);
    assert.equal(new ChainMatcher([]).readsSni, false);
    assert.equal(new ChainMatcher([chain("all")]).readsSni, false);
  });

  test("clear HTTP has chains of its own, which take nothing else", () => {
    const both = new ChainMatcher([
      chain("http", { onlyHttp: true }),
      chain("http again", { onlyHttp: true }),
      chain("bytes"),
    ]);
    assert.deepEqual([found(both, undefined, HTTP), found(both, undefined, TCP)], ["http", "bytes"]);
    assert.equal(found(both, undefined, tls("a.com")), "bytes");
    const only = new ChainMatcher([chain("http", { onlyHttp: true })]);
    assert.deepEqual([found(only, undefined, HTTP), found(only, undefined, TCP)], ["http", undefined]);
  });

  test("the smallest block decides, and there is no way back from it but to the chain for all", () => {
    const matcher = new ChainMatcher([
      chain("wide", { blocks: ["10.0.0.0/8", "192.168.0.0/16"] }),
      chain("narrow", { blocks: ["10.1.0.0/16"], serverNames: ["a.com"] }),
      chain("narrow http", { blocks: ["10.1.0.0/16"], onlyHttp: true }),
      chain("no block", { blocks: ["nonsense"] }),
      chain("six", { blocks: ["fd00::/8"] }),
      chain("anywhere", { serverNames: ["a.com"] }),
      chain("all"),
    ]);
    assert.equal(found(matcher, "10.2.0.1", TCP), "wide");
    assert.equal(found(matcher, "192.168.7.7", TCP), "wide");
    assert.equal(found(matcher, "10.2.0.1", tls("a.com")), "wide");
    assert.equal(found(matcher, "10.1.0.1", tls("a.com")), "narrow");
    assert.equal(found(matcher, "10.1.0.1", HTTP), "narrow http");
    assert.equal(found(matcher, "10.1.0.1", TCP), "all");
    assert.equal(found(matcher, "10.1.0.1", tls("b.com")), "all");
    assert.equal(found(matcher, "fd00::1", TCP), "six");
    for (const address of ["11.0.0.1", "not an address", undefined]) {
      assert.equal(found(matcher, address, tls("a.com")), "anywhere");
      assert.equal(found(matcher, address, TCP), "all");
    }
  });

  test("a chain of several blocks takes each, whichever of two for a block comes first stands", () => {
    const matcher = new ChainMatcher([
      chain("first", { blocks: ["10.1.0.0/16"] }),
      chain("second", { blocks: ["10.1.0.0/16", "10.2.0.0/16"] }),
    ]);
    assert.equal(found(matcher, "10.1.0.1", TCP), "first");
    assert.equal(found(matcher, "10.2.0.1", TCP), "second");
    assert.equal(found(matcher, "10.3.0.1", TCP), undefined);
  });
});
