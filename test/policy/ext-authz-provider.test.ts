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
