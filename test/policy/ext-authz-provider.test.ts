import assert from "node:assert/strict";
import { test } from "node:test";
import { buildMesh } from "../../src/model/build-mesh.ts";
import { compileHeaderNames } from "../../src/policy/ext-authz-headers.ts";
import { compileProviders, type ExtAuthzProvider } from "../../src/policy/ext-authz-provider.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";

function providers(...given: readonly object[]): ReadonlyMap<string, ExtAuthzProvider> {
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "authz", namespace: "foo" },
    spec: { ports: [{ name: "grpc", port: 9000 }] },
  };
  const config = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "istio", namespace: "istio-system" },
    data: { mesh: JSON.stringify({ extensionProviders: given }) },
  };
  const origin = { file: "test.yaml", createdAt: 0 };
  return compileProviders(buildMesh([service, config].map((body) => resourceFromJson(body, origin))));
}

const WHERE = { service: "authz.foo.svc.cluster.local", port: 9000 };
const http = (settings: object, name = "p") => ({ name, envoyExtAuthzHttp: { ...WHERE, ...settings } });
const grpc = (settings: object, name = "p") => ({ name, envoyExtAuthzGrpc: { ...WHERE, ...settings } });

test("a provider has Istio's defaults: 600 s, closed, 403, routes as they were, no body", () => {
  assert.deepEqual(providers(grpc({})).get("p"), {
    name: "p",
    kind: "grpc",
    hostname: "authz.foo.svc.cluster.local",
    port: 9000,
    cluster: "outbound|9000||authz.foo.svc.cluster.local",
    timeoutMs: 600_000,
    failOpen: false,
    clearRouteCache: false,
    statusOnError: 403,
    body: null,
    http: null,
  });
});

test("a provider's settings are read", () => {
  const provider = providers(
    grpc({
      service: "foo/authz.foo.svc.cluster.local",
      timeout: "0.25s",
      failOpen: true,
      clearRouteCache: true,
      statusOnError: "503",
      includeRequestBodyInCheck: { maxRequestBytes: 10, allowPartialMessage: true, packAsBytes: true },
    }),
  ).get("p");
  assert.equal(provider?.timeoutMs, 250);
  assert.deepEqual(
    [provider?.failOpen, provider?.clearRouteCache, provider?.statusOnError],
    [true, true, 503],
  );
  assert.deepEqual(provider?.body, { maxBytes: 10, allowPartial: true, packAsBytes: true });
});

test("HTTP: lists of headers; the deprecated spelling only where the other is not used; fixed headers by name", () => {
  const settings = providers(
    http({
      pathPrefix: "/check",
      includeHeadersInCheck: ["old"],
      includeAdditionalHeadersInCheck: { "X-B": "2", "x-a": "1" },
      headersToUpstreamOnAllow: ["x-*"],
      headersToDownstreamOnAllow: ["*-id"],
      headersToDownstreamOnDeny: ["Why"],
    }),
  ).get("p")?.http;
  assert.equal(settings?.pathPrefix, "/check");
  assert.ok(settings?.requestHeaders.matches("old"));
  assert.deepEqual(settings?.additionalHeaders, ["x-b", "2", "x-a", "1"]);
  assert.ok(settings?.toUpstreamOnAllow.matches("x-user") && !settings.toUpstreamOnAllow.matches("y"));
  assert.ok(settings?.toDownstreamOnAllow.matches("session-id"));
  assert.ok(settings?.toDownstreamOnDeny?.matches("why"));
  const both = providers(http({ includeHeadersInCheck: ["old"], includeRequestHeadersInCheck: ["new"] }));
  assert.ok(both.get("p")?.http?.requestHeaders.matches("new"));
  assert.ok(both.get("p")?.http?.requestHeaders.matches("old") === false);
  assert.equal(providers(http({})).get("p")?.http?.toDownstreamOnDeny, null, "every header");
});

