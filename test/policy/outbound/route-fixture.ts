/** The only route of a VirtualService in foo, compiled, and what it decides where it simply sends on. */
import assert from "node:assert/strict";
import { compileRoutes, type RouteContext } from "../../../src/policy/outbound/http-route.ts";
import { RequestView } from "../../../src/policy/outbound/request-view.ts";
import type { HttpRoute } from "../../../src/policy/outbound/resource-shapes.ts";
import { plainTarget } from "../../../src/policy/outbound/targets.ts";
import type { HttpRoutePlan, OutboundDecision, RouteRef } from "../../../src/policy/outbound/types.ts";
import type { VirtualService } from "../../../src/policy/outbound/virtual-services.ts";
import { planWith } from "./plans.ts";

export const PLAN = planWith();
export const V1 = planWith({ name: "v1" });
const CLUSTERS = new Map([
  ["outbound|80||web", PLAN],
  ["outbound|80|v1|web", V1],
]);

export const CONTEXT: RouteContext = {
  namespace: "foo",
  labels: { app: "client" },
  gateway: "mesh",
  listenPort: 80,
  isTls: false,
  defaultRetries: undefined,
  service: () => undefined,
  cluster: (host, port, subset) => CLUSTERS.get(`outbound|${port}|${subset}|${host}`),
};

export function by(route: number): RouteRef {
  return { resource: "VirtualService foo/vs", section: "http", route };
}

export function serviceOf(routes: readonly HttpRoute[]): VirtualService {
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

export const NO_OPS = { remove: [], set: [], add: [] };
export const DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
export const PLAIN: HttpRoutePlan = {
  requestHeaders: NO_OPS,
  responseHeaders: NO_OPS,
  retries: { isDefault: true, attempts: 2, retryOn: DEFAULT_RETRY_ON },
  mirrors: [],
};
export const WEB = { destination: { host: "web" } };
export const FORWARD = {
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
export function decided(
  route: HttpRoute,
  context: Partial<RouteContext> = {},
  sent: Sent = {},
): OutboundDecision {
  const [compiled, ...rest] = compileRoutes(serviceOf([route]), { ...CONTEXT, ...context });
  assert.ok(compiled !== undefined && rest.length === 0);
  const { path = "/a/b", ...parts } = sent;
  return compiled.decide(
    new RequestView({ authority: "web", method: "GET", headers: [], ...parts }, path, path),
    "l",
  );
}

export function httpOf(route: HttpRoute, context: Partial<RouteContext> = {}): HttpRoutePlan | undefined {
  const decision = decided({ route: [WEB], ...route }, context);
  return decision.kind === "forward" ? decision.http : undefined;
}
