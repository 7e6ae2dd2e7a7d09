/** https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMatchRequest */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  compileClauses,
  concernsClient,
  conjunction,
  isCatchAll,
  type RouteClient,
  wording,
} from "../../../src/policy/outbound/http-match.ts";
import { RequestView } from "../../../src/policy/outbound/request-view.ts";
import type { HttpMatch, StringMatch } from "../../../src/policy/outbound/resource-shapes.ts";

interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly authority?: string;
  readonly headers?: readonly string[];
  readonly claims?: Readonly<Record<string, unknown>>;
}

function request({ path = "/", method = "GET", authority = "h", headers = [], claims }: Asked): RequestView {
  const parts = { authority, method, headers, ...(claims === undefined ? {} : { claims }) };
  return new RequestView(parts, path, path);
}

function takes(match: HttpMatch, asked: Asked, scheme = "http"): boolean {
  return conjunction(compileClauses(match, scheme))(request(asked));
}

const CLIENT: RouteClient = {
  namespace: "foo",
  labels: { app: "web", tier: "front" },
  gateway: "mesh",
  listenPort: 80,
};

const CONCERNS: readonly [match: HttpMatch, concerns: boolean][] = [
  [{}, true],
  [{ port: 80 }, true],
  [{ port: 81 }, false],
  [{ port: 0 }, true],
  [{ gateways: ["mesh"] }, true],
  [{ gateways: ["foo/gw", "mesh"] }, true],
  [{ gateways: ["foo/gw"] }, false],
  [{ gateways: [] }, true],
  [{ gateways: ["mesh"], port: 81 }, false],
  [{ sourceLabels: { app: "web" } }, true],
  [{ sourceLabels: { app: "other" } }, false],
  [{ sourceLabels: { app: "web", zone: "a" } }, false],
  [{ sourceNamespace: "foo" }, true],
  [{ sourceNamespace: "bar" }, false],
  [{ sourceNamespace: "" }, true],
  [{ gateways: ["mesh"], sourceNamespace: "bar", sourceLabels: { app: "other" } }, true],
  [{ gateways: [], sourceNamespace: "bar" }, false],
];
for (const [match, concerns] of CONCERNS)
  test(`${JSON.stringify(match)} ${concerns ? "concerns" : "does not concern"} a client app=web of foo on port 80`, () => {
    assert.equal(concernsClient(match, CLIENT), concerns);
  });

const CATCH_ALL: readonly [match: HttpMatch | undefined, catchesAll: boolean][] = [
  [undefined, true],
  [{}, true],
  [{ uri: {} }, true],
  [{ uri: { regex: "*" } }, true],
  [{ uri: { prefix: "/" } }, true],
  [{ uri: { regex: ".*" } }, true],
  [{ uri: { prefix: "/a" } }, false],
  [{ uri: { regex: "/a" } }, false],
  [{ uri: { exact: "/" } }, false],
  [{ uri: { exact: "/", prefix: "/" } }, false],
  [{ uri: { pathPrefix: "/a", prefix: "/" } }, false],
  [{ uri: { pathPrefix: "/a" } }, false],
  [{ method: { exact: "GET" } }, false],
  [{ authority: { exact: "h" } }, false],
  [{ scheme: { exact: "http" } }, false],
  [{ headers: { a: {} } }, false],
  [{ withoutHeaders: { a: {} } }, false],
  [{ queryParams: { a: {} } }, false],
  [{ headers: {}, withoutHeaders: {}, queryParams: {} }, true],
  [{ port: 80, sourceLabels: { app: "web" } }, true],
];
for (const [match, catchesAll] of CATCH_ALL)
  test(`${JSON.stringify(match)} ${catchesAll ? "takes" : "does not take"} every request`, () => {
    assert.equal(isCatchAll(match), catchesAll);
  });

