/** What becomes of traffic that no listener or virtual host takes: the outbound traffic policy. */
import type { Service } from "../../model/mesh.ts";
import { NO_HEADER_OPS } from "./header-ops.ts";
import { clusterName } from "./host-name.ts";
import type { ProxyView } from "./proxy-view.ts";
import type { RequestView } from "./request-view.ts";
import { plainTarget, withAuthority } from "./targets.ts";
import { decideTcp } from "./tcp-forward.ts";
import type { ForwardDecision, HttpRoutePlan, OutboundDecision, OutboundTarget, RouteRef } from "./types.ts";

export const BLACKHOLE = "BlackHoleCluster";

/** A request that an HTTP listener took, so that refusals have a status; clear HTTP that came by none; anything else. */
export type UnknownTraffic =
  | { readonly kind: "http"; readonly request: RequestView }
  | { readonly kind: "clear-http" | "bytes" };

/** Sent on as it is, once. */
const PLAIN: HttpRoutePlan = Object.freeze({
  requestHeaders: NO_HEADER_OPS,
  responseHeaders: NO_HEADER_OPS,
  retries: { attempts: 0, retryOn: "" },
  mirrors: [],
});

export function decideUnknown(
  view: ProxyView,
  traffic: UnknownTraffic,
  listener: string,
  dialled: Service | undefined,
): OutboundDecision {
  const { mode, egressProxy, by: sidecar } = view.scope.outboundTraffic;
  const by: RouteRef = { resource: sidecar, section: "default", route: null };
  const isHttp = traffic.kind === "http";
  if (mode === "REGISTRY_ONLY") {
    const code = isHttp ? 502 : 0;
    return { kind: "refuse", allowed: false, code, reason: "blackhole", by, listener, cluster: BLACKHOLE };
  }
  if (egressProxy !== undefined) {
    const { host, port, subset } = egressProxy;
    const target = proxyTarget(view, host.toLowerCase(), port?.number ?? 0, subset ?? "");
    const named = isHttp ? withAuthority(target, traffic.request.authority) : target;
    const decision = decideTcp({ by, targets: [named], weighted: false }, listener, traffic.kind !== "bytes");
    // A route to a cluster that is not there answers; a TCP proxy only closes.
    if (decision.kind === "refuse") return isHttp ? { ...decision, code: 503 } : decision;
    return { ...decision, ...httpPart(traffic) };
  }
  // Istio looks up the Host anew (AllowAnyDynamicDNSCluster), so that the address dialled counts for nothing: to go there would be to go elsewhere.
  if (mode === "ALLOW_ANY_DYNAMIC_DNS" && isHttp) {
    const refused = { kind: "refuse", allowed: false, code: 503, reason: "unknown" } as const;
    return { ...refused, cause: "host-lookup-unknown", by, listener };
  }
  return {
    kind: "forward",
    allowed: true,
    code: traffic.kind === "bytes" ? 0 : 200,
    reason: "passthrough",
    by,
    listener,
    targets: [],
    weighted: false,
    ...httpPart(traffic),
    ...(dialled === undefined ? {} : { dialled }),
  };
}

function httpPart(traffic: UnknownTraffic): Pick<ForwardDecision, "http" | "path"> {
  if (traffic.kind !== "http") return {};
  const { path, sent } = traffic.request;
  return { http: PLAIN, ...(path === sent ? {} : { path }) };
}

function proxyTarget(view: ProxyView, host: string, port: number, subset: string): OutboundTarget {
  return plainTarget(clusterName(port, subset, host), view.cluster(host, port, subset));
}
