/** What a delegate's route is under its root: https://istio.io/latest/docs/reference/config/networking/virtual-service/#Delegate */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mergeDelegate } from "../../../src/policy/outbound/delegates.ts";
import type { HttpMatch, HttpRoute } from "../../../src/policy/outbound/resource-shapes.ts";

const TO = [{ destination: { host: "own" } }];

function merged(root: HttpRoute, own: HttpRoute): HttpRoute | undefined {
  const [route, ...rest] = mergeDelegate(root, [own]);
  assert.deepEqual(rest, []);
  return route;
}

/** The conditions that the delegate's route has in the end; undefined where it is left out. */
function conditions(root: HttpMatch, own: HttpMatch): readonly HttpMatch[] | undefined {
  return merged({ match: [root] }, { match: [own] })?.match;
}

const NOTHING_MORE = {
  headers: {},
  withoutHeaders: {},
  queryParams: {},
  sourceLabels: {},
  ignoreUriCase: false,
} as const;

describe("settings of a root", () => {
  const settings: HttpRoute = {
    rewrite: { uri: "/root" },
    directResponse: { status: 200 },
    timeout: "1s",
    retries: { attempts: 1 },
    fault: { abort: { httpStatus: 500 } },
    mirror: { host: "root" },
    mirrorPercent: 1,
    mirrorPercentage: { value: 1 },
    corsPolicy: { maxAge: "1s" },
    mirrors: [{ destination: { host: "root" } }],
    headers: { request: { set: { root: "1" } } },
  };

  test("hold for a delegate's route that says nothing, each of them; routes, redirect and delegate do not", () => {
    const root: HttpRoute = {
      ...settings,
      route: [{ destination: { host: "root" } }],
      redirect: { uri: "/root" },
      delegate: { name: "d" },
    };
    assert.deepEqual(merged(root, { route: TO }), { ...settings, route: TO, match: [] });
    assert.deepEqual(merged(root, {}), { ...settings, match: [] });
  });

  test("give way to the delegate's own, each of them", () => {
    const own: HttpRoute = {
      rewrite: { uri: "/own" },
      directResponse: { status: 201 },
      timeout: "2s",
      retries: { attempts: 2 },
      fault: { abort: { httpStatus: 501 } },
      mirror: { host: "own" },
      mirrorPercent: 2,
      mirrorPercentage: { value: 2 },
      corsPolicy: { maxAge: "2s" },
      mirrors: [{ destination: { host: "own" } }],
      headers: { request: { set: { own: "1" } } },
    };
    assert.deepEqual(merged(settings, own), { ...own, match: [] });
    assert.deepEqual(merged({}, own), { ...own, match: [] });
  });

  test("names are joined by a hyphen where both have one", () => {
    const name = (root: HttpRoute, own: HttpRoute): string | undefined => merged(root, own)?.name;
    assert.equal(name({ name: "root" }, { name: "own" }), "root-own");
    assert.equal(name({ name: "root" }, {}), "root");
    assert.equal(name({ name: "root" }, { name: "" }), "root");
    assert.equal(name({}, { name: "own" }), "own");
    assert.equal(name({ name: "" }, { name: "own" }), "own");
    assert.deepEqual(merged({}, { route: TO }), { route: TO, match: [] });
  });
});

