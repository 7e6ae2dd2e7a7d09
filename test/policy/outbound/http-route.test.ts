/** HTTP routes of a VirtualService, compiled: https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRoute */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  compileDefaultRoute,
  compileRoutes,
  type RouteContext,
  resolveTarget,
} from "../../../src/policy/outbound/http-route.ts";
import { buildRegistry } from "../../../src/policy/outbound/registry.ts";
import { RequestView } from "../../../src/policy/outbound/request-view.ts";
import type { HttpRetry, HttpRoute } from "../../../src/policy/outbound/resource-shapes.ts";
import { plainTarget } from "../../../src/policy/outbound/targets.ts";
import type { HttpRoutePlan, OutboundDecision, RouteRef } from "../../../src/policy/outbound/types.ts";
import type { VirtualService } from "../../../src/policy/outbound/virtual-services.ts";
import { meshOfObjects, written } from "./objects.ts";
import { planWith } from "./plans.ts";

const PLAN = planWith();
const V1 = planWith({ name: "v1" });
const CLUSTERS = new Map([
  ["outbound|80||web", PLAN],
  ["outbound|80|v1|web", V1],
]);

const CONTEXT: RouteContext = {
  namespace: "foo",
  labels: { app: "client" },
  gateway: "mesh",
  listenPort: 80,
  isTls: false,
  defaultRetries: undefined,
  service: () => undefined,
  cluster: (host, port, subset) => CLUSTERS.get(`outbound|${port}|${subset}|${host}`),
};

function by(route: number): RouteRef {
  return { resource: "VirtualService foo/vs", section: "http", route };
}

function serviceOf(routes: readonly HttpRoute[]): VirtualService {
  return {
    ref: "VirtualService foo/vs",
    namespace: "foo",
    name: "vs",
    hosts: ["web"],
    gateways: ["mesh"],
    exportTo: ["*"],
    http: routes.map((route, index) => ({ route, by: by(index) })),
    tls: [],
    tcp: [],
    dropped: [],
  };
}

const NO_OPS = { remove: [], set: [], add: [] };
const DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
const PLAIN: HttpRoutePlan = {
  requestHeaders: NO_OPS,
  responseHeaders: NO_OPS,
  retries: { isDefault: true, attempts: 2, retryOn: DEFAULT_RETRY_ON },
  mirrors: [],
};
const WEB = { destination: { host: "web" } };
const FORWARD = {
  kind: "forward",
  allowed: true,
  code: 200,
  reason: "ok",
  by: by(0),
  listener: "l",
  targets: [plainTarget("outbound|80||web", PLAN)],
  weighted: false,
  http: PLAIN,
};

interface Sent {
  readonly path?: string;
  readonly method?: string;
  readonly roll?: number;
}

/** What the only route of a VirtualService does with a request. */
function decided(route: HttpRoute, context: Partial<RouteContext> = {}, sent: Sent = {}): OutboundDecision {
  const [compiled, ...rest] = compileRoutes(serviceOf([route]), { ...CONTEXT, ...context });
  assert.ok(compiled !== undefined && rest.length === 0);
  const { path = "/a/b", ...parts } = sent;
  return compiled.decide(
    new RequestView({ authority: "web", method: "GET", headers: [], ...parts }, path, path),
    "l",
  );
}

function httpOf(route: HttpRoute, context: Partial<RouteContext> = {}): HttpRoutePlan | undefined {
  const decision = decided({ route: [WEB], ...route }, context);
  return decision.kind === "forward" ? decision.http : undefined;
}

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

describe("destinations", () => {
  const set = { request: { set: { "X-A": "1", Host: "own" } }, response: { add: { "X-B": "2" } } };

  test("several share by weight, each with its own headers and Host; those without weight are left out", () => {
    const route: HttpRoute = {
      route: [
        { destination: { host: "Web", subset: "v1" }, weight: 30, headers: set },
        { ...WEB, weight: 0 },
        WEB,
        { ...WEB, weight: 70 },
      ],
    };
    assert.deepEqual(decided(route), {
      ...FORWARD,
      weighted: true,
      targets: [
        {
          ...plainTarget("outbound|80|v1|web", V1, 30),
          requestHeaders: { ...NO_OPS, set: [["x-a", "1"]] },
          responseHeaders: { ...NO_OPS, add: [["x-b", "2"]] },
          authority: "own",
        },
        plainTarget("outbound|80||web", PLAN, 70),
      ],
    });
  });

  test("one that is left of several is no choice, but keeps its headers to itself", () => {
    const route: HttpRoute = {
      route: [
        { ...WEB, weight: 1, headers: set },
        { ...WEB, weight: 0 },
      ],
    };
    assert.deepEqual(decided(route), {
      ...FORWARD,
      targets: [
        {
          ...plainTarget("outbound|80||web", PLAN),
          requestHeaders: { ...NO_OPS, set: [["x-a", "1"]] },
          responseHeaders: { ...NO_OPS, add: [["x-b", "2"]] },
          authority: "own",
        },
      ],
    });
  });

  test("the only one has all, whatever its weight", () => {
    for (const weight of [0, 50]) assert.deepEqual(decided({ route: [{ ...WEB, weight }] }), FORWARD);
  });

  const refused = (cluster: string | undefined, targets: readonly object[], code = 503): object => ({
    kind: "refuse",
    allowed: false,
    code,
    reason: "no-cluster",
    by: by(0),
    listener: "l",
    ...(cluster === undefined ? {} : { cluster }),
    targets,
  });

  test("that no cluster is for refuse with 503, a Gateway API route's with 500", () => {
    const absent = "outbound|81||absent";
    const targets = [plainTarget(absent, undefined)];
    const to: HttpRoute = { route: [{ destination: { host: "absent", port: { number: 81 } } }] };
    assert.deepEqual(decided(to), refused(absent, targets));
    const origin = { ref: "HTTPRoute foo/r", rule: 0 };
    assert.deepEqual(decided({ ...to, origin }), refused(absent, targets, 500));
    assert.deepEqual(decided({}), refused(undefined, []));
    assert.equal(httpOf({ origin })?.noClusterCode, 500);
  });

  test("without a host are no service", () => {
    const unknown = [plainTarget("UnknownService", undefined)];
    assert.deepEqual(decided({ route: [{}] }), refused("UnknownService", unknown));
    assert.deepEqual(decided({ route: [{ destination: { host: "" } }] }), refused("UnknownService", unknown));
    const two = [plainTarget("UnknownService", undefined, 2), plainTarget("UnknownService", undefined, 3)];
    assert.deepEqual(decided({ route: [{ weight: 2 }, { weight: 3 }] }), refused(undefined, two));
  });
});

