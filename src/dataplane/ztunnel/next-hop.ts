/** From where a connection is to go to the address that is dialled for it. */
import { isIP, isIPv6 } from "node:net";
import type { Service } from "../../model/mesh.ts";
import { addressesOf, type Placement, socketPort } from "../../model/placement.ts";
import type { AmbientEnd, AmbientRoute, AmbientWay } from "../../policy/ambient/ambient-route.ts";
import { isWildcard } from "../../policy/outbound/host-name.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { OriginalDestination } from "../capture/original-destination.ts";
import { hboneAuthority } from "../hbone/hbone-authority.ts";
import { HBONE_PORT, type UpstreamTarget, type UpstreamTunnel, upstreamTarget } from "../upstream-target.ts";
import type { ZtunnelSnapshot } from "./ztunnel-snapshot.ts";

/** What a person calls a way, as `can` does. */
export function wayName(way: AmbientWay): string {
  if (way.kind === "outside") return "PassthroughCluster";
  if (way.kind === "pod") return `${way.workload.key}:${way.port}`;
  const { addressed } = way;
  const name = addressed.kind === "service" ? addressed.service.hostname : addressed.workload.key;
  return `waypoint ${way.waypoint.key} of ${name}:${addressed.port}`;
}

/**
 * The way of a connection, one of those that it may take; what is nobody's of the mesh goes where it was dialled. Undefined: there is none.
 * @param roll 0 ≤ roll < 1.
 */
export function wayOf(
  { ends, service }: AmbientRoute,
  dialled: OriginalDestination,
  roll: number,
): AmbientEnd | undefined {
  if (ends === null) return { kind: "outside", ...outsideOf(service, dialled) };
  return ends[Math.floor(roll * ends.length)];
}

/** A host outside that the mesh knows by name and gave an address of its own is found by its name. */
function outsideOf(
  service: Service | undefined,
  { ip, port }: OriginalDestination,
): { readonly address: string; readonly port: number } {
  if (!service?.resolution.startsWith("dns") || isWildcard(service.hostname)) return { address: ip, port };
  const target = service.ports.find((own) => own.port === port)?.targetPort;
  return { address: service.hostname, port: typeof target === "number" ? target : port };
}

/**
 * @param dialled of the family in which pods with both are dialled.
 * @throws {BulwarkError} BW_UPSTREAM_NONE: no pod runs; BW_RESOLVE_FAILED.
 */
export async function nextHop(
  { placement, resolver }: ZtunnelSnapshot,
  way: AmbientWay,
  dialled: OriginalDestination,
  headers: NonNullable<UpstreamTunnel["headers"]>,
): Promise<UpstreamTarget> {
  const cluster = wayName(way);
  const clear = { localAddress: undefined, tls: undefined, protocol: "tcp", cluster } as const;
  if (way.kind === "outside") {
    const [host = ""] = isIP(way.address) === 0 ? await resolver.resolve(way.address) : [way.address];
    return upstreamTarget({ ...clear, host, port: socketPort(placement, way.port) });
  }
  if (way.kind === "waypoint") {
    const { waypoint, addressed } = way;
    const authority = hboneAuthority(
      addressed.address === "" ? dialled.ip : addressed.address,
      addressed.port,
    );
    const tunnel = { host: placeOf(placement, waypoint.key, "", dialled), authority };
    return upstreamTarget({
      ...clear,
      host: dialled.ip,
      port: dialled.port,
      tunnel: { ...tunnel, port: HBONE_PORT, sans: [waypoint.spiffeId], headers },
    });
  }
  const { workload, port, hbone } = way;
  const host = placeOf(placement, workload.key, way.address, dialled);
  if (!hbone) return upstreamTarget({ ...clear, host, port: socketPort(placement, port) });
  const tunnel = {
    host,
    port: HBONE_PORT,
    authority: hboneAuthority(host, port),
    sans: [workload.spiffeId],
    headers,
  };
  return upstreamTarget({ ...clear, host, port, tunnel });
}

/** One of a workload's pods: the one at `address` where it has that, else any; by the family that the client speaks where it has both. */
function placeOf(
  { pods }: Placement,
  workload: string,
  address: string,
  { ip }: OriginalDestination,
): string {
  const own = pods.filter((pod) => pod.workload === workload).map((pod) => addressesOf(pod));
  if (own.length === 0 && address !== "") return address;
  if (own.some((addresses) => addresses.includes(address))) return address;
  const addresses = own[Math.floor(Math.random() * own.length)];
  const found = addresses?.find((candidate) => isIPv6(candidate) === isIPv6(ip)) ?? addresses?.[0];
  if (found === undefined) throw new BulwarkError("BW_UPSTREAM_NONE", `no pod of ${workload} runs`);
  return found;
}
