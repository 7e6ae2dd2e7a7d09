/** Where a route sends requests, how often, and where copies go: https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRouteDestination */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { resolveTarget } from "../../../src/policy/outbound/http-route.ts";
import { buildRegistry } from "../../../src/policy/outbound/registry.ts";
import type { HttpRetry, HttpRoute } from "../../../src/policy/outbound/resource-shapes.ts";
import { plainTarget } from "../../../src/policy/outbound/targets.ts";
import type { HttpRoutePlan } from "../../../src/policy/outbound/types.ts";
import { meshOfObjects, written } from "./objects.ts";
import {
  by,
  DEFAULT_RETRY_ON,
  decided,
  FORWARD,
  httpOf,
  NO_OPS,
  PLAIN,
  PLAN,
  V1,
  WEB,
} from "./route-fixture.ts";

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
