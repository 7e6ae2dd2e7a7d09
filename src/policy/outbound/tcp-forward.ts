/** What becomes of a connection that is forwarded as bytes. */
import { clusterName } from "./host-name.ts";
import { resolveTarget } from "./http-route.ts";
import type { ProxyView } from "./proxy-view.ts";
import type { RouteDestination } from "./resource-shapes.ts";
import { plainTarget, unusable } from "./targets.ts";
import type { ForwardDecision, OutboundTarget, RefuseDecision, RouteRef } from "./types.ts";

export interface TcpForward {
  readonly by: RouteRef;
  readonly targets: readonly OutboundTarget[];
  readonly weighted: boolean;
}

export function forwardToService(view: ProxyView, host: string, port: number): TcpForward {
  return {
    by: { resource: null, section: "default", route: null },
    targets: [plainTarget(clusterName(port, "", host), view.cluster(host, port, ""))],
    weighted: false,
  };
}

export function forwardByRoute(
  view: ProxyView,
  by: RouteRef,
  destinations: readonly RouteDestination[],
  listenPort: number,
): TcpForward {
  const several = destinations.length > 1;
  const targets = destinations.flatMap(({ destination, weight = 0 }) => {
    if (destination === undefined || (several && weight <= 0)) return [];
    const { host, port, subset } = resolveTarget(destination, { service: view.service, listenPort });
    return [
      plainTarget(clusterName(port, subset, host), view.cluster(host, port, subset), several ? weight : 1),
    ];
  });
  return { by, targets, weighted: targets.length > 1 };
}

/**
 * @param speaksHttp whether the client's bytes are a clear HTTP request: then a successful answer has a status.
 * @param name what the connection says it is for (SNI), where it says anything.
 */
export function decideTcp(
  forward: TcpForward,
  listener: string,
  speaksHttp: boolean,
  name?: string | undefined,
): ForwardDecision | RefuseDecision {
  const { by, targets, weighted } = forward;
  const reason = unusable(targets);
  if (reason === undefined) {
    const code = speaksHttp ? 200 : 0;
    const dynamic =
      name !== undefined && targets.some(({ cluster }) => cluster?.resolution === "dynamic-dns");
    const named = dynamic ? { dynamicHost: name } : {};
    return { kind: "forward", allowed: true, code, reason: "ok", by, listener, targets, weighted, ...named };
  }
  const cluster = weighted ? undefined : targets[0]?.name;
  return {
    kind: "refuse",
    allowed: false,
    code: 0,
    reason,
    by,
    listener,
    ...(cluster === undefined ? {} : { cluster }),
    targets,
  };
}
