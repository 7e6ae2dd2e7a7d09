/** One tunnel at a waypoint, as policies and records see it. */
import type { FlowDestination, FlowSource } from "../../model/flow-record.ts";
import { Connection } from "../../policy/connection.ts";
import { decideConnection, requiredAuthorizer } from "../../policy/inbound.ts";
import type { ChainProtocol } from "../../policy/port-protocol.ts";
import type { Verdict } from "../../policy/verdict.ts";
import type { Served } from "../../policy/waypoint/served-addresses.ts";
import { waypointProtocol } from "../../policy/waypoint/waypoint-chain.ts";
import { waypointHop } from "../../policy/waypoint/waypoint-policy.ts";
import type { HboneTunnel } from "../hbone/hbone-server.ts";
import type { InboundConnection } from "../inbound-connection.ts";
import type { InboundPeer } from "../inbound-service.ts";
import type { Snapshot } from "../proxy-environment.ts";
import type { WaypointPlace } from "./waypoint-state.ts";

/** What is known of it before anything of what is inside is read. */
export type TunnelFacts = Omit<InboundConnection, "socket">;

export function factsOf(
  { peer, source, ip, port }: HboneTunnel,
  served: Served | undefined,
  snapshot: Snapshot,
  id: string,
): TunnelFacts {
  const from: FlowSource = {
    workload: snapshot.workloadByAddress.get(source.ip),
    principal: peer.principal,
    ip: source.ip,
    port: source.port,
  };
  return {
    port,
    id,
    source: from,
    destination: destinationOf(served, ip, port),
    startedMs: performance.now(),
  };
}

function destinationOf(served: Served | undefined, ip: string, port: number): FlowDestination {
  if (served?.kind === "service") return { service: served.service.hostname, ip, port };
  return served?.kind === "workload" ? { workload: served.workload.key, ip, port } : { ip, port };
}

/**
 * INVARIANT: port and address are those that the tunnel was asked for, identity and source address those of the tunnel's client: as `can` has them.
 * @param sni of TLS inside, where it is looked for.
 */
export function connectionIn(
  { peer, source, ip, port }: HboneTunnel,
  { state }: WaypointPlace,
  inside: { readonly speaksHttp: boolean; readonly sni?: string | undefined },
): Connection {
  return new Connection({
    tls: "mtls",
    principal: peer.principal,
    sourceIp: source.ip,
    destinationIp: ip,
    destinationPort: port,
    sni: inside.sni,
    alpn: [],
    speaksHttp: inside.speaksHttp,
    hop: waypointHop(state.policy.workload, peer.principal),
  });
}

export function peerOf(
  facts: TunnelFacts,
  connection: Connection,
  { peer }: HboneTunnel,
  reporter: string,
): InboundPeer {
  const { id: connectionId, source, destination } = facts;
  const { tls } = peer;
  const clientCertElement = connection.hop.clientCert;
  return { connection, connectionId, source, destination, reporter, tls, http2: false, clientCertElement };
}

/** How the port is taken; null where there is none. */
export function protocolAt({ inbound, port }: WaypointPlace): ChainProtocol | null {
  return inbound.waypoint === null ? null : waypointProtocol(inbound.waypoint, port);
}

/** What is refused whatever is inside: then the tunnel is not so much as opened. */
export function refusedUnopened(place: WaypointPlace, connection: Connection): Verdict | undefined {
  const { inbound, port, state } = place;
  const verdict = decideConnection(inbound, connection);
  if (verdict.allowed) return undefined;
  if (verdict.layer === "transport") return verdict;
  const isSettled =
    !state.policy.readsServerName(port) && requiredAuthorizer(inbound, connection, undefined) === null;
  return isSettled ? verdict : undefined;
}
