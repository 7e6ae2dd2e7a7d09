import { nowRfc3339Nanos } from "../../model/flow-record.ts";
import { causeText } from "../../policy/explain.ts";
import { handshakeCause, handshakeText } from "../connection-failure.ts";
import { type HboneRefusal, HboneServer, type HboneTunnel } from "../hbone/hbone-server.ts";
import type { MeshTlsServer } from "../mesh-tls-server.ts";
import { openTunnelFor } from "../open-tunnel.ts";
import type { Refusal } from "../recheck.ts";
import { isOwnAddress, isOwnPort } from "./captured-connection.ts";
import { admit, type InboundArrival, refuseArrival } from "./inbound-arrival.ts";
import type { PodEnvironment } from "./pod-environment.ts";

const NOTHING = Buffer.alloc(0);
/** RFC 9110 knows no better word for it, and ztunnel says so. */
const DENIED = 401;

/**
 * The pod's port for tunnels. Each is judged by the identity of its own client's certificate, leads to this very pod, and is answered when the application is there.
 * @see src/proxy/inbound.rs of istio/ztunnel
 */
export function inboundTunnels(env: PodEnvironment, tls: MeshTlsServer): HboneServer {
  return new HboneServer({
    env,
    tls,
    onTunnel: (tunnel) => takeTunnel(env, tunnel),
    onRefused: (refusal) => recordRefused(env, refusal),
  });
}

function takeTunnel(env: PodEnvironment, tunnel: HboneTunnel): void {
  const { peer, source, ip, port, headers } = tunnel;
  const arrival: InboundArrival = {
    source: { ...source, principal: peer.principal },
    ip,
    port,
    tls: peer.tls,
    traceId: traceIdOf(headers.traceparent),
    connectionId: env.connectionId("in"),
    startedMs: performance.now(),
  };
  // INVARIANT: a tunnel ends in the pod whose certificate its client has seen, at an address of its own: never on loopback, never at another pod.
  if (ip !== tunnel.local.ip || !isOwnAddress(env, ip)) {
    refuseArrival(env, arrival, wrongDestination(tunnel));
    tunnel.refuse(400, "this pod has no such address");
    return;
  }
  if (isOwnPort(port)) {
    refuseArrival(env, arrival, OWN_PORT);
    tunnel.refuse(503, "the port is the proxy's own");
    return;
  }
  const admitted = admit(env, arrival);
  if (admitted === undefined) {
    tunnel.refuse(DENIED, "denied by policy");
    return;
  }
  const { target, ...request } = admitted;
  const next = (attempt: number) => (attempt === 0 ? target : undefined);
  const { startedMs } = arrival;
  openTunnelFor(env, { ...request, unread: NOTHING, startedMs, next }, waitingTunnel(tunnel));
}

function waitingTunnel(tunnel: HboneTunnel) {
  const { gone: signal } = tunnel;
  return {
    onGone(gone: () => void) {
      if (signal.aborted) queueMicrotask(gone);
      else signal.addEventListener("abort", gone, { once: true });
      return () => signal.removeEventListener("abort", gone);
    },
    take: () => tunnel.accept(),
    refuse: () => tunnel.refuse(503, "the application cannot be reached"),
  };
}

function wrongDestination({ authority, local }: HboneTunnel): Refusal {
  return {
    layer: "protocol",
    reason: "wrong-destination",
    policy: null,
    rule: null,
    explanation: [`the tunnel is to lead to ${authority}, and came to ${local.ip}`],
  };
}

const OWN_PORT: Refusal = {
  layer: "transport",
  reason: "no-listener",
  policy: null,
  rule: null,
  explanation: ["refused: the port is ztunnel's own"],
};

/** What never became a tunnel: a handshake that failed, or what is no CONNECT. */
function recordRefused(env: PodEnvironment, refusal: HboneRefusal): void {
  const { reason, explanation, status, source, local, peer, failure, durationMs } = refusal;
  const cause = failure === undefined ? undefined : handshakeCause(failure.code);
  const certificate = peer?.certificate ?? failure?.certificate;
  const shown = certificate === undefined ? undefined : { peerSerial: certificate.serial.toUpperCase() };
  env.http.counters.denied += 1;
  env.http.flows.push({
    time: nowRfc3339Nanos(),
    kind: failure === undefined ? "connection" : "handshake",
    source: {
      workload: env.state()?.snapshot.directory.byAddress.get(source.ip)?.key,
      principal: peer?.principal ?? certificate?.spiffeId?.slice("spiffe://".length) ?? null,
      ...source,
    },
    destination: { workload: env.pod.workload, ...local },
    reporter: env.reporter,
    direction: "inbound",
    protocol: failure === undefined ? "http2" : "tls",
    status,
    verdict: failure?.code === "closed" ? "error" : "deny",
    layer: failure === undefined ? "protocol" : cause === undefined ? "tls" : "transport",
    reason: cause ?? reason,
    policy: null,
    rule: null,
    tls: peer?.tls ?? shown,
    explanation: [
      ...(cause === undefined ? [] : [causeText(cause)]),
      ...(failure === undefined ? explanation : [handshakeText(failure)]),
    ],
    durationMs,
    connectionId: env.connectionId("in"),
  });
}

/** What a client says its connection is called, where it says it in the proper form (W3C Trace Context). */
function traceIdOf(header: string | string[] | undefined): string | undefined {
  return typeof header === "string" ? /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(header)?.[1] : undefined;
}
