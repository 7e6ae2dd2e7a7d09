/** HTTP routes of a VirtualService, compiled: https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRoute */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  compileDefaultRoute,
  compileRoutes,
  type RouteContext,
} from "../../../src/policy/outbound/http-route.ts";
import { RequestView } from "../../../src/policy/outbound/request-view.ts";
import type { HttpRoute } from "../../../src/policy/outbound/resource-shapes.ts";
import { plainTarget } from "../../../src/policy/outbound/targets.ts";
import {
  by,
  CONTEXT,
  decided,
  FORWARD,
  httpOf,
  NO_OPS,
  PLAIN,
  PLAN,
  serviceOf,
  WEB,
} from "./route-fixture.ts";

describe("compileRoutes()", () => {
  const compile = (
    routes: readonly HttpRoute[],
    context: Partial<RouteContext> = {},
  ): readonly (number | null)[] =>
    compileRoutes(serviceOf(routes), { ...CONTEXT, ...context }).map((route) => route.by.route);
  const A = { uri: { prefix: "/a" } };

  test("has a route for each condition that concerns the client, in order", () => {
    const routes: HttpRoute[] = [
      { match: [A, { ...A, sourceNamespace: "bar" }, { ...A, sourceNamespace: "foo" }], route: [WEB] },
      { match: [{ ...A, port: 81 }], route: [WEB] },
      { match: [{ ...A, sourceLabels: { app: "client" } }], route: [WEB] },
      { match: [], route: [WEB] },
    ];
    assert.deepEqual(compile(routes), [0, 0, 2, 3]);
    assert.deepEqual(compile(routes, { listenPort: 81, namespace: "bar", labels: {} }), [0, 0, 1, 3]);
    assert.deepEqual(compile(routes.slice(1, 2)), []);
    assert.deepEqual(compile([]), []);
  });

  test("ends with a route that takes everything", () => {
    assert.deepEqual(compile([{ route: [WEB] }, { match: [A], route: [WEB] }]), [0]);
    assert.deepEqual(compile([{ match: [A, {}, A], route: [WEB] }, { route: [WEB] }]), [0, 0]);
    assert.deepEqual(
      compile([
        { match: [{ port: 81 }], route: [WEB] },
        { match: [A], route: [WEB] },
      ]),
      [1],
    );
  });

  test("a route takes what its condition says, with the scheme of the listener, and says so", () => {
    const match = [{ uri: { prefix: "/a" }, scheme: { exact: "https" } }];
    const takes = (isTls: boolean): boolean | undefined => {
      const [route] = compileRoutes(serviceOf([{ match, route: [WEB] }]), { ...CONTEXT, isTls });
      assert.equal(route?.catchesAll, false);
      assert.deepEqual(
        route.clauses.map(({ text }) => text()),
        ["path under `/a`", "scheme = `https`"],
      );
      return route.takes(new RequestView({ authority: "web", method: "GET", headers: [] }, "/a", "/a"));
    };
    assert.deepEqual([takes(true), takes(false)], [true, false]);
    const [all] = compileRoutes(serviceOf([{ route: [WEB] }]), CONTEXT);
    assert.deepEqual([all?.catchesAll, all?.clauses], [true, []]);
  });
});

describe("what a route does", () => {
  test("it sends on", () => {
    assert.deepEqual(decided({ route: [WEB] }), FORWARD);
  });

  test("a redirect stands before a direct response, and that before destinations", () => {
    const headers = { response: { set: { "X-A": "1" } } };
    const answered = { kind: "respond", allowed: false, by: by(0), listener: "l" };
    const responseHeaders = { ...NO_OPS, set: [["x-a", "1"]] };
    const response = { directResponse: { status: 418 }, route: [WEB], headers };
    assert.deepEqual(decided({ ...response, redirect: { uri: "/n" } }), {
      ...answered,
      code: 301,
      reason: "redirect",
      location: "http://web/n",
      responseHeaders,
    });
    assert.deepEqual(decided(response), {
      ...answered,
      code: 418,
      reason: "direct-response",
      responseHeaders,
    });
  });

  test("a redirect knows condition, port and scheme", () => {
    const route: HttpRoute = {
      match: [{ uri: { prefix: "/a" } }],
      redirect: { prefixRewrite: "/n", derivePort: "FROM_REQUEST_PORT" },
    };
    const decision = decided(route, { isTls: true, listenPort: 8443 });
    assert.equal(decision.kind === "respond" ? decision.location : "", "https://web:8443/n/b");
  });

  test("a fault comes before", () => {
    const fault = { abort: { httpStatus: 503, percentage: { value: 100 } } };
    assert.equal(decided({ route: [WEB], fault }).reason, "fault");
    assert.equal(decided({ redirect: { uri: "/n" }, fault }).reason, "fault");
  });
});

