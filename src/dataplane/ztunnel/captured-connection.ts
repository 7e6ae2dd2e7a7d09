import type { Socket } from "node:net";
import type { FlowDirection } from "../../model/flow-record.ts";
import { nowRfc3339Nanos } from "../../model/flow-record.ts";
import { addressesOf } from "../../model/placement.ts";
import { canonicalAddress } from "../../policy/waypoint/served-addresses.ts";
import {
  CAPTURED_DNS_PORT,
  CAPTURED_INBOUND_PORT,
  CAPTURED_OUTBOUND_PORT,
} from "../capture/captured-ports.ts";
import { type OriginalDestination, OriginalDestinations, unmapped } from "../capture/original-destination.ts";
import { HBONE_PORT } from "../upstream-target.ts";
import type { PodEnvironment } from "./pod-environment.ts";

/** Ztunnel's own, in every pod: nobody is meant to dial them, and what was sent on to them would come back for ever. */
const OWN_PORTS: ReadonlySet<number> = new Set([
  CAPTURED_OUTBOUND_PORT,
  CAPTURED_INBOUND_PORT,
  HBONE_PORT,
  CAPTURED_DNS_PORT,
]);

export function isOwnPort(port: number): boolean {
  return OWN_PORTS.has(port);
}

/** @param ip in any form. */
export function isOwnAddress({ pod }: PodEnvironment, ip: string): boolean {
  const canonical = canonicalAddress(ip);
  return addressesOf(pod).some((own) => canonicalAddress(own) === canonical);
}

let originals: OriginalDestinations | undefined;

/** @throws {BulwarkError} BW_NATIVE_CALLS_MISSING */
export function originalDestination(
  { pod, podSockets }: PodEnvironment,
  socket: Socket,
): OriginalDestination | undefined {
  if (podSockets.originalDestination !== undefined) return podSockets.originalDestination(pod, socket);
  originals ??= new OriginalDestinations();
  const found = originals.of(socket);
  return found === undefined ? undefined : { ...found, ip: unmapped(found.ip) ?? found.ip };
}

/** What came to a port of the capture's by itself: the kernel redirected nothing, or to where nothing may be sent on. */
export function refuseUncaptured(
  env: PodEnvironment,
  socket: Socket,
  direction: FlowDirection,
  destination: OriginalDestination | undefined,
): void {
  const { pod, reporter, http } = env;
  const remote = { ip: unmapped(socket.remoteAddress), port: socket.remotePort };
  const place = { ip: destination?.ip, port: destination?.port };
  http.counters.denied += 1;
  http.flows.push({
    time: nowRfc3339Nanos(),
    kind: "connection",
    source: { ...remote, principal: null, ...(direction === "outbound" ? { workload: pod.workload } : {}) },
    destination: { ...place, ...(direction === "inbound" ? { workload: pod.workload } : {}) },
    reporter,
    direction,
    protocol: "tcp",
    verdict: "deny",
    layer: "protocol",
    reason: "not-captured",
    policy: null,
    rule: null,
    explanation: ["dialled the ztunnel's own port, which nothing but the kernel's redirection leads to"],
    durationMs: 0,
  });
  socket.destroy();
}
