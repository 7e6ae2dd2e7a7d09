import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { type AmbientRoute, type AmbientWay, ambientRoute } from "../../policy/ambient/ambient-route.ts";
import { type OriginalDestination, unmapped } from "../capture/original-destination.ts";
import type { MutableFlow } from "../http-service.ts";
import { openTunnel } from "../open-tunnel.ts";
import { outboundFlow } from "../outbound-service.ts";
import { type Refusal, routeGone } from "../recheck.ts";
import { isOwnAddress, isOwnPort, originalDestination, refuseUncaptured } from "./captured-connection.ts";
import { nextHop, wayName, wayOf } from "./next-hop.ts";
import type { PodEnvironment, PodState } from "./pod-environment.ts";

const NOTHING = Buffer.alloc(0);

/**
 * Takes what a pod's application dials, and sends it where `ambientRoute` says: to a waypoint or a pod through HBONE under the pod's own identity, or in clear.
 * @see src/proxy/outbound.rs of istio/ztunnel
 */
export function acceptCapturedOutbound(env: PodEnvironment, socket: Socket): void {
  const dialled = originalDestination(env, socket);
  if (dialled === undefined || leadsBack(env, dialled)) {
    refuseUncaptured(env, socket, "outbound", dialled);
    return;
  }
  const startedMs = performance.now();
  const state = env.state();
  const flow = flowOf(env, socket, dialled);
  if (state === undefined) {
    refuse(env, socket, { ...flow, ...NO_CONFIGURATION }, startedMs);
    return;
  }
  const route = routeOf(state, dialled);
  const way = wayOf(route, dialled, Math.random());
  if (way === undefined || way.kind === "unknown") {
    refuse(env, socket, { ...flow, ...refusalOf(route, way?.why) }, startedMs);
    return;
  }
  openTunnel(env, {
    leave: way,
    socket,
    unread: NOTHING,
    flow: noted(flow, route, way),
    startedMs,
    next: (attempt) =>
      attempt === 0 ? nextHop(state.snapshot, way, dialled, traceHeaders(flow.traceId)) : undefined,
    recheck: () => changed(env.state(), way, dialled),
  });
}

/** To a port of ztunnel's own in the pod itself: it would come here again and again. */
function leadsBack(env: PodEnvironment, { ip, port }: OriginalDestination): boolean {
  return isOwnPort(port) && (ip.startsWith("127.") || WITHIN.has(ip) || isOwnAddress(env, ip));
}

/** What else leads to the pod itself. */
const WITHIN: ReadonlySet<string> = new Set(["::1", "0.0.0.0", "::"]);

function routeOf({ snapshot, workload }: PodState, dialled: OriginalDestination): AmbientRoute {
  return ambientRoute(snapshot.mesh, workload, dialled, { directory: snapshot.directory });
}

function noted(flow: MutableFlow, { service, notes, ends }: AmbientRoute, way: AmbientWay): MutableFlow {
  const { ip, port } = flow.destination ?? {};
  const workload = way.kind === "pod" ? way.workload.key : undefined;
  return {
    ...flow,
    destination: { workload, service: service?.hostname, ip, port },
    layer: "client-route",
    reason: ends === null ? "passthrough" : "routed",
    policy: null,
    rule: null,
    ...(notes.length === 0 ? {} : { explanation: notes }),
  };
}

function refusalOf({ service }: AmbientRoute, unknown: string | undefined): Refusal {
  const base = { layer: "client-route", policy: null, rule: null } as const;
  if (unknown !== undefined) return { ...base, reason: "waypoint-unknown", explanation: [unknown] };
  const what = service?.hostname ?? "the destination";
  return { ...base, reason: "no-healthy-upstream", explanation: [`nothing serves ${what} at this port`] };
}

const NO_CONFIGURATION: Refusal = {
  layer: "client-route",
  reason: "no-configuration",
  policy: null,
  rule: null,
  explanation: ["the mesh that is in force has no such pod in ambient mode"],
};

/**
 * What was sent past a waypoint that now stands there, or by one that does so no more, ends: what it enforces was not asked. Pods that come and go, and
 * services that do, change nothing for who is connected.
 */
function changed(
  state: PodState | undefined,
  way: AmbientWay,
  dialled: OriginalDestination,
): Refusal | undefined {
  if (state === undefined) return { ...NO_CONFIGURATION };
  const ends = routeOf(state, dialled).ends ?? [];
  const unknown = ends.find((end) => end.kind === "unknown");
  if (unknown !== undefined) return routeGone("waypoint-unknown", unknown.why);
  const waypoints = ends.filter((end) => end.kind === "waypoint");
  const isSame = way.kind === "waypoint" && waypoints.some((end) => wayName(end) === wayName(way));
  if (isSame || (waypoints.length === 0 && way.kind !== "waypoint")) return undefined;
  return routeGone("route-changed", "it would go another way now, by a waypoint or past one");
}

function refuse(env: PodEnvironment, socket: Socket, flow: MutableFlow, startedMs: number): void {
  env.http.counters.denied += 1;
  flow.verdict = "deny";
  flow.durationMs = performance.now() - startedMs;
  env.http.flows.push(flow);
  socket.destroy();
}

function flowOf(env: PodEnvironment, socket: Socket, { ip, port }: OriginalDestination): MutableFlow {
  const { pod, reporter } = env;
  const source = {
    workload: pod.workload,
    principal: pod.spiffeId.slice("spiffe://".length),
    ip: unmapped(socket.remoteAddress),
    port: socket.remotePort,
  };
  const flow = outboundFlow("connection", source, { ip, port }, reporter, env.connectionId("out"));
  flow.traceId = randomBytes(16).toString("hex");
  return flow;
}

/** By it the far end's record is found: of the streams of one connection nothing else tells one from another (W3C Trace Context). */
function traceHeaders(traceId: string | undefined): Readonly<Record<string, string>> {
  return traceId === undefined ? {} : { traceparent: `00-${traceId}-${randomBytes(8).toString("hex")}-01` };
}
