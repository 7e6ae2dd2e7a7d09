/** Bytes that are sent on, by a route, to a service, or by the outbound traffic policy. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RequestView } from "../../../src/policy/outbound/request-view.ts";
import type { OutboundTraffic } from "../../../src/policy/outbound/sidecar-scope.ts";
import { plainTarget } from "../../../src/policy/outbound/targets.ts";
import { decideTcp, forwardByRoute, forwardToService } from "../../../src/policy/outbound/tcp-forward.ts";
import type { OutboundDecision, OutboundTarget, RouteRef } from "../../../src/policy/outbound/types.ts";
import { decideUnknown, type UnknownTraffic } from "../../../src/policy/outbound/unknown-destination.ts";
import { planWith, TLS, viewWith } from "./plans.ts";

const BY: RouteRef = { resource: "VirtualService foo/vs", section: "tcp", route: 0 };
const DEFAULT: RouteRef = { resource: null, section: "default", route: null };
const PLAN = planWith();
const EMPTY = planWith({ endpoints: [] });
const DYNAMIC = planWith({ endpoints: [], resolution: "dynamic-dns" });

test("forwardToService() has the service's cluster, or its name alone", () => {
  const view = viewWith({ "outbound|80||web": PLAN });
  assert.deepEqual(forwardToService(view, "web", 80), {
    by: DEFAULT,
    targets: [plainTarget("outbound|80||web", PLAN)],
    weighted: false,
  });
  assert.deepEqual(forwardToService(view, "web", 81).targets, [plainTarget("outbound|81||web", undefined)]);
});

describe("forwardByRoute()", () => {
  const view = viewWith({ "outbound|80||web": PLAN, "outbound|9000|v1|web": PLAN });
  const to = (
    weight?: number,
    number = 9000,
  ): { destination: { host: string; subset: string; port: { number: number } }; weight?: number } => ({
    destination: { host: "Web", subset: "v1", port: { number } },
    ...(weight === undefined ? {} : { weight }),
  });
  const v1 = (weight: number): OutboundTarget => plainTarget("outbound|9000|v1|web", PLAN, weight);

  test("one destination has all, whatever its weight", () => {
    for (const weight of [undefined, 0, 50])
      assert.deepEqual(forwardByRoute(view, BY, [to(weight)], 80), {
        by: BY,
        targets: [v1(1)],
        weighted: false,
      });
  });

  test("a destination without port is on the port listened on", () => {
    const { targets } = forwardByRoute(view, BY, [{ destination: { host: "web" } }], 80);
    assert.deepEqual(targets, [plainTarget("outbound|80||web", PLAN)]);
  });

  test("several share by weight, those of none left out", () => {
    const both = forwardByRoute(view, BY, [to(30), to(0), to(), {}, to(70, 81)], 80);
    const absent = plainTarget("outbound|81|v1|web", undefined, 70);
    assert.deepEqual(both, { by: BY, targets: [v1(30), absent], weighted: true });
    assert.deepEqual(forwardByRoute(view, BY, [to(30), to(0)], 80), {
      by: BY,
      targets: [v1(30)],
      weighted: false,
    });
    assert.deepEqual(forwardByRoute(view, BY, [{}], 80), { by: BY, targets: [], weighted: false });
  });
});

describe("decideTcp()", () => {
  const decide = (targets: readonly OutboundTarget[], http: boolean, name?: string): OutboundDecision =>
    decideTcp({ by: BY, targets, weighted: targets.length > 1 }, "l", http, name);

  test("forwards where a target can be reached; clear HTTP has a status then", () => {
    const targets = [plainTarget("c", PLAN)];
    const forward = {
      kind: "forward",
      allowed: true,
      reason: "ok",
      by: BY,
      listener: "l",
      targets,
      weighted: false,
    };
    assert.deepEqual(decide(targets, false), { ...forward, code: 0 });
    assert.deepEqual(decide(targets, true), { ...forward, code: 200 });
    assert.deepEqual(decide(targets, false, "name"), { ...forward, code: 0 }, "the name is nobody's matter");
  });

  test("says which name is to be resolved, where one is", () => {
    const targets = [plainTarget("c", PLAN), plainTarget("d", undefined), plainTarget("e", DYNAMIC)];
    const forward = {
      kind: "forward",
      allowed: true,
      code: 0,
      reason: "ok",
      by: BY,
      listener: "l",
      targets,
      weighted: true,
    };
    assert.deepEqual(decide(targets, false, "name"), { ...forward, dynamicHost: "name" });
    assert.deepEqual(decide(targets, false), forward);
  });

  test("refuses else, naming the only cluster that was wanted", () => {
    const refuse = { kind: "refuse", allowed: false, code: 0, by: BY, listener: "l" };
    const empty = [plainTarget("c", EMPTY)];
    assert.deepEqual(decide(empty, true), {
      ...refuse,
      reason: "no-healthy-upstream",
      cluster: "c",
      targets: empty,
    });
    const absent = [plainTarget("c", undefined), plainTarget("d", undefined)];
    assert.deepEqual(decide(absent, false), { ...refuse, reason: "no-cluster", targets: absent });
    assert.deepEqual(decide([], false), { ...refuse, reason: "no-cluster", targets: [] });
  });
});

describe("decideUnknown()", () => {
  const request = (sent: string, path: string): UnknownTraffic => ({
    kind: "http",
    request: new RequestView({ authority: "Host.example:81", method: "GET", headers: [] }, sent, path),
  });
  const HTTP = request("/a", "/a");
  const NO_OPS = { remove: [], set: [], add: [] };
  const PLAIN = {
    requestHeaders: NO_OPS,
    responseHeaders: NO_OPS,
    retries: { attempts: 0, retryOn: "" },
    mirrors: [],
  };
  const SIDECAR = "Sidecar bar/narrow";
  const BY_SIDECAR: RouteRef = { ...DEFAULT, resource: SIDECAR };

  test("REGISTRY_ONLY refuses, even where a proxy is named: with 502 what is HTTP to a listener", () => {
    const view = viewWith({}, { mode: "REGISTRY_ONLY", by: SIDECAR, egressProxy: { host: "proxy" } });
    const refuse = {
      kind: "refuse",
      allowed: false,
      reason: "blackhole",
      by: BY_SIDECAR,
      listener: "l",
      cluster: "BlackHoleCluster",
    };
    assert.deepEqual(decideUnknown(view, HTTP, "l", undefined), { ...refuse, code: 502 });
    assert.deepEqual(decideUnknown(view, { kind: "clear-http" }, "l", PLAN.service), { ...refuse, code: 0 });
    assert.deepEqual(decideUnknown(view, { kind: "bytes" }, "l", undefined), { ...refuse, code: 0 });
  });

  test("ALLOW_ANY passes all on, and ALLOW_ANY_DYNAMIC_DNS what no listener reads as HTTP, saying which service was dialled", () => {
    for (const mode of ["ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"] as const) {
      const view = viewWith({}, { mode, by: null });
      const pass = {
        kind: "forward",
        allowed: true,
        reason: "passthrough",
        by: DEFAULT,
        listener: "l",
        targets: [],
        weighted: false,
      };
      assert.deepEqual(decideUnknown(view, { kind: "bytes" }, "l", undefined), { ...pass, code: 0 });
      const dialled = PLAN.service;
      assert.deepEqual(decideUnknown(view, { kind: "clear-http" }, "l", dialled), {
        ...pass,
        code: 200,
        dialled,
      });
      if (mode === "ALLOW_ANY_DYNAMIC_DNS") continue;
      assert.deepEqual(decideUnknown(view, HTTP, "l", undefined), { ...pass, code: 200, http: PLAIN });
      assert.deepEqual(decideUnknown(view, request("/./a", "/a"), "l", undefined), {
        ...pass,
        code: 200,
        http: PLAIN,
        path: "/a",
      });
    }
  });

  test("under ALLOW_ANY_DYNAMIC_DNS HTTP to an unknown host is not decided, and refused with 503", () => {
    const view = viewWith({}, { mode: "ALLOW_ANY_DYNAMIC_DNS", by: null });
    assert.deepEqual(decideUnknown(view, HTTP, "l", undefined), {
      kind: "refuse",
      allowed: false,
      code: 503,
      reason: "unknown",
      cause: "host-lookup-unknown",
      by: DEFAULT,
      listener: "l",
    });
  });

  describe("with an egress proxy", () => {
    const policy: OutboundTraffic = {
      mode: "ALLOW_ANY",
      by: SIDECAR,
      egressProxy: { host: "Proxy.example", subset: "v1", port: { number: 3128 } },
    };
    const NAME = "outbound|3128|v1|proxy.example";
    const named = planWith({ tlsSettings: { ...TLS, sniFromAuthority: true } });

    test("sends all there; HTTP with the names of its Host", () => {
      const view = viewWith({ [NAME]: named }, policy);
      const target = plainTarget(NAME, named);
      const forward = {
        kind: "forward",
        allowed: true,
        reason: "ok",
        by: BY_SIDECAR,
        listener: "l",
        targets: [target],
        weighted: false,
      };
      const dialled = PLAN.service;
      assert.deepEqual(decideUnknown(view, { kind: "bytes" }, "l", dialled), { ...forward, code: 0 });
      assert.deepEqual(decideUnknown(view, { kind: "clear-http" }, "l", dialled), { ...forward, code: 200 });
      assert.deepEqual(decideUnknown(view, request("/./a", "/a"), "l", dialled), {
        ...forward,
        code: 200,
        targets: [{ ...target, sni: "Host.example" }],
        http: PLAIN,
        path: "/a",
      });
    });

    test("that this client has no cluster for, or none that answers, refuses; HTTP with 503", () => {
      const refuse = { kind: "refuse", allowed: false, by: BY_SIDECAR, listener: "l", cluster: NAME };
      const none = { ...refuse, reason: "no-cluster", targets: [plainTarget(NAME, undefined)] };
      assert.deepEqual(decideUnknown(viewWith({}, policy), HTTP, "l", undefined), { ...none, code: 503 });
      assert.deepEqual(decideUnknown(viewWith({}, policy), { kind: "clear-http" }, "l", undefined), {
        ...none,
        code: 0,
      });
      assert.deepEqual(decideUnknown(viewWith({ [NAME]: EMPTY }, policy), HTTP, "l", undefined), {
        ...refuse,
        reason: "no-healthy-upstream",
        targets: [plainTarget(NAME, EMPTY)],
        code: 503,
      });
    });

    test("without port and subset is the cluster of port 0, which nobody has", () => {
      for (const port of [{}, { port: {} }]) {
        const view = viewWith({}, { mode: "ALLOW_ANY", by: SIDECAR, egressProxy: { host: "p", ...port } });
        const decision = decideUnknown(view, HTTP, "l", undefined);
        assert.equal(decision.kind === "refuse" ? decision.cluster : "", "outbound|0||p");
      }
    });
  });
});