const CASES: readonly [match: HttpMatch, asked: Asked, takes: boolean][] = [
  [{}, {}, true],
  [{ uri: { prefix: "/a" } }, { path: "/ab" }, true],
  [{ uri: { prefix: "/a" } }, { path: "/b" }, false],
  [{ uri: { exact: "/a" } }, { path: "/a?b=/c" }, true],
  [{ uri: { prefix: "/A" } }, { path: "/a" }, false],
  [{ uri: { prefix: "/A" }, ignoreUriCase: true }, { path: "/ab" }, true],
  [{ uri: { exact: "/A" }, ignoreUriCase: true }, { path: "/a" }, true],
  [{ uri: { exact: "/A" }, ignoreUriCase: false }, { path: "/a" }, false],
  [{ uri: { regex: "*" } }, { path: "/a" }, true],
  [{ method: { exact: "GET" } }, { method: "GET" }, true],
  [{ method: { exact: "GET" } }, { method: "get" }, false],
  [{ method: { exact: "GET" }, ignoreUriCase: true }, { method: "get" }, false],
  [{ authority: { prefix: "h" } }, { authority: "host:80" }, true],
  [{ authority: { prefix: "h" } }, { authority: "ghost" }, false],
  [{ scheme: { exact: "http" } }, {}, true],
  [{ scheme: { exact: "https" } }, {}, false],
  [{ headers: { "X-A": { exact: "1" } } }, { headers: ["x-a", "1"] }, true],
  [{ headers: { "X-A": { exact: "1" } } }, { headers: ["x-a", "2"] }, false],
  [{ headers: { "X-A": { exact: "1" } } }, {}, false],
  [{ headers: { "x-a": { regex: ".*" } } }, {}, false],
  [{ headers: { "x-a": {} } }, { headers: ["x-a", ""] }, true],
  [{ headers: { "X-A": { regex: "*" } } }, { headers: ["x-a", "1"] }, true],
  [{ headers: { "x-a": {} } }, { headers: ["x-b", "1"] }, false],
  [{ headers: { a: {}, b: {} } }, { headers: ["a", "1", "b", "1"] }, true],
  [{ headers: { a: {}, b: {} } }, { headers: ["a", "1"] }, false],
  [{ headers: { a: {}, b: {} } }, { headers: ["b", "1"] }, false],
  [{ withoutHeaders: { "X-A": {} } }, {}, true],
  [{ withoutHeaders: { "X-A": {} } }, { headers: ["x-a", "1"] }, false],
  [{ withoutHeaders: { "X-A": { exact: "1" } } }, {}, true],
  [{ withoutHeaders: { "X-A": { exact: "1" } } }, { headers: ["x-a", "2"] }, true],
  [{ withoutHeaders: { "X-A": { exact: "1" } } }, { headers: ["x-a", "1"] }, false],
  [{ withoutHeaders: { "x-a": { exact: "" } } }, {}, false],
  [{ withoutHeaders: { "x-a": { prefix: "" } } }, {}, false],
  [{ queryParams: { a: {} } }, { path: "/?a" }, true],
  [{ queryParams: { a: {} } }, { path: "/?b" }, false],
  [{ queryParams: { a: { exact: "1" } } }, { path: "/?b=2&a=1" }, true],
  [{ queryParams: { a: { exact: "1" } } }, { path: "/?a=2" }, false],
  [{ queryParams: { a: { prefix: "" } } }, { path: "/" }, false],
  [{ queryParams: { a: { regex: "*" } } }, { path: "/?a" }, true],
  [{ queryParams: { A: {} } }, { path: "/?a" }, false],
  [{ uri: { prefix: "/a" }, method: { exact: "GET" }, authority: { exact: "h" } }, { path: "/a" }, true],
  [{ uri: { prefix: "/a" }, method: { exact: "GET" }, authority: { exact: "i" } }, { path: "/a" }, false],
  [{ uri: { prefix: "/b" }, method: { exact: "GET" }, authority: { exact: "h" } }, { path: "/a" }, false],
];
for (const [match, asked, expected] of CASES)
  test(`${JSON.stringify(match)} ${expected ? "takes" : "does not take"} ${JSON.stringify(asked)}`, () => {
    assert.equal(takes(match, asked), expected);
  });

