/** What becomes of a request that a route takes: https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRoute */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compileCors } from "../../../src/policy/outbound/cors.ts";
import { forwardHttp, type HttpForward } from "../../../src/policy/outbound/forward-http.ts";
import { NO_HEADER_OPS } from "../../../src/policy/outbound/header-ops.ts";
import { RequestView } from "../../../src/policy/outbound/request-view.ts";
import type { CorsPolicy } from "../../../src/policy/outbound/resource-shapes.ts";
import { plainTarget } from "../../../src/policy/outbound/targets.ts";
import type { HttpRoutePlan, OutboundDecision } from "../../../src/policy/outbound/types.ts";
import { planWith, TLS } from "./plans.ts";

const BY = { resource: "VirtualService foo/web", section: "http", route: 0 } as const;
const HTTP: HttpRoutePlan = {
  requestHeaders: NO_HEADER_OPS,
  responseHeaders: NO_HEADER_OPS,
  retries: { attempts: 0, retryOn: "" },
  mirrors: [],
};
const TARGET = plainTarget("web", planWith());
const ABSENT = plainTarget("absent", undefined);
const EMPTY = plainTarget("empty", planWith({ endpoints: [] }));
const FORWARD: HttpForward = { by: BY, http: HTTP, targets: [TARGET], weighted: false };

const SENT = {
  kind: "forward",
  allowed: true,
  code: 200,
  reason: "ok",
  by: BY,
  listener: "l",
  targets: [TARGET],
  weighted: false,
  http: HTTP,
} as const;

interface Asked {
  readonly authority?: string;
  readonly method?: string;
  readonly headers?: readonly string[];
  readonly sent?: string;
  readonly path?: string;
}

function request({
  authority = "web",
  method = "GET",
  headers = [],
  sent = "/a",
  path = sent,
}: Asked = {}): RequestView {
  return new RequestView({ authority, method, headers }, sent, path);
}

const decide = (forward: HttpForward, asked: Asked = {}): OutboundDecision =>
  forwardHttp(forward)(request(asked), "l");

describe("targets that cannot be reached", () => {
  const REFUSED = { kind: "refuse", allowed: false, code: 503, by: BY, listener: "l" } as const;

  test("no cluster: 503, or what the route says; an empty cluster is always 503", () => {
    const named = { ...FORWARD, http: { ...HTTP, noClusterCode: 500 } } as const;
    const refusal = { ...REFUSED, reason: "no-cluster", cluster: "absent", targets: [ABSENT] };
    assert.deepEqual(decide({ ...FORWARD, targets: [ABSENT] }), refusal);
    assert.deepEqual(decide({ ...named, targets: [ABSENT] }), { ...refusal, code: 500 });
    assert.deepEqual(decide({ ...named, targets: [EMPTY] }), {
      ...REFUSED,
      reason: "no-healthy-upstream",
      cluster: "empty",
      targets: [EMPTY],
    });
  });

  test("of several none is named; one that can be reached is enough", () => {
    const targets = [ABSENT, EMPTY];
    assert.deepEqual(decide({ ...FORWARD, targets, weighted: true }), {
      ...REFUSED,
      reason: "no-healthy-upstream",
      targets,
    });
    assert.deepEqual(decide({ ...FORWARD, targets: [] }), { ...REFUSED, reason: "no-cluster", targets: [] });
    const some = [ABSENT, TARGET];
    assert.deepEqual(decide({ ...FORWARD, targets: some, weighted: true }), {
      ...SENT,
      targets: some,
      weighted: true,
    });
  });
});

describe("requests as they are sent on", () => {
  test("unchanged, decided once for each listener", () => {
    const action = forwardHttp(FORWARD);
    const first = action(request(), "l");
    assert.deepEqual(first, SENT);
    assert.ok(Object.isFrozen(first));
    assert.equal(action(request({ authority: "other", sent: "/b" }), "l"), first);
    assert.deepEqual(action(request(), "m"), { ...SENT, listener: "m" });
  });

  test("with the normalized path where it is another than was sent", () => {
    const action = forwardHttp(FORWARD);
    assert.deepEqual(action(request({ sent: "/x/../a?q", path: "/a?q" }), "l"), { ...SENT, path: "/a?q" });
    assert.deepEqual(action(request(), "l"), SENT);
  });

  test("with the path rewritten, the query as it was, and the original path told", () => {
    const rewritePath = (path: string): string => `/n${path}`;
    assert.deepEqual(decide({ ...FORWARD, rewritePath }, { sent: "/a?q=1" }), {
      ...SENT,
      path: "/n/a?q=1",
      originalPath: "/a?q=1",
    });
    assert.deepEqual(decide({ ...FORWARD, rewritePath: (path) => path }), { ...SENT, originalPath: "/a" });
    const action = forwardHttp({ ...FORWARD, rewritePath });
    assert.notDeepEqual(action(request({ sent: "/a" }), "l"), action(request({ sent: "/b" }), "l"));
  });

  test("with the Host rewritten, and the original one told", () => {
    const action = forwardHttp({ ...FORWARD, authority: "inner" });
    assert.deepEqual(action(request(), "l"), { ...SENT, authority: "inner", originalAuthority: "web" });
    assert.deepEqual(action(request({ authority: "other" }), "l"), {
      ...SENT,
      authority: "inner",
      originalAuthority: "other",
    });
  });

  test("in TLS by the Host that is sent, each by its own", () => {
    const cluster = planWith({ tlsSettings: { ...TLS, sniFromAuthority: true, sansFromAuthority: true } });
    const targets = [plainTarget("web", cluster)];
    const action = forwardHttp({ ...FORWARD, targets });
    for (const host of ["a.example", "b.example"])
      assert.deepEqual(action(request({ authority: `${host}:443` }), "l"), {
        ...SENT,
        targets: [{ ...targets[0], sni: host, sans: [host] }],
      });
    assert.deepEqual(decide({ ...FORWARD, targets, authority: "inner" }), {
      ...SENT,
      targets: [{ ...targets[0], sni: "inner", sans: ["inner"] }],
      authority: "inner",
      originalAuthority: "web",
    });
  });

  test("to a name that is resolved: that of the Host that is sent, without its port", () => {
    const targets = [TARGET, plainTarget("wild", planWith({ resolution: "dynamic-dns", endpoints: [] }))];
    const sent = { ...SENT, targets };
    assert.deepEqual(decide({ ...FORWARD, targets }, { authority: "A.example:80" }), {
      ...sent,
      dynamicHost: "a.example",
    });
    assert.deepEqual(decide({ ...FORWARD, targets, authority: "inner:81" }), {
      ...sent,
      authority: "inner:81",
      originalAuthority: "web",
      dynamicHost: "inner",
    });
  });
});