describe("conditions of a delegate", () => {
  test("where one side has none, those of the other hold as they are", () => {
    const match: HttpMatch[] = [{ uri: { prefix: "/a" } }, { uri: { exact: "/b" } }];
    assert.deepEqual(merged({ match }, { route: TO }), { route: TO, match });
    assert.deepEqual(merged({ match }, { route: TO, match: [] }), { route: TO, match });
    assert.deepEqual(merged({}, { route: TO, match }), { route: TO, match });
    assert.deepEqual(merged({ match: [] }, { route: TO, match }), { route: TO, match });
  });

  test("each is joined with every one of the root's that it is within", () => {
    const root: HttpMatch[] = [
      { uri: { prefix: "/a" } },
      { uri: { prefix: "/a/b" }, method: { exact: "GET" } },
      { uri: { prefix: "/z" } },
    ];
    assert.deepEqual(merged({ match: root }, { match: [{ uri: { exact: "/a/b/c" } }] })?.match, [
      { ...NOTHING_MORE, uri: { exact: "/a/b/c" } },
      { ...NOTHING_MORE, uri: { exact: "/a/b/c" }, method: { exact: "GET" } },
    ]);
  });

  test("a route with one condition that is within none of the root's is left out, and no other route is", () => {
    const root: HttpRoute = { match: [{ uri: { prefix: "/a" } }] };
    const within: HttpRoute = { match: [{ uri: { prefix: "/a" } }] };
    const mixed: HttpRoute = { match: [{ uri: { prefix: "/a" } }, { uri: { prefix: "/b" } }] };
    assert.deepEqual(mergeDelegate(root, [mixed, within]), [
      undefined,
      { match: [{ ...NOTHING_MORE, uri: { prefix: "/a" } }] },
    ]);
    assert.deepEqual(mergeDelegate(root, []), []);
  });

  test("every field is the delegate's where it has one, else the root's; maps are united", () => {
    const root: HttpMatch = {
      name: "root",
      uri: { prefix: "/a" },
      scheme: { prefix: "http" },
      method: { prefix: "G" },
      authority: { prefix: "h" },
      headers: { a: { prefix: "1" }, b: { exact: "root" } },
      withoutHeaders: { c: { prefix: "1" }, d: { exact: "root" } },
      queryParams: { e: { prefix: "1" }, f: { exact: "root" } },
      sourceLabels: { app: "web", tier: "root" },
      sourceNamespace: "foo",
      port: 80,
      gateways: ["mesh", "foo/gw"],
      ignoreUriCase: true,
    };
    const own: HttpMatch = {
      name: "own",
      uri: { prefix: "/a/b" },
      scheme: { exact: "https" },
      method: { exact: "GET" },
      authority: { exact: "host" },
      headers: { a: { exact: "12" }, g: { exact: "own" } },
      withoutHeaders: { c: { exact: "12" }, h: { exact: "own" } },
      queryParams: { e: { exact: "12" }, i: { exact: "own" } },
      sourceLabels: { app: "web", zone: "own" },
      sourceNamespace: "foo",
      port: 80,
      gateways: ["foo/gw"],
      ignoreUriCase: true,
    };
    assert.deepEqual(conditions(root, own), [
      {
        ...own,
        name: "root-own",
        headers: { a: { exact: "12" }, b: { exact: "root" }, g: { exact: "own" } },
        withoutHeaders: { c: { exact: "12" }, d: { exact: "root" }, h: { exact: "own" } },
        queryParams: { e: { exact: "12" }, f: { exact: "root" }, i: { exact: "own" } },
        sourceLabels: { app: "web", tier: "root", zone: "own" },
      },
    ]);
    const { sourceNamespace: _mustBeSaid, ...open } = root;
    const unset: HttpMatch = { name: "", sourceNamespace: "", port: 0, gateways: [], ignoreUriCase: true };
    assert.deepEqual(conditions(open, unset), [open]);
    assert.deepEqual(conditions({ ignoreUriCase: false }, own), undefined);
    assert.deepEqual(conditions({}, { ...own, ignoreUriCase: false }), [{ ...own, ignoreUriCase: false }]);
    assert.deepEqual(conditions({}, {}), [NOTHING_MORE]);
  });

  const TEXTS: readonly [root: HttpMatch["uri"], own: HttpMatch["uri"], within: boolean][] = [
    [undefined, { regex: "/a.*" }, true],
    [{ regex: "/a.*" }, undefined, true],
    [{ exact: "/a" }, { exact: "/a" }, true],
    [{ exact: "/a" }, { exact: "/a/b" }, false],
    [{ exact: "/a" }, { prefix: "/a" }, false],
    [{ exact: "/a" }, { regex: "/a" }, false],
    [{ exact: "/a" }, {}, false],
    [{ prefix: "/a" }, { prefix: "/a" }, true],
    [{ prefix: "/a" }, { prefix: "/a/b" }, true],
    [{ prefix: "/a/b" }, { prefix: "/a" }, false],
    [{ prefix: "/a" }, { exact: "/a/b" }, true],
    [{ prefix: "/a/b" }, { exact: "/a" }, false],
    [{ prefix: "/a" }, { exact: "/b/a" }, false],
    [{ prefix: "/a" }, { regex: "/a.*" }, false],
    [{ prefix: "/a" }, {}, false],
    [{ prefix: "" }, { prefix: "/a" }, false],
    [{ regex: "/a.*" }, { exact: "/ab" }, false],
    [{ regex: "/a.*" }, { prefix: "/ab" }, false],
    [{ regex: "/a.*" }, { regex: "/a.*" }, false],
    [{ regex: "/a.*" }, {}, false],
    [{}, { exact: "/a" }, false],
    [{}, {}, false],
  ];

  for (const [root, own, within] of TEXTS)
    test(`${JSON.stringify(own)} is ${within ? "" : "not "}within ${JSON.stringify(root)}, whatever the field`, () => {
      for (const field of ["uri", "scheme", "method", "authority"] as const)
        assert.equal(
          conditions(
            root === undefined ? {} : { [field]: root },
            own === undefined ? {} : { [field]: own },
          ) !== undefined,
          within,
          field,
        );
      for (const field of ["headers", "withoutHeaders", "queryParams"] as const) {
        const outer = root === undefined ? {} : { [field]: { x: root } };
        const inner = own === undefined ? {} : { [field]: { x: own } };
        assert.equal(conditions(outer, inner) !== undefined, within, field);
        const free = own === undefined ? {} : { [field]: { free: { exact: "1" }, x: own } };
        assert.equal(conditions(outer, free) !== undefined, within, `${field} beside a free one`);
      }
    });

  const SOURCES: readonly [root: HttpMatch, own: HttpMatch, within: boolean][] = [
    [{ port: 80 }, { port: 80 }, true],
    [{ port: 80 }, { port: 81 }, false],
    [{ port: 80 }, {}, true],
    [{ port: 80 }, { port: 0 }, true],
    [{}, { port: 80 }, true],
    [{ port: 0 }, { port: 80 }, true],
    [{ sourceNamespace: "a" }, { sourceNamespace: "a" }, true],
    [{ sourceNamespace: "a" }, { sourceNamespace: "b" }, false],
    [{ sourceNamespace: "a" }, {}, false],
    [{ sourceNamespace: "" }, { sourceNamespace: "b" }, true],
    [{}, { sourceNamespace: "b" }, true],
    [{ sourceLabels: { app: "a" } }, { sourceLabels: { app: "a" } }, true],
    [{ sourceLabels: { app: "a" } }, { sourceLabels: { app: "b" } }, false],
    [{ sourceLabels: { app: "a" } }, { sourceLabels: { tier: "b" } }, true],
    [{ sourceLabels: { app: "a" } }, {}, true],
    [{}, { sourceLabels: { app: "b" } }, true],
    [{ gateways: ["a", "b"] }, { gateways: ["b"] }, true],
    [{ gateways: ["a", "b"] }, { gateways: ["b", "a"] }, true],
    [{ gateways: ["a", "b"] }, { gateways: ["b", "c"] }, false],
    [{ gateways: ["a"] }, { gateways: ["a", "a"] }, false],
    [{ gateways: ["a"] }, { gateways: [] }, true],
    [{ gateways: ["a"] }, {}, true],
    [{ gateways: [] }, { gateways: ["a"] }, true],
    [{}, { gateways: ["a"] }, true],
    [{ ignoreUriCase: true }, { ignoreUriCase: true }, true],
    [{ ignoreUriCase: true }, {}, false],
    [{}, { ignoreUriCase: true }, false],
    [{ ignoreUriCase: false }, {}, true],
  ];

  for (const [root, own, within] of SOURCES)
    test(`${JSON.stringify(own)} is ${within ? "" : "not "}within ${JSON.stringify(root)}`, () => {
      assert.equal(conditions(root, own) !== undefined, within);
    });
});
