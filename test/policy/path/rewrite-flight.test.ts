import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ForwardDecision, HeaderOps, OutboundTarget } from "../../../src/policy/outbound/types.ts";
import { type Flight, meshAlpn, speaksHttp, unknownStep } from "../../../src/policy/path/journey.ts";
import { flightTo, withoutHeaders } from "../../../src/policy/path/rewrite-flight.ts";

const NONE: HeaderOps = { remove: [], set: [], add: [] };
const FLIGHT: Flight = {
  protocol: "http",
  method: "GET",
  path: "/a",
  authority: "a.example",
  headers: ["x-a", "1", "x-b", "x-a", "x-a", "2"],
};

function decided(more: Partial<ForwardDecision> = {}, requestHeaders: HeaderOps = NONE): ForwardDecision {
  return {
    kind: "forward",
    allowed: true,
    code: 200,
    reason: "ok",
    by: { resource: null, section: "default", route: null },
    listener: "l",
    targets: [],
    weighted: false,
    http: { requestHeaders, responseHeaders: NONE, retries: { attempts: 0, retryOn: "" }, mirrors: [] },
    ...more,
  };
}

function target(requestHeaders: HeaderOps = NONE, authority?: string): OutboundTarget {
  const named = authority === undefined ? {} : { authority };
  return { name: "c", weight: 1, requestHeaders, responseHeaders: NONE, ...named };
}

describe("a request as a route sends it on", () => {
  test("is the same where nothing is rewritten", () => {
    assert.deepEqual(flightTo(FLIGHT, decided(), target()), FLIGHT);
    assert.deepEqual(flightTo(FLIGHT, decided(), undefined), FLIGHT);
    assert.equal(flightTo(FLIGHT, decided(), target()).headers, FLIGHT.headers, "the same list");
  });

  test("has the path and the Host of the decision, and Envoy's headers with those before", () => {
    const decision = decided({
      path: "/b",
      authority: "b",
      originalPath: "/a",
      originalAuthority: "a.example",
    });
    assert.deepEqual(flightTo(FLIGHT, decision, target(NONE, "c")), {
      ...FLIGHT,
      path: "/b",
      authority: "b",
      headers: [...FLIGHT.headers, "x-envoy-original-path", "/a", "x-envoy-original-host", "a.example"],
    });
  });

  test("has the Host of the destination where the decision has none", () => {
    assert.deepEqual(flightTo(FLIGHT, decided(), target(NONE, "c")), { ...FLIGHT, authority: "c" });
  });

  test("loses, gets and gains headers, by names and never by values: of the destination first, then of the route", () => {
    const route = { remove: ["x-t"], set: [["x-r", "r"]], add: [["x-s", "r"]] } as const;
    const own = { remove: ["x-a"], set: [["x-s", "t"]], add: [["x-t", "t"]] } as const;
    const { headers } = flightTo(FLIGHT, decided({}, route), target(own));
    assert.deepEqual(headers, ["x-b", "x-a", "x-s", "t", "x-r", "r", "x-s", "r"]);
    assert.deepEqual(flightTo(FLIGHT, decided({}, route), undefined).headers, [
      ...FLIGHT.headers,
      "x-r",
      "r",
      "x-s",
      "r",
    ]);
  });

  for (const [what, ops, headers] of [
    ["removed", { ...NONE, remove: ["x-a"] }, ["x-b", "x-a"]],
    ["set", { ...NONE, set: [["x-a", "9"]] }, ["x-b", "x-a", "x-a", "9"]],
    ["added", { ...NONE, add: [["x-a", "9"]] }, [...FLIGHT.headers, "x-a", "9"]],
  ] as const)
    test(`a header alone is ${what}`, () => {
      assert.deepEqual(flightTo(FLIGHT, decided({}, ops), target()).headers, headers);
      assert.deepEqual(flightTo(FLIGHT, decided(), target(ops)).headers, headers);
    });

  test("is left alone where it goes as bytes", () => {
    const decision = decided({ path: "/b", authority: "b" });
    const tls: Flight = { ...FLIGHT, protocol: "tls" };
    assert.equal(flightTo(tls, decision, target()), tls);
    const { http: _http, ...bytes } = decision;
    assert.equal(flightTo(FLIGHT, bytes, target()), FLIGHT);
  });
});

test("headers are left out by name, with their values", () => {
  assert.deepEqual(withoutHeaders(FLIGHT.headers, new Set(["x-a"])), ["x-b", "x-a"]);
  assert.deepEqual(withoutHeaders(FLIGHT.headers, new Set(["1", "2"])), FLIGHT.headers);
  assert.deepEqual(withoutHeaders([], new Set(["x"])), []);
});

test("protocols: HTTP or not, and the ALPN by which a mesh's client tells what is inside its TLS", () => {
  const told = (["http", "grpc", "tcp", "tls"] as const).map((protocol) => {
    const flight = { ...FLIGHT, protocol };
    return [protocol, speaksHttp(flight), meshAlpn(flight)];
  });
  assert.deepEqual(told, [
    ["http", true, ["istio-http/1.1", "istio", "http/1.1"]],
    ["grpc", true, ["istio-h2", "istio", "h2"]],
    ["tcp", false, ["istio-peer-exchange", "istio"]],
    ["tls", false, ["istio-peer-exchange", "istio"]],
  ]);
});

test("what is not known is never allowed, and has its layer by the side that it stands on", () => {
  const { explain, ...step } = unknownStep("a/b", "client", "why", true, "one", "two");
  assert.deepEqual(step, {
    hop: "a/b",
    side: "client",
    allowed: false,
    code: 403,
    reason: "unknown",
    cause: "why",
    layer: "client-route",
    policy: null,
    rule: null,
    answersHttp: false,
  });
  assert.deepEqual(explain(), ["one", "two"]);
  const { side, code, layer } = unknownStep("a/b", "server", "why", false);
  assert.deepEqual([side, code, layer], ["server", 0, "transport"]);
  assert.equal(unknownStep("a/b", "gateway", "why", false).layer, "transport");
});
