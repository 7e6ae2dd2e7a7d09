/** What becomes of traffic that no listener or virtual host takes: the outbound traffic policy. */
import type { Service } from "../../model/mesh.ts";
import { clusterName } from "./host-name.ts";
import type { ProxyView } from "./proxy-view.ts";
import { plainTarget } from "./targets.ts";
import { decideTcp } from "./tcp-forward.ts";
import type { OutboundDecision, OutboundTarget, RouteRef } from "./types.ts";

const BLOCK_STATUS = 502;

/**
 * @param opening `http`: an HTTP listener took the request, so that a refusal has a status. `clear-http`: HTTP that came
 *   by no HTTP listener. `bytes`: anything else.
 */
export function decideUnknown(
  view: ProxyView,
  opening: "http" | "clear-http" | "bytes",
  listener: string,
  dialled: Service | undefined,
): OutboundDecision {
  const { mode, egressProxy, by: sidecar } = view.scope.outboundTraffic;
  const by: RouteRef = { resource: sidecar, section: "default", route: null };
  if (mode === "REGISTRY_ONLY") {
    const code = opening === "http" ? BLOCK_STATUS : 0;
    return { kind: "refuse", allowed: false, code, reason: "blackhole", by, listener };
  }
  if (egressProxy !== undefined) {
    const target = proxyTarget(
      view,
      egressProxy.host,
      egressProxy.port?.number ?? 0,
      egressProxy.subset ?? "",
    );
    const decision = decideTcp({ by, targets: [target], weighted: false }, listener, opening !== "bytes");
    // A route to a cluster that is not there answers; a TCP proxy only closes.
    return decision.kind === "refuse" && opening === "http" ? { ...decision, code: 503 } : decision;
  }
  const code = opening === "bytes" ? 0 : 200;
  return {
    kind: "forward",
    allowed: true,
    code,
    reason: "passthrough",
    by,
    listener,
    targets: [],
    weighted: false,
    ...(dialled === undefined ? {} : { dialled }),
  };
}

function proxyTarget(view: ProxyView, host: string, port: number, subset: string): OutboundTarget {
  return plainTarget(clusterName(port, subset, host), view.cluster(host, port, subset));
}