test("header names: exact, prefix and suffix, whatever the case; nothing listed matches nothing", () => {
  const names = compileHeaderNames(["X-User", "x-role-*", "*-Token"]);
  for (const name of ["x-user", "x-role-", "x-role-a", "a-token", "-token"])
    assert.ok(names.matches(name), name);
  for (const name of ["x-users", "ax-user", "x-role", "token", ""]) assert.ok(!names.matches(name), name);
  assert.ok(!compileHeaderNames([]).matches("x"));
});

test("what Istio refuses is no provider", () => {
  const refused: readonly (readonly object[])[] = [
    [{ name: "p" }],
    [{ name: "p", zipkin: WHERE }],
    [grpc({ port: 0 })],
    [grpc({ port: 65_536 })],
    [grpc({ service: "nobody.foo.svc.cluster.local" })],
    [grpc({ service: "bar/authz.foo.svc.cluster.local" })],
    [grpc({ statusOnError: "teapot" })],
    [grpc({ statusOnError: "418" })],
    [grpc({}), grpc({})],
    [http({}), grpc({})],
    [http({ pathPrefix: "check" })],
    [http({ pathPrefix: "/a b" })],
    [http({ headersToUpstreamOnAllow: ["*"] })],
    [http({ includeRequestHeadersInCheck: ["*"] })],
    [http({ headersToDownstreamOnDeny: ["a", "*"] })],
  ];
  for (const given of refused) assert.equal(providers(...given).get("p"), undefined, JSON.stringify(given));
  for (const name of ["", "-a", "a-", "A", "a_b", "a".repeat(64)])
    assert.equal(providers(grpc({}, name)).size, 0, name);
  assert.equal(providers(grpc({}, "a".repeat(63))).size, 1);
});

test("an interim status on error is no answer to a request: 403 takes its place", () => {
  assert.equal(providers(grpc({ statusOnError: "100" })).get("p")?.statusOnError, 403);
});

const settingsOf = (settings: object): ExtAuthzProvider | undefined => providers(grpc(settings)).get("p");

test("a port is a whole number from 1 to 65535, written as one", () => {
  for (const port of [1, 80, 65_535]) assert.equal(settingsOf({ port })?.port, port);
  for (const port of [-1, 0, 80.5, 65_536, "80", null, true, [80]])
    assert.equal(settingsOf({ port }), undefined, JSON.stringify(port));
  assert.equal(settingsOf({ port: 81 })?.cluster, "outbound|81||authz.foo.svc.cluster.local");
});

test("a service is named by its hostname, or by its namespace and hostname", () => {
  for (const service of ["authz.foo.svc.cluster.local", "foo/authz.foo.svc.cluster.local"])
    assert.equal(settingsOf({ service })?.hostname, "authz.foo.svc.cluster.local", service);
  for (const service of [
    "authz",
    "authz.foo",
    "foo/authz",
    "/authz.foo.svc.cluster.local",
    "fo/authz.foo.svc.cluster.local",
    "foo/x/authz.foo.svc.cluster.local",
    "",
    "foo/",
    1,
    null,
    ["authz.foo.svc.cluster.local"],
  ])
    assert.equal(settingsOf({ service }), undefined, JSON.stringify(service));
});

test("statusOnError is one of Envoy's statuses, as text or number; nothing is 403, and so are interim ones", () => {
  const accepted = Array.from({ length: 1100 }, (_, code) => code).filter(
    (code) => settingsOf({ statusOnError: String(code) }) !== undefined,
  );
  assert.deepEqual(accepted, [
    ...[100, 102, 103, 104],
    ...[200, 201, 202, 203, 204, 205, 206, 207, 208, 226],
    ...[300, 301, 302, 303, 304, 305, 307, 308],
    ...[400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417],
    ...[421, 422, 423, 424, 426, 428, 429, 431],
    ...[500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511],
  ]);
  const codes: readonly (readonly [unknown, number])[] = [
    [undefined, 403],
    ["", 403],
    ["100", 403],
    ["104", 403],
    ["200", 200],
    [503, 503],
    ["511", 511],
  ];
  for (const [given, code] of codes)
    assert.equal(settingsOf({ statusOnError: given })?.statusOnError, code, String(given));
  for (const given of ["0503", "503 ", " 503", "5e2", "x503", "503x", null, true, 0, 503.5])
    assert.equal(settingsOf({ statusOnError: given }), undefined, String(given));
});

