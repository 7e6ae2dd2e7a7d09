/** On from a waypoint to the very pod that was asked for: through HBONE, or not at all. */
import { isIPv6 } from "node:net";
import type { PodPlacement } from "../../model/placement.ts";
import { takesHbone } from "../../policy/ambient/hbone.ts";
import { hboneAuthority } from "../hbone/hbone-authority.ts";
import type { MutableFlow } from "../http-service.ts";
import type { NextTarget, WireProtocol } from "../pick-endpoint.ts";
import { HBONE_PORT, upstreamTarget } from "../upstream-target.ts";
import type { WaypointPlace } from "./waypoint-state.ts";

/** Undefined where the pod takes no HBONE. @param from the waypoint's own. */
export function nextPod(
  { served, ip, port, state }: WaypointPlace,
  from: PodPlacement,
  protocol: WireProtocol,
): NextTarget | undefined {
  if (served.kind !== "workload") throw new Error("BUG: a service has routes");
  const { workload } = served;
  if (!takesHbone(state.snapshot.mesh, workload)) return undefined;
  const target = upstreamTarget({
    host: ip,
    port,
    localAddress: isIPv6(ip) ? from.address6 : from.address,
    tls: undefined,
    protocol,
    cluster: "encap",
    tunnel: { host: ip, port: HBONE_PORT, authority: hboneAuthority(ip, port), sans: [workload.spiffeId] },
  });
  return (attempt) => (attempt > 0 ? undefined : target);
}

/** The record of what cannot go on. */
export function noteWithoutHbone(flow: MutableFlow, { served }: WaypointPlace): void {
  const name = served.kind === "workload" ? served.workload.key : served.service.hostname;
  Object.assign(flow, {
    verdict: "deny",
    layer: "route",
    reason: "no-hbone",
    policy: null,
    rule: null,
    explanation: [`${name} takes no HBONE, and a waypoint speaks nothing else to a pod's own address`],
  });
}
