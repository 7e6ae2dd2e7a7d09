/** https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPFaultInjection */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compileFault } from "../../../src/policy/outbound/fault.ts";
import { NO_HEADER_OPS } from "../../../src/policy/outbound/header-ops.ts";
import { RequestView } from "../../../src/policy/outbound/request-view.ts";
import type { HttpFault } from "../../../src/policy/outbound/resource-shapes.ts";
import { plainTarget } from "../../../src/policy/outbound/targets.ts";
import type {
  ForwardDecision,
  HttpRoutePlan,
  OutboundDecision,
  RefuseDecision,
  RespondDecision,
} from "../../../src/policy/outbound/types.ts";

const BY = { resource: "VirtualService foo/web", section: "http", route: 0 } as const;
const HTTP: HttpRoutePlan = {
  requestHeaders: NO_HEADER_OPS,
  responseHeaders: NO_HEADER_OPS,
  retries: { attempts: 0, retryOn: "" },
  mirrors: [],
};
const TARGET = plainTarget("outbound|80||web", undefined);
const FORWARD: ForwardDecision = {
  kind: "forward",
  allowed: true,
  code: 200,
  reason: "ok",
  by: BY,
  listener: "l",
  targets: [TARGET],
  weighted: false,
  http: HTTP,
};
const REFUSE: RefuseDecision = {
  kind: "refuse",
  allowed: false,
  code: 503,
  reason: "no-cluster",
  by: BY,
  listener: "l",
  targets: [TARGET],
};
const RESPOND: RespondDecision = {
  kind: "respond",
  allowed: false,
  code: 301,
  reason: "redirect",
  by: BY,
  listener: "l",
  responseHeaders: NO_HEADER_OPS,
};
const ABORTED: RespondDecision = {
  kind: "respond",
  allowed: false,
  code: 503,
  reason: "fault",
  by: BY,
  listener: "l",
  cluster: "outbound|80||web",
  targets: [TARGET],
  http: HTTP,
  responseHeaders: NO_HEADER_OPS,
};

function decide(fault: HttpFault | undefined, then: OutboundDecision, roll?: number): OutboundDecision {
  const request = new RequestView(
    { authority: "web", method: "GET", headers: [], ...(roll === undefined ? {} : { roll }) },
    "/",
    "/",
  );
  return compileFault(fault, () => then)(request, "l");
}

const abort = (value?: number): HttpFault => ({
  abort: { httpStatus: 503, ...(value === undefined ? {} : { percentage: { value } }) },
});
const NO_FAULT = { delayMs: 0, delayPercent: 0, abortStatus: 0, abortPercent: 0 } as const;
const withPlan = (plan: object): OutboundDecision => ({
  ...FORWARD,
  http: { ...HTTP, fault: { ...NO_FAULT, ...plan } },
});

describe("aborts", () => {
  test("one of 100 % answers always, and says where the request would have gone", () => {
    for (const roll of [undefined, 0, 0.999]) assert.deepEqual(decide(abort(100), FORWARD, roll), ABORTED);
  });

  test("one of a part answers the rolls below it, and its plan is told for the others", () => {
    const plan = withPlan({ abortStatus: 503, abortPercent: 30 });
    assert.deepEqual(decide(abort(30), FORWARD, 0.29), ABORTED);
    assert.deepEqual(decide(abort(30), FORWARD, 0.3), plan);
    assert.deepEqual(decide(abort(30), FORWARD), plan);
  });

  test("without a percentage none is aborted", () => {
    const never = withPlan({ abortStatus: 503 });
    assert.deepEqual(decide(abort(), FORWARD, 0), never);
    assert.deepEqual(decide(abort(0), FORWARD, 0), never);
    assert.deepEqual(decide({ abort: { httpStatus: 503, percentage: {} } }, FORWARD, 0), never);
  });

  test("of several targets none is named; an answer of the route's own has none", () => {
    const targets = [TARGET, plainTarget("outbound|80||other", undefined)];
    const { cluster: _none, ...several } = ABORTED;
    assert.deepEqual(decide(abort(100), { ...FORWARD, targets }), { ...several, targets });
    const { targets: _neither, http: _nor, ...bare } = several;
    assert.deepEqual(decide(abort(100), RESPOND), bare);
    const { http: _http, ...refused } = ABORTED;
    assert.deepEqual(decide(abort(100), REFUSE), refused, "a fault comes before the refusal");
    const { http: _plan, ...opaque } = FORWARD;
    assert.deepEqual(decide(abort(100), opaque), refused);
    assert.equal(decide(abort(30), opaque, 0.5), opaque, "bytes have no plan");
  });
});