test("switches are on by `true` alone", () => {
  const switches = (value: unknown): unknown => {
    const provider = settingsOf({
      failOpen: value,
      clearRouteCache: value,
      includeRequestBodyInCheck: { maxRequestBytes: 1, allowPartialMessage: value, packAsBytes: value },
    });
    return [provider?.failOpen, provider?.clearRouteCache, provider?.body];
  };
  assert.deepEqual(switches(true), [true, true, { maxBytes: 1, allowPartial: true, packAsBytes: true }]);
  for (const value of [false, "true", 1, undefined])
    assert.deepEqual(switches(value), [
      false,
      false,
      { maxBytes: 1, allowPartial: false, packAsBytes: false },
    ]);
});

test("the body: a size that is none lets nothing of it through; settings that are no object show none at all", () => {
  const body = (given: unknown): unknown => settingsOf({ includeRequestBodyInCheck: given })?.body;
  const none = { allowPartial: false, packAsBytes: false };
  for (const max of [1, 8192]) assert.deepEqual(body({ maxRequestBytes: max }), { maxBytes: max, ...none });
  for (const max of [0, -1, 1.5, "10", null, undefined])
    assert.deepEqual(body({ maxRequestBytes: max }), { maxBytes: 0, ...none });
  for (const given of [undefined, null, true, "x", [1]]) assert.equal(body(given), null);
});

test("a time-out is a duration; what is none is the default", () => {
  assert.equal(settingsOf({ timeout: "2s" })?.timeoutMs, 2000);
  assert.equal(settingsOf({ timeout: "x" })?.timeoutMs, 600_000);
});

test("HTTP: without any settings no headers go either way, but all of a refusal; gRPC has no such settings", () => {
  const settings = providers(http({})).get("p");
  assert.equal(settings?.kind, "http");
  assert.deepEqual(
    { ...settings?.http, requestHeaders: 0, toUpstreamOnAllow: 0, toDownstreamOnAllow: 0 },
    {
      pathPrefix: "",
      requestHeaders: 0,
      additionalHeaders: [],
      toUpstreamOnAllow: 0,
      toDownstreamOnAllow: 0,
      toDownstreamOnDeny: null,
    },
  );
  for (const names of [
    settings?.http?.requestHeaders,
    settings?.http?.toUpstreamOnAllow,
    settings?.http?.toDownstreamOnAllow,
  ])
    for (const name of ["", "x", "cookie"]) assert.equal(names?.matches(name), false);
  const prefixed = providers(grpc({ pathPrefix: "bad", headersToUpstreamOnAllow: ["*"] })).get("p");
  assert.equal(prefixed?.http, null);
});

test("HTTP: each list of headers is its own", () => {
  const settings = providers(
    http({
      includeRequestHeadersInCheck: ["x-a"],
      headersToUpstreamOnAllow: ["x-b"],
      headersToDownstreamOnAllow: ["x-c"],
      headersToDownstreamOnDeny: ["x-d"],
    }),
  ).get("p")?.http;
  const takes = (names: { matches(name: string): boolean } | null | undefined): string =>
    ["x-a", "x-b", "x-c", "x-d"].filter((name) => names?.matches(name)).join(" ");
  assert.deepEqual(
    [
      takes(settings?.requestHeaders),
      takes(settings?.toUpstreamOnAllow),
      takes(settings?.toDownstreamOnAllow),
      takes(settings?.toDownstreamOnDeny),
    ],
    ["x-a", "x-b", "x-c", "x-d"],
  );
});