describe("CORS preflights", () => {
  const POLICY: CorsPolicy = {
    allowOrigins: [{ exact: "https://a.example" }],
    allowMethods: ["GET", "POST"],
    allowHeaders: ["x-a"],
    exposeHeaders: ["x-b"],
    maxAge: "60s",
    allowCredentials: true,
  };
  const preflight = (origin: string, ...more: string[]): Asked => ({
    method: "OPTIONS",
    headers: ["origin", origin, "access-control-request-method", "GET", ...more],
  });
  const forward = (policy: CorsPolicy): HttpForward => ({
    ...FORWARD,
    http: { ...HTTP, cors: compileCors(policy) },
  });
  const ask = (policy: CorsPolicy, asked: Asked): string | OutboundDecision => {
    const decision = decide(forward(policy), asked);
    return decision.kind === "respond" ? decision : decision.kind;
  };
  const answered = (...set: (readonly [string, string])[]): unknown => ({
    kind: "respond",
    allowed: false,
    code: 200,
    reason: "direct-response",
    by: BY,
    listener: "l",
    responseHeaders: { remove: [], set, add: [] },
  });
  const ORIGIN = ["access-control-allow-origin", "https://a.example"] as const;

  test("of an origin that is allowed are answered by the proxy, with what the policy says and nothing empty", () => {
    assert.deepEqual(
      ask(POLICY, preflight("https://a.example")),
      answered(
        ORIGIN,
        ["access-control-allow-credentials", "true"],
        ["access-control-allow-methods", "GET,POST"],
        ["access-control-allow-headers", "x-a"],
        ["access-control-max-age", "60"],
      ),
    );
    const { allowOrigins } = POLICY;
    if (allowOrigins === undefined) throw new Error("the policy has origins");
    assert.deepEqual(ask({ allowOrigins }, preflight("https://a.example")), answered(ORIGIN));
    assert.deepEqual(
      ask({ allowOrigins, allowCredentials: false }, preflight("https://a.example")),
      answered(ORIGIN),
    );
  });

  test("of another origin are sent on, or answered with nothing where the policy ignores them", () => {
    assert.equal(ask(POLICY, preflight("https://b.example")), "forward");
    assert.equal(
      ask({ ...POLICY, unmatchedPreflights: "FORWARD" }, preflight("https://b.example")),
      "forward",
    );
    assert.deepEqual(
      ask({ ...POLICY, unmatchedPreflights: "IGNORE" }, preflight("https://b.example")),
      answered(),
    );
    assert.deepEqual(
      ask(
        { allowOrigins: [{ exact: "https://a.example" }], unmatchedPreflights: "IGNORE" },
        preflight("https://a.example"),
      ),
      answered(ORIGIN),
    );
  });

  test("are what the Fetch standard calls so, and no other request", () => {
    const ignoring: CorsPolicy = { ...POLICY, unmatchedPreflights: "IGNORE" };
    const both = ["origin", "https://a.example", "access-control-request-method", "GET"];
    assert.equal(ask(ignoring, { method: "GET", headers: both }), "forward");
    assert.equal(ask(ignoring, { method: "OPTIONS", headers: both.slice(0, 2) }), "forward");
    assert.equal(ask(ignoring, { method: "OPTIONS", headers: both.slice(2) }), "forward");
    assert.equal(ask({ allowOrigins: [{ prefix: "" }] }, preflight("")), "forward");
    assert.equal(
      ask({ allowOrigins: [{ regex: ".*" }] }, { method: "OPTIONS", headers: both.slice(2) }),
      "forward",
    );
    assert.equal(decide(FORWARD, preflight("https://a.example")).kind, "forward", "without a policy");
  });
});