describe("what is sent on", () => {
  test("has the rewritten path, beside the original", () => {
    const route: HttpRoute = { match: [{ uri: { prefix: "/a" } }], rewrite: { uri: "/n" }, route: [WEB] };
    assert.deepEqual(decided(route), { ...FORWARD, path: "/n/b", originalPath: "/a/b" });
  });

  test("has the rewritten Host: the rewrite's, else the route's header, else the only destination's", () => {
    const set = (host: string): { readonly request: { readonly set: Record<string, string> } } => ({
      request: { set: { Host: host } },
    });
    const only = { ...WEB, headers: set("by-destination") };
    const host = (authority: string): object => ({ ...FORWARD, authority, originalAuthority: "web" });
    const all: HttpRoute = { rewrite: { authority: "by-rewrite" }, headers: set("by-route"), route: [only] };
    assert.deepEqual(decided(all), host("by-rewrite"));
    assert.deepEqual(decided({ ...all, rewrite: { authority: "" } }), host("by-route"));
    assert.deepEqual(decided({ route: [only] }), host("by-destination"));
  });

  test("has the headers of the route, then those of the only destination", () => {
    const headers = (value: string): object => ({
      request: { set: { a: value }, remove: [value] },
      response: { set: { b: value } },
    });
    const decision = decided({ headers: headers("1"), route: [{ ...WEB, headers: headers("2") }] });
    assert.deepEqual(decision, {
      ...FORWARD,
      http: {
        ...PLAIN,
        requestHeaders: {
          remove: ["1", "2"],
          set: [
            ["a", "1"],
            ["a", "2"],
          ],
          add: [],
        },
        responseHeaders: {
          ...NO_OPS,
          set: [
            ["b", "1"],
            ["b", "2"],
          ],
        },
      },
    });
  });

  test("has a timeout where one above 0 is given", () => {
    assert.deepEqual(httpOf({ timeout: "1.5s" }), { ...PLAIN, timeoutMs: 1500 });
    assert.deepEqual(httpOf({ timeout: "0s" }), PLAIN);
    assert.deepEqual(httpOf({ timeout: "soon" }), PLAIN);
  });

  test("has the CORS policy", () => {
    const cors = httpOf({ corsPolicy: { allowMethods: ["GET", "PUT"], maxAge: "1s" } })?.cors;
    assert.deepEqual([cors?.allowMethods, cors?.maxAge], ["GET,PUT", "1"]);
    assert.equal("cors" in PLAIN, false);
  });
});
test("compileDefaultRoute() sends all to the service, by the mesh's retries", () => {
  const route = compileDefaultRoute("c", PLAN, { attempts: 1, retryOn: "5xx" });
  const request = new RequestView({ authority: "web", method: "GET", headers: [] }, "/", "/");
  const nobody = { resource: null, section: "default", route: null };
  assert.deepEqual(
    [route.by, route.clauses, route.catchesAll, route.takes(request)],
    [nobody, [], true, true],
  );
  assert.deepEqual(route.decide(request, "l"), {
    ...FORWARD,
    by: nobody,
    targets: [plainTarget("c", PLAN)],
    http: { ...PLAIN, retries: { attempts: 1, retryOn: "5xx" } },
  });
  const bare = compileDefaultRoute("c", undefined, undefined).decide(request, "l");
  assert.deepEqual([bare.kind, bare.code, bare.reason], ["refuse", 503, "no-cluster"]);
});