test("HTTP: a path's prefix begins with a slash and is of printable ASCII", () => {
  const prefix = (pathPrefix: unknown): string | undefined =>
    providers(http({ pathPrefix })).get("p")?.http?.pathPrefix;
  for (const pathPrefix of ["/", "/check", "/!~", ""]) assert.equal(prefix(pathPrefix), pathPrefix);
  assert.equal(prefix(1), "");
  for (const pathPrefix of ["check", "x/check", "/a b", "/a\u007f", "/a\n", "/\u00e9"])
    assert.equal(prefix(pathPrefix), undefined, JSON.stringify(pathPrefix));
});

test("HTTP: `*` alone is refused in every list, beside others too; lists that are none are empty", () => {
  const lists = [
    "includeRequestHeadersInCheck",
    "includeHeadersInCheck",
    "headersToUpstreamOnAllow",
    "headersToDownstreamOnAllow",
    "headersToDownstreamOnDeny",
  ];
  for (const list of lists) {
    assert.equal(providers(http({ [list]: ["x", "*"] })).size, 0, list);
    assert.equal(providers(http({ [list]: ["x*", "*x"] })).size, 1, list);
    assert.equal(providers(http({ [list]: "*" })).size, 1, list);
    assert.equal(providers(http({ [list]: [1, null] })).size, 1, list);
  }
  const unused = providers(http({ includeRequestHeadersInCheck: ["x"], includeHeadersInCheck: ["*"] }));
  assert.equal(unused.size, 1, "the deprecated list is not looked at where the other is used");
});

test("HTTP: fixed headers are sorted by the names as written; values become text", () => {
  const fixed = (given: unknown): unknown =>
    providers(http({ includeAdditionalHeadersInCheck: given })).get("p")?.http?.additionalHeaders;
  assert.deepEqual(fixed({ c: "3", B: 2, a: true }), ["b", "2", "a", "true", "c", "3"]);
  for (const none of [undefined, null, ["a"], "a"]) assert.deepEqual(fixed(none), []);
});

test("a provider of both kinds is the HTTP one; names are a label of at most 63 characters, given once", () => {
  const both = { name: "p", envoyExtAuthzHttp: WHERE, envoyExtAuthzGrpc: { ...WHERE, port: 1 } };
  assert.deepEqual([providers(both).get("p")?.kind, providers(both).get("p")?.port], ["http", 9000]);
  const invalid = { name: "p", envoyExtAuthzHttp: {}, envoyExtAuthzGrpc: WHERE };
  assert.equal(providers(invalid).size, 0);
  for (const settings of [null, "x", [], 1])
    assert.equal(providers({ name: "p", envoyExtAuthzGrpc: settings }).size, 0);
  for (const name of ["a", "0", "a-b", "a--b", "9z"])
    assert.deepEqual([...providers(grpc({}, name)).keys()], [name]);
  for (const name of ["a.b", "aB", "a\n", "-", "\na"]) assert.equal(providers(grpc({}, name)).size, 0, name);
  assert.deepEqual([...providers(grpc({}, "a"), grpc({}, "b"), grpc({}, "a"), grpc({}, "a")).keys()], ["b"]);
  assert.equal(providers({ name: "p" }, grpc({})).size, 0, "a name is taken by what is refused, too");
});

test("header names: a star stands at one end; at both ends, or inside, it is a character", () => {
  const takes = (given: string, name: string): boolean => compileHeaderNames([given]).matches(name);
  assert.ok(takes("*-id*", "x-id*") && !takes("*-id*", "x-id") && !takes("*-id*", "x-idx"));
  assert.ok(takes("a*b", "a*b") && !takes("a*b", "axb"));
  assert.ok(takes("x-*", "x-") && !takes("x-*", "ax-") && !takes("x-*", "x"));
  assert.ok(takes("*-id", "-id") && !takes("*-id", "-idx"));
});
