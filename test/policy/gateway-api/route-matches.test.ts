/** Which requests a rule takes, whole, in a VirtualService's terms, and which of several rules is asked first. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bySpecificity, grpcMatch, httpMatch } from "../../../src/policy/gateway-api/route-matches.ts";
import type { HttpMatch } from "../../../src/policy/outbound/resource-shapes.ts";

describe("httpMatch()", () => {
  for (const [match, expected] of [
    [{}, { uri: { prefix: "/" } }],
    [{ path: {} }, { uri: { prefix: "/" } }],
    [{ path: { value: "/" } }, { uri: { prefix: "/" } }],
    [{ path: { value: "/a" } }, { uri: { pathPrefix: "/a" } }],
    [{ path: { type: "PathPrefix", value: "/a/b/" } }, { uri: { pathPrefix: "/a/b" } }],
    [{ path: { type: "Exact", value: "/a/" } }, { uri: { exact: "/a/" } }],
    [{ path: { type: "Exact" } }, { uri: { exact: "/" } }],
    [{ path: { type: "RegularExpression", value: "/a+/" } }, { uri: { regex: "/a+/" } }],
    [{ method: "POST" }, { uri: { prefix: "/" }, method: { exact: "POST" } }],
    [
      {
        headers: [
          { name: "X-A", value: "1" },
          { type: "RegularExpression", name: "x-b", value: "2+" },
        ],
      },
      { uri: { prefix: "/" }, headers: { "x-a": { exact: "1" }, "x-b": { regex: "2+" } } },
    ],
    // Of several conditions on one name the first counts; names of headers ignore case, those of parameters do not.
    [
      {
        headers: [
          { type: "Exact", name: "X-A", value: "1" },
          { name: "x-a", value: "2" },
        ],
      },
      { uri: { prefix: "/" }, headers: { "x-a": { exact: "1" } } },
    ],
    [
      {
        queryParams: [
          { name: "v", value: "1" },
          { name: "V", value: "2" },
          { name: "v", value: "3" },
          { type: "RegularExpression", name: "w", value: "." },
        ],
      },
      { uri: { prefix: "/" }, queryParams: { v: { exact: "1" }, V: { exact: "2" }, w: { regex: "." } } },
    ],
  ] as const)
    test(JSON.stringify(match), () => assert.deepEqual(httpMatch(match), expected));

  test("a name that objects have of their own is a name as any other", () =>
    assert.deepEqual(
      Object.entries(httpMatch({ headers: [{ name: "__proto__", value: "1" }] }).headers ?? {}),
      [["__proto__", { exact: "1" }]],
    ));
});

describe("grpcMatch()", () => {
  const headers = [{ name: "X-A", value: "1" }];
  for (const [match, expected] of [
    [{}, {}],
    [{ method: {} }, {}],
    [{ method: { service: "a.S", method: "M" } }, { uri: { exact: "/a.S/M" } }],
    [{ method: { type: "Exact", service: "a.S" } }, { uri: { prefix: "/a.S/" } }],
    [{ method: { method: "M" } }, { uri: { regex: "/[^/]+/M" } }],
    [{ method: { type: "RegularExpression", service: "a.*", method: "M+" } }, { uri: { regex: "/a.*/M+" } }],
    [{ method: { type: "RegularExpression", service: "a.*" } }, { uri: { regex: "/a.*/.+" } }],
    [{ method: { type: "RegularExpression", method: "M+" } }, { uri: { regex: "/[^/]+/M+" } }],
    [{ headers }, { headers: { "x-a": { exact: "1" } } }],
    [
      { method: { method: "M" }, headers },
      { uri: { regex: "/[^/]+/M" }, headers: { "x-a": { exact: "1" } } },
    ],
  ] as const)
    test(JSON.stringify(match), () => assert.deepEqual(grpcMatch(match), expected));
});

describe("bySpecificity()", () => {
  const some = { x: { exact: "1" } };
  /** Pairs of which the first is asked first. */
  const PAIRS: readonly (readonly [why: string, first: HttpMatch, second: HttpMatch])[] = [
    ["exact before a longer prefix", { uri: { exact: "/a" } }, { uri: { pathPrefix: "/a/long" } }],
    ["exact before a longer prefix as text", { uri: { exact: "/a" } }, { uri: { prefix: "/a/long" } }],
    ["a prefix before a longer pattern", { uri: { pathPrefix: "/a" } }, { uri: { regex: "/long.*" } }],
    ["any path's prefix before a pattern", { uri: { prefix: "/" } }, { uri: { regex: "/long.*" } }],
    ["a pattern before no path", { uri: { regex: "" } }, {}],
    ["a pattern before no path, whatever else", { uri: { regex: "" } }, { method: { exact: "GET" } }],
    [
      "the longer of exact ones",
      { uri: { exact: "/ab" } },
      { uri: { exact: "/a" }, method: { exact: "GET" } },
    ],
    ["the longer of prefixes", { uri: { pathPrefix: "/ab" } }, { uri: { pathPrefix: "/a" }, headers: some }],
    ["the longer of prefixes of both kinds", { uri: { pathPrefix: "/ab" } }, { uri: { prefix: "/" } }],
    ["the longer of patterns", { uri: { regex: "/ab" } }, { uri: { regex: "/a" }, queryParams: some }],
    ["a method before headers", { method: { exact: "GET" } }, { headers: some }],
    ["headers before parameters", { headers: some }, { queryParams: some }],
    ["more headers", { headers: { ...some, y: {} } }, { headers: some, queryParams: { ...some, y: {} } }],
    ["more parameters", { queryParams: { ...some, y: {} } }, { queryParams: some }],
    ["parameters before none", { queryParams: some }, {}],
  ];
  for (const [why, first, second] of PAIRS)
    test(why, () => {
      const [a, b] = [{ match: [first] }, { match: [second] }];
      assert.deepEqual(bySpecificity([a, b]), [a, b]);
      assert.deepEqual(bySpecificity([b, a]), [a, b]);
    });

  test("equal ones keep their order, and the given list is left as it is", () => {
    const routes = ["3", "1", "2"].map((name) => ({ name, match: [{ uri: { exact: "/a" } }] }));
    const given = [{ name: "last", match: [{}] }, ...routes];
    assert.deepEqual(
      bySpecificity(given).map(({ name }) => name),
      ["3", "1", "2", "last"],
    );
    assert.deepEqual(
      given.map(({ name }) => name),
      ["last", "3", "1", "2"],
    );
  });

  test("a route without conditions is asked after those with any", () => {
    const [none, some] = [{ name: "none" }, { match: [{ queryParams: { x: {} } }] }];
    assert.deepEqual(bySpecificity([none, some]), [some, none]);
  });
});
