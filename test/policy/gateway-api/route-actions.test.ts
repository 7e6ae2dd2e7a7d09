/** What a rule of a route does, whole, in a VirtualService's terms, as istiod converts it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { actionsOf, destinationOf } from "../../../src/policy/gateway-api/route-actions.ts";
import type { HttpRouteRule, RouteFilter } from "../../../src/policy/gateway-api/shapes.ts";
import type { HttpRoute } from "../../../src/policy/outbound/resource-shapes.ts";
import { gatewayResource } from "./gateway-mesh.ts";

interface Converted {
  readonly route: HttpRoute;
  /** Path and words of what is told. */
  readonly told: readonly string[];
}

function convert(rule: HttpRouteRule): Converted {
  const told: string[] = [];
  const route = gatewayResource("HTTPRoute", "r", {});
  const context = {
    route,
    mayRefer: (_from: unknown, { namespace }: { readonly namespace: string }) => namespace === "foo",
    report: (path: readonly (string | number)[], why: string) => void told.push(`${path.join(".")}: ${why}`),
  };
  return { route: actionsOf(rule, context), told };
}

const BACKENDS = [{ name: "web", port: 80 }];
const WEB = { host: "web.foo.svc.cluster.local", port: { number: 80 } };
const TO_WEB = { route: [{ destination: WEB, weight: 1 }], mirrors: [] };
const BROKEN = { directResponse: { status: 500 } };

describe("backends", () => {
  for (const [backendRefs, route, told] of [
    [BACKENDS, TO_WEB.route, []],
    [
      [
        { name: "web", port: 80, weight: 0 },
        { group: "", kind: "Service", namespace: "foo", name: "b", port: 81, weight: 3 },
      ],
      [
        { destination: WEB, weight: 0 },
        { destination: { host: "b.foo.svc.cluster.local", port: { number: 81 } }, weight: 3 },
      ],
      [],
    ],
    [
      [{ group: "networking.istio.io", kind: "Hostname", name: "a.test" }],
      [{ destination: { host: "a.test" }, weight: 1 }],
      [],
    ],
    [
      [{ group: "networking.istio.io", kind: "Hostname", name: "a.test", port: 443 }],
      [{ destination: { host: "a.test", port: { number: 443 } }, weight: 1 }],
      [],
    ],
    [
      [{ name: "web" }],
      [{ destination: { host: "" }, weight: 1 }],
      ["backendRefs.0: Service `web` needs a port"],
    ],
    [
      [...BACKENDS, { kind: "Hostname", name: "a.test", port: 80 }],
      [
        { destination: WEB, weight: 1 },
        { destination: { host: "" }, weight: 1 },
      ],
      ["backendRefs.1: backends of kind `Hostname` are not known"],
    ],
    [
      [{ group: "networking.istio.io", name: "web", port: 80 }],
      [{ destination: { host: "" }, weight: 1 }],
      ["backendRefs.0: backends of kind `Service` are not known"],
    ],
    [
      [{ group: "other", kind: "Hostname", name: "a", port: 80 }],
      [{ destination: { host: "" }, weight: 1 }],
      ["backendRefs.0: backends of kind `Hostname` are not known"],
    ],
    [
      [{ name: "web", namespace: "bar", port: 80 }],
      [{ destination: { host: "" }, weight: 1 }],
      ["backendRefs.0: no ReferenceGrant in namespace bar lets it use Service `bar/web`"],
    ],
  ] as const)
    test(JSON.stringify(backendRefs), () =>
      assert.deepEqual(convert({ backendRefs }), { route: { route, mirrors: [] }, told }),
    );

  for (const rule of [{}, { backendRefs: [] }, { backendRefs: [{ name: "web", port: 80, weight: 0 }] }])
    test(`${JSON.stringify(rule)} leads nowhere: 500`, () =>
      assert.deepEqual(convert(rule), { route: BROKEN, told: [] }));

  test("a reference is asked about with its defaults", () => {
    const asked: unknown[] = [];
    const route = gatewayResource("HTTPRoute", "r", {});
    const mayRefer = (from: unknown, to: unknown): boolean => {
      asked.push(from, to);
      return true;
    };
    destinationOf({ name: "web" }, { route, mayRefer, report: () => undefined }, []);
    assert.deepEqual(asked, [route, { group: "", kind: "Service", namespace: "foo", name: "web" }]);
  });

  test("a backend's own header filters hold for it alone", () =>
    assert.deepEqual(
      convert({
        backendRefs: [
          {
            name: "web",
            port: 80,
            filters: [{ type: "RequestHeaderModifier", requestHeaderModifier: { remove: ["x-a"] } }],
          },
        ],
      }).route,
      {
        route: [{ destination: WEB, weight: 1, headers: { request: { set: {}, add: {}, remove: ["x-a"] } } }],
        mirrors: [],
      },
    ));
});