const GRPC = [
  ...["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"],
  ...["PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"],
  ...["UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"],
];
for (const [code, grpcStatus] of GRPC.entries())
  test(`an abort with the gRPC status ${grpcStatus} is HTTP's 200 with grpc-status ${code}`, () => {
    const fault: HttpFault = { abort: { grpcStatus, percentage: { value: 100 } } };
    assert.deepEqual(decide(fault, FORWARD), { ...ABORTED, code: 200, grpcStatus: code });
  });

test("a gRPC status that is none is no abort; beside an HTTP status that one counts", () => {
  assert.equal(decide({ abort: { grpcStatus: "NONSENSE", percentage: { value: 100 } } }, FORWARD), FORWARD);
  assert.equal(decide({ abort: { grpcStatus: "", percentage: { value: 100 } } }, FORWARD), FORWARD);
  const both: HttpFault = {
    abort: { httpStatus: 429, grpcStatus: "UNAVAILABLE", percentage: { value: 100 } },
  };
  assert.deepEqual(decide(both, FORWARD), { ...ABORTED, code: 429, grpcStatus: 14 });
  const partly: HttpFault = { abort: { grpcStatus: "OK", percentage: { value: 1 } } };
  assert.deepEqual(
    decide(partly, FORWARD),
    withPlan({ abortStatus: 200, abortGrpcStatus: 0, abortPercent: 1 }),
  );
});

describe("delays", () => {
  const delay = (percentage: number): HttpFault => ({
    delay: { fixedDelay: "2s", percentage: { value: percentage } },
  });

  test("one that happens is waited for before the request is sent on", () => {
    const plan = { delayMs: 2000, delayPercent: 40 };
    assert.deepEqual(decide(delay(40), FORWARD, 0.39), { ...withPlan(plan), delayMs: 2000 });
    assert.deepEqual(decide(delay(40), FORWARD, 0.4), withPlan(plan));
    assert.deepEqual(decide(delay(40), RESPOND, 0), { ...RESPOND, delayMs: 2000 });
    assert.equal(decide(delay(40), RESPOND, 0.5), RESPOND);
    assert.equal(decide(delay(100), REFUSE), REFUSE, "what is refused is refused at once");
  });

  test("the old whole percent counts where there is no percentage; without either none is delayed", () => {
    const percent = (more: object): HttpFault => ({ delay: { fixedDelay: "2s", ...more } });
    const told = (delayPercent: number): OutboundDecision => withPlan({ delayMs: 2000, delayPercent });
    assert.deepEqual(decide(percent({ percent: 40 }), FORWARD), told(40));
    assert.deepEqual(decide(percent({ percent: 40, percentage: { value: 5 } }), FORWARD), told(5));
    assert.deepEqual(decide(percent({ percentage: {} }), FORWARD, 0), told(0));
    assert.deepEqual(decide(percent({}), FORWARD, 0), told(0));
    const noStatus: HttpFault = { ...percent({}), abort: { percentage: { value: 100 } } };
    assert.deepEqual(decide(noStatus, FORWARD, 0), told(0), "an abort without a status is none");
  });

  test("an abort is answered after the delay", () => {
    const both: HttpFault = { ...delay(50), ...abort(70) };
    assert.deepEqual(decide(both, FORWARD, 0.4), { ...ABORTED, delayMs: 2000 });
    assert.deepEqual(decide(both, FORWARD, 0.6), ABORTED);
    assert.deepEqual(
      decide(both, FORWARD, 0.8),
      withPlan({ delayMs: 2000, delayPercent: 50, abortStatus: 503, abortPercent: 70 }),
    );
  });
});

test("a fault that does nothing is none: not even its plan is told", () => {
  for (const fault of [undefined, {}, { delay: {} }, { abort: {} }, { delay: { fixedDelay: "0s" } }])
    assert.equal(decide(fault, FORWARD, 0), FORWARD);
  const never: HttpFault = {
    delay: { fixedDelay: "0s", percentage: { value: 100 } },
    abort: { httpStatus: 503 },
  };
  assert.deepEqual(decide(never, FORWARD, 0), withPlan({ abortStatus: 503 }));
});
