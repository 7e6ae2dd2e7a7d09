import type { Socket } from "node:net";
import { unmapped } from "../capture/original-destination.ts";
import { openTunnel } from "../open-tunnel.ts";
import { isOwnAddress, isOwnPort, originalDestination, refuseUncaptured } from "./captured-connection.ts";
import { admit } from "./inbound-arrival.ts";
import type { PodEnvironment } from "./pod-environment.ts";

const NOTHING = Buffer.alloc(0);

/**
 * Takes what comes to a pod in clear. Its bytes are not looked at: TLS of the application's own is the application's.
 * @see src/proxy/inbound_passthrough.rs of istio/ztunnel
 */
export function acceptCapturedInbound(env: PodEnvironment, socket: Socket): void {
  const destination = originalDestination(env, socket);
  const sourceIp = unmapped(socket.remoteAddress);
  if (sourceIp === undefined) {
    socket.destroy();
    return;
  }
  if (destination === undefined || isOwnPort(destination.port) || !isOwnAddress(env, destination.ip)) {
    refuseUncaptured(env, socket, "inbound", destination);
    return;
  }
  const startedMs = performance.now();
  const admitted = admit(env, {
    source: { ip: sourceIp, port: socket.remotePort, principal: null },
    ...destination,
    connectionId: env.connectionId("in"),
    startedMs,
  });
  if (admitted === undefined) {
    socket.destroy();
    return;
  }
  const { target, ...request } = admitted;
  openTunnel(env, {
    ...request,
    socket,
    unread: NOTHING,
    startedMs,
    next: (attempt) => (attempt === 0 ? target : undefined),
  });
}