describe("filters", () => {
  const NAME = { type: "RequestHeaderModifier", requestHeaderModifier: { remove: ["x-a"] } } as const;
  const filtered = (...filters: readonly RouteFilter[]): Converted =>
    convert({ filters, backendRefs: BACKENDS });

  test("headers of request and response, separately or both, wherever they stand", () => {
    const request = {
      set: [{ name: "X-A", value: "1" }],
      add: [{ name: "x-b", value: "2" }],
      remove: ["x-c"],
    };
    const asRequest = { set: { "x-a": "1" }, add: { "x-b": "2" }, remove: ["x-c"] };
    const empty = { set: {}, add: {}, remove: [] };
    const forRequest = { type: "RequestHeaderModifier", requestHeaderModifier: request };
    const forResponse = { type: "ResponseHeaderModifier", responseHeaderModifier: {} };
    assert.deepEqual(filtered(forRequest).route, { headers: { request: asRequest }, ...TO_WEB });
    assert.deepEqual(filtered(forResponse).route, { headers: { response: empty }, ...TO_WEB });
    for (const both of [
      [forRequest, forResponse],
      [forResponse, forRequest],
    ])
      assert.deepEqual(filtered(...both).route, {
        headers: { request: asRequest, response: empty },
        ...TO_WEB,
      });
  });

  test("of several entries for one header, whatever its case, the first counts", () => {
    const twice = [
      { name: "X-A", value: "1" },
      { name: "x-a", value: "2" },
      { name: "__proto__", value: "3" },
    ];
    const { headers } = filtered({
      type: "ResponseHeaderModifier",
      responseHeaderModifier: { set: twice },
    }).route;
    assert.deepEqual(Object.entries(headers?.response?.set ?? {}).toSorted(), [
      ["__proto__", "3"],
      ["x-a", "1"],
    ]);
  });

  for (const [requestRedirect, redirect] of [
    [{}, { redirectCode: 302, derivePort: "FROM_REQUEST_PORT" }],
    [{ scheme: "https" }, { redirectCode: 302, scheme: "https", derivePort: "FROM_PROTOCOL_DEFAULT" }],
    [
      { scheme: "https", hostname: "b.test", port: 8443, statusCode: 301 },
      { redirectCode: 301, scheme: "https", authority: "b.test", port: 8443 },
    ],
    [
      { path: { type: "ReplaceFullPath", replaceFullPath: "/f" } },
      { redirectCode: 302, derivePort: "FROM_REQUEST_PORT", uri: "/f" },
    ],
    [{ path: { type: "ReplaceFullPath" } }, { redirectCode: 302, derivePort: "FROM_REQUEST_PORT", uri: "/" }],
    [
      { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/p" } },
      { redirectCode: 302, derivePort: "FROM_REQUEST_PORT", prefixRewrite: "/p" },
    ],
    [
      { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "" } },
      { redirectCode: 302, derivePort: "FROM_REQUEST_PORT", prefixRewrite: "/" },
    ],
    [
      { path: { type: "ReplacePrefixMatch" } },
      { redirectCode: 302, derivePort: "FROM_REQUEST_PORT", prefixRewrite: "/" },
    ],
  ] as const)
    test(`a redirect ${JSON.stringify(requestRedirect)} goes before any backend`, () =>
      assert.deepEqual(filtered(NAME, { type: "RequestRedirect", requestRedirect }).route, {
        headers: { request: { set: {}, add: {}, remove: ["x-a"] } },
        redirect,
      }));

  for (const [urlRewrite, rewrite] of [
    [{}, {}],
    [{ hostname: "b.test" }, { authority: "b.test" }],
    [{ path: { type: "ReplaceFullPath", replaceFullPath: "/f" } }, { wholePath: "/f" }],
    [{ path: { type: "ReplaceFullPath", replaceFullPath: "" } }, { wholePath: "/" }],
    [{ path: { type: "ReplaceFullPath" } }, { wholePath: "/" }],
    [{ path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/p" } }, { uri: "/p" }],
    [{ path: { type: "ReplacePrefixMatch", replacePrefixMatch: "" } }, { uri: "/" }],
    [{ path: { type: "ReplacePrefixMatch" } }, { uri: "/" }],
  ] as const)
    test(`a rewrite ${JSON.stringify(urlRewrite)}`, () =>
      assert.deepEqual(filtered(NAME, { type: "URLRewrite", urlRewrite }).route, {
        headers: { request: { set: {}, add: {}, remove: ["x-a"] } },
        ...TO_WEB,
        rewrite,
      }));

  for (const [share, value] of [
    [{}, 100],
    [{ percent: 7 }, 7],
    [{ percent: 0 }, 0],
    [{ fraction: { numerator: 1, denominator: 4 } }, 25],
    [{ fraction: { numerator: 3 } }, 3],
    [{ fraction: {} }, 0],
  ] as const)
    test(`a mirror's share ${JSON.stringify(share)} is ${value} per cent`, () =>
      assert.deepEqual(
        filtered({
          type: "RequestMirror",
          requestMirror: { backendRef: { name: "web", port: 80 }, ...share },
        }),
        {
          route: { ...TO_WEB, mirrors: [{ destination: WEB, percentage: { value } }] },
          told: [],
        },
      ));

  test("a mirror that may not be used is left out and told; one without a backend is left out", () => {
    const mirror = (namespace: string) => ({
      type: "RequestMirror",
      requestMirror: { backendRef: { name: "web", namespace, port: 80 } },
    });
    assert.deepEqual(filtered(mirror("foo"), mirror("bar"), { type: "RequestMirror", requestMirror: {} }), {
      route: { ...TO_WEB, mirrors: [{ destination: WEB, percentage: { value: 100 } }] },
      told: ["filters.1.requestMirror: no ReferenceGrant in namespace bar lets it use Service `bar/web`"],
    });
  });

  for (const [cors, corsPolicy] of [
    [{}, { allowOrigins: [], allowMethods: [], allowHeaders: [], exposeHeaders: [], maxAge: "5s" }],
    [
      {
        allowOrigins: ["https://a.test", "https://*.b.test", "*"],
        allowMethods: ["GET"],
        allowHeaders: ["x-a"],
        exposeHeaders: ["x-b"],
        maxAge: 60,
        allowCredentials: true,
      },
      {
        allowOrigins: [{ exact: "https://a.test" }, { regex: "https://.*\\.b\\.test" }, { regex: ".*" }],
        allowMethods: ["GET"],
        allowHeaders: ["x-a"],
        exposeHeaders: ["x-b"],
        maxAge: "60s",
        allowCredentials: true,
      },
    ],
  ] as const)
    test(`CORS ${JSON.stringify(cors)}`, () =>
      assert.deepEqual(filtered(NAME, { type: "CORS", cors }).route, {
        headers: { request: { set: {}, add: {}, remove: ["x-a"] } },
        corsPolicy: { allowCredentials: false, ...corsPolicy, unmatchedPreflights: "IGNORE" },
        ...TO_WEB,
      }));

  for (const filter of [
    { type: "ExtensionRef" },
    { type: "constructor" },
    { type: "CORS" },
    { type: "URLRewrite", cors: {} },
  ])
    test(`a filter ${JSON.stringify(filter)} is not known: its requests get 500, and it is told`, () =>
      assert.deepEqual(filtered(NAME, filter), {
        route: BROKEN,
        told: [`filters.1: filter \`${filter.type}\` is not known: its requests get 500`],
      }));
});

describe("timeouts and retries", () => {
  for (const [rule, expected] of [
    [{}, {}],
    [{ timeouts: {} }, {}],
    [{ timeouts: { request: "10s" } }, { timeout: "10s" }],
    [{ timeouts: { backendRequest: "2s" } }, { timeout: "2s" }],
    [{ timeouts: { request: "10s", backendRequest: "2s" } }, { timeout: "2s" }],
    // `0s` means without limit.
    [{ timeouts: { request: "10s", backendRequest: "0s" } }, { timeout: "10s" }],
    [{ timeouts: { request: "0s" } }, {}],
    [
      { retry: {} },
      { retries: { attempts: 2, retryOn: "connect-failure,refused-stream,unavailable,cancelled" } },
    ],
    [
      { retry: { attempts: 3, codes: [503, 504] }, timeouts: { request: "10s", backendRequest: "2s" } },
      {
        timeout: "10s",
        retries: {
          attempts: 3,
          retryOn: "connect-failure,refused-stream,unavailable,cancelled,503,504",
          perTryTimeout: "2s",
        },
      },
    ],
    [
      { retry: { attempts: 0 }, timeouts: { request: "0s", backendRequest: "0ms" } },
      { retries: { attempts: 0, retryOn: "connect-failure,refused-stream,unavailable,cancelled" } },
    ],
  ] as const)
    test(JSON.stringify(rule), () =>
      assert.deepEqual(convert({ ...rule, backendRefs: BACKENDS }).route, { ...TO_WEB, ...expected }),
    );
});
