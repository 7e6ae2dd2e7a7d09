/** PeerAuthentication's fields, flat, and which of them really holds where. */
import type { PeerAuthenticationSpec } from "../../../model/mesh.ts";
import { type Resource, resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type ServerClass, serverClasses } from "./server-classes.ts";

export type PeerAuthentication = Resource<PeerAuthenticationSpec>;

export function selectorOf({ spec }: PeerAuthentication): Readonly<Record<string, string>> {
  return spec.selector?.matchLabels ?? {};
}

export function isSelective(policy: PeerAuthentication): boolean {
  return Object.keys(selectorOf(policy)).length > 0;
}

/** Undefined for UNSET and nothing. */
export function modeOf({ spec }: PeerAuthentication): string | undefined {
  return known(spec.mtls?.mode);
}

/** Modes by port of the workload, UNSET left out. */
export function portModesOf({
  spec,
}: PeerAuthentication): readonly (readonly [port: number, mode: string])[] {
  return Object.entries(spec.portLevelMtls ?? {}).flatMap(([port, mtls]) => {
    const mode = known((mtls as { mode?: string } | undefined)?.mode);
    return mode === undefined ? [] : [[Number(port), mode] as const];
  });
}

function known(mode: string | undefined): string | undefined {
  return mode === undefined || mode === "UNSET" ? undefined : mode;
}

/** A port at which the policy named sets the mode. */
export interface PortOfServer {
  readonly server: ServerClass;
  readonly port: number;
}

/** By `PeerAuthentication ns/name`: where it decides. Ports that workloads declare, and those that policies name. */
export function portsByPeerAuthentication(audit: AuditContext): ReadonlyMap<string, readonly PortOfServer[]> {
  const found = new Map<string, PortOfServer[]>();
  for (const server of audit.fact(serverClasses)) {
    if (!server.isSidecar && !server.isAmbient) continue;
    const { inbound, workload } = server;
    const ports = new Set([
      ...inbound.ports.keys(),
      ...workload.ports.map(({ port }) => port),
      ...(inbound.transportPorts ?? []),
    ]);
    for (const port of ports) {
      const { policy } = inbound.transport(port);
      if (policy === null) continue;
      const known = found.get(policy);
      if (known === undefined) found.set(policy, [{ server, port }]);
      else known.push({ server, port });
    }
  }
  return found;
}

export function portsOf(audit: AuditContext, policy: PeerAuthentication): readonly PortOfServer[] {
  return audit.fact(portsByPeerAuthentication).get(resourceName(policy)) ?? [];
}