test("resolveTarget(): an alias's own service; the port asked for, else the service's only one, else that listened on", () => {
  const ports = (...numbers: number[]): object => ({
    ports: numbers.map((port) => ({ port, name: `p${port}` })),
  });
  const registry = buildRegistry(
    meshOfObjects(
      written("Service", "foo/one", ports(8080)),
      written("Service", "foo/two", ports(8080, 9090)),
      written("Service", "foo/alias", { type: "ExternalName", externalName: "one.example", ...ports(81) }),
    ),
  );
  const context = {
    listenPort: 80,
    service: (host: string) => registry.find(`${host}.foo.svc.cluster.local`, "foo"),
  };
  const resolve = (host: string, more: object = {}): object => resolveTarget({ host, ...more }, context);
  assert.deepEqual(resolve("One"), { host: "one", port: 8080, subset: "" });
  assert.deepEqual(resolve("one", { port: { number: 1 } }), { host: "one", port: 1, subset: "" });
  assert.deepEqual(resolve("one", { port: {}, subset: "v1" }), { host: "one", port: 8080, subset: "v1" });
  assert.deepEqual(resolve("two"), { host: "two", port: 80, subset: "" });
  assert.deepEqual(resolve("Absent"), { host: "absent", port: 80, subset: "" });
  assert.deepEqual(resolve("alias"), { host: "one.example", port: 81, subset: "" });
});

describe("retries", () => {
  const CASES: readonly [
    name: string,
    own: HttpRetry | undefined,
    mesh: HttpRetry | undefined,
    retries: HttpRoutePlan["retries"],
  ][] = [
    ["are the default's", undefined, undefined, PLAIN.retries],
    ["are the mesh's", undefined, { attempts: 1, retryOn: "5xx" }, { attempts: 1, retryOn: "5xx" }],
    [
      "are the route's",
      { attempts: 3 },
      { attempts: 1, retryOn: "5xx" },
      { attempts: 3, retryOn: DEFAULT_RETRY_ON },
    ],
    [
      "have a timeout each",
      { attempts: 1, perTryTimeout: "250ms", retryOn: "" },
      undefined,
      { attempts: 1, perTryTimeoutMs: 250, retryOn: DEFAULT_RETRY_ON },
    ],
    [
      "are none of 0 attempts",
      { attempts: 0, retryOn: "5xx" },
      { attempts: 1 },
      { attempts: 0, retryOn: "" },
    ],
    ["are none of fewer", { attempts: -1, retryOn: "5xx" }, undefined, { attempts: 0, retryOn: "" }],
    ["are none where no number is given", { retryOn: "5xx" }, undefined, { attempts: 0, retryOn: "" }],
  ];
  for (const [name, own, mesh, retries] of CASES)
    test(name, () =>
      assert.deepEqual(httpOf(own === undefined ? {} : { retries: own }, { defaultRetries: mesh }), {
        ...PLAIN,
        retries,
      }),
    );
});

describe("mirrors", () => {
  const NAME = "outbound|80||web";
  const mirrors = (route: HttpRoute): HttpRoutePlan["mirrors"] | undefined => httpOf(route)?.mirrors;
  const whole = [{ name: NAME, cluster: PLAN, percent: 100 }];
  const mirror = { host: "web" };

  test("have all, or the share that is asked for; none of it leaves them out", () => {
    assert.deepEqual(mirrors({ mirror }), whole);
    assert.deepEqual(mirrors({ mirror, mirrorPercent: 5 }), [{ name: NAME, cluster: PLAN, percent: 5 }]);
    assert.deepEqual(mirrors({ mirror, mirrorPercentage: { value: 0.5 }, mirrorPercent: 5 }), [
      { name: NAME, cluster: PLAN, percent: 0.5 },
    ]);
    assert.deepEqual(mirrors({ mirror, mirrorPercentage: {} }), []);
    assert.deepEqual(mirrors({ mirror, mirrorPercent: 0 }), []);
    assert.deepEqual(mirrors({ mirrorPercent: 5 }), []);
  });

  test("are as many as are listed, also to where no cluster is", () => {
    const listed: HttpRoute = {
      mirrors: [
        { destination: { host: "web" } },
        { destination: { host: "absent" }, percentage: { value: 3 } },
        { destination: { host: "web" }, percentage: {} },
        { destination: { host: "web" }, percentage: { value: 0 } },
        { percentage: { value: 1 } },
      ],
    };
    assert.deepEqual(mirrors(listed), [...whole, { name: "outbound|80||absent", percent: 3 }]);
    assert.deepEqual(mirrors({ ...listed, mirror, mirrorPercent: 7 }), [
      { name: NAME, cluster: PLAN, percent: 7 },
      ...whole,
      { name: "outbound|80||absent", percent: 3 },
    ]);
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
