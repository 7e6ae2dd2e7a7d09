/** Answers of the proxy itself: https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPDirectResponse */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestView } from "../../../src/policy/outbound/request-view.ts";
import { respondDirectly, respondRedirect } from "../../../src/policy/outbound/respond.ts";
import type { HeaderOps, RouteRef } from "../../../src/policy/outbound/types.ts";

const BY: RouteRef = { resource: "VirtualService foo/web", section: "http", route: 0 };
const HEADERS: HeaderOps = { remove: [], set: [["x-a", "1"]], add: [] };
const REQUEST = new RequestView({ authority: "web", method: "GET", headers: [] }, "/a", "/a");

test("a redirect says code and place, with the route's response headers", () => {
  const redirect = { code: 307, locate: (request: RequestView) => `http://new${request.path}` };
  assert.deepEqual(respondRedirect(BY, redirect, HEADERS)(REQUEST, "0.0.0.0_80 web:80"), {
    kind: "respond",
    allowed: false,
    code: 307,
    reason: "redirect",
    by: BY,
    listener: "0.0.0.0_80 web:80",
    location: "http://new/a",
    responseHeaders: HEADERS,
  });
});

test("a redirect that Envoy has no form for is not found", () => {
  assert.deepEqual(respondRedirect(BY, undefined, HEADERS)(REQUEST, "l"), {
    kind: "refuse",
    allowed: false,
    code: 404,
    reason: "no-route",
    by: BY,
    listener: "l",
  });
});

test("a direct response says code and body, as text or as bytes", () => {
  const common = {
    kind: "respond",
    allowed: false,
    reason: "direct-response",
    by: BY,
    listener: "l",
    responseHeaders: HEADERS,
  };
  const answers: readonly [Parameters<typeof respondDirectly>[1], object][] = [
    [{}, { code: 200 }],
    [{ status: 503 }, { code: 503 }],
    [
      { status: 418, body: { string: "tea" } },
      { code: 418, body: "tea" },
    ],
    [{ body: { string: "" } }, { code: 200, body: "" }],
    [{ body: { bytes: "w6kh" } }, { code: 200, body: "é!" }],
    [{ body: { string: "text", bytes: "w6kh" } }, { code: 200, body: "text" }],
    [{ body: { bytes: "not base64" } }, { code: 200 }],
    [{ body: {} }, { code: 200 }],
  ];
  for (const [answer, expected] of answers)
    assert.deepEqual(respondDirectly(BY, answer, HEADERS)(REQUEST, "l"), { ...common, ...expected });
});