test("the scheme is the proxy's", () => {
  assert.equal(takes({ scheme: { exact: "https" } }, {}, "https"), true);
});

describe("claims of a verified token", () => {
  const claims = {
    sub: "jason",
    groups: ["admins", 7, "users"],
    realm: { roles: ["a"], "x.y": "deep" },
    age: 7,
    nothing: null,
  };
  const exact = (text: string): StringMatch => ({ exact: text });
  const CLAIMS: readonly [header: string, value: StringMatch, holds: boolean][] = [
    ["@request.auth.claims.sub", exact("jason"), true],
    ["@request.auth.claims.sub", exact("other"), false],
    ["@request.auth.claims[sub]", exact("jason"), true],
    ["@Request.Auth.Claims[sub]", exact("jason"), true],
    ["@request.auth.claims.groups", exact("users"), true],
    ["@request.auth.claims.groups", exact("7"), false],
    ["@request.auth.claims[realm][roles]", exact("a"), true],
    ["@request.auth.claims.realm.roles", exact("a"), true],
    ["@request.auth.claims[realm][x.y]", exact("deep"), true],
    ["@request.auth.claims.realm.x.y", exact("deep"), false],
    ["@request.auth.claims[realm]", { prefix: "" }, false],
    ["@request.auth.claims.age", exact("7"), false],
    ["@request.auth.claims.nothing", { prefix: "" }, false],
    ["@request.auth.claims.nothing.more", { prefix: "" }, false],
    ["@request.auth.claims.sub.length", { prefix: "" }, false],
    ["@request.auth.claims.absent", { prefix: "" }, false],
    ["@request.auth.claims.toString", { prefix: "" }, false],
    ["@request.auth.claims.sub", {}, true],
    ["@request.auth.claims.absent", {}, false],
  ];
  for (const [header, value, holds] of CLAIMS)
    test(`${header} ${wording(value)} ${holds ? "holds" : "does not hold"}`, () => {
      assert.equal(takes({ headers: { [header]: value } }, { claims }), holds);
      assert.equal(takes({ withoutHeaders: { [header]: value } }, { claims }), !holds, "negated");
      assert.equal(takes({ headers: { [header]: value } }, {}), false, "without a token");
    });

  test("what only begins, or only goes on so, is a header like any other", () => {
    const long = "x-as-long-as-theword.sub";
    assert.equal(takes({ headers: { [long]: exact("1") } }, { headers: [long, "1"], claims }), true);
    const headers = [
      "@request.auth.claims",
      "1",
      "@request.auth.claimsx",
      "2",
      "@request.auth.claims[a",
      "3",
    ];
    headers.push("@request.auth.claimsa]", "4");
    for (const [index, value] of ["1", "2", "3", "4"].entries()) {
      const name = headers[2 * index] ?? "";
      assert.equal(takes({ headers: { [name]: exact(value) } }, { headers }), true, name);
      assert.equal(takes({ withoutHeaders: { [name]: exact(value) } }, { headers }), false, name);
    }
  });
});

test("each condition has its words", () => {
  const match: HttpMatch = {
    uri: { prefix: "/a" },
    method: { exact: "GET" },
    authority: { regex: "h.*" },
    scheme: { exact: "http" },
    headers: { a: {}, b: { regex: "*" } },
    withoutHeaders: { c: { exact: "1" } },
    queryParams: { d: { exact: "" } },
  };
  assert.deepEqual(
    compileClauses(match, "http").map(({ text }) => text()),
    [
      "path under `/a`",
      "method = `GET`",
      "authority ~ `h.*`",
      "scheme = `http`",
      "header a present",
      "header b present",
      "no header c = `1`",
      "query parameter d = ``",
    ],
  );
  assert.equal(wording({ pathPrefix: "/a" }), "within `/a`");
});
