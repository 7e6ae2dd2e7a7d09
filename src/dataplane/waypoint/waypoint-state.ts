/** A waypoint at present, and what one address and port stands for there. */
import type { Workload } from "../../model/mesh.ts";
import { addressesOf } from "../../model/placement.ts";
import type { InboundPolicy } from "../../policy/inbound.ts";
import type { Served, ServedAddresses } from "../../policy/waypoint/served-addresses.ts";
import { canonicalAddress, servedAddresses } from "../../policy/waypoint/served-addresses.ts";
import type { WaypointPolicy } from "../../policy/waypoint/waypoint-policy.ts";
import type { WaypointRoutes } from "../../policy/waypoint/waypoint-routes.ts";
import type { AuthorizerClient } from "../ext-authz/authorizer-client.ts";
import type { EndpointPicker } from "../pick-endpoint.ts";
import type { Snapshot } from "../proxy-environment.ts";

export interface WaypointState {
  readonly snapshot: Snapshot;
  readonly policy: WaypointPolicy;
  readonly served: ServedAddresses;
  readonly picker: EndpointPicker;
  readonly authorizers: AuthorizerClient;
}

/** What a tunnel is for: all that decides about it, of one snapshot. */
export interface WaypointPlace {
  readonly state: WaypointState;
  readonly served: Served;
  /** As the tunnel was asked for. */
  readonly ip: string;
  readonly port: number;
  readonly inbound: InboundPolicy;
  /** Absent for a workload's own address: it goes there, and nowhere else. */
  readonly routes?: WaypointRoutes;
}

/** Which addresses a snapshot gives a waypoint to serve. */
export function servedIn({ mesh, placement }: Snapshot, waypoint: Workload): ServedAddresses {
  const byWorkload = Map.groupBy(placement.pods, (pod) => pod.workload);
  return servedAddresses(mesh, waypoint, ({ key }) => (byWorkload.get(key) ?? []).flatMap(addressesOf));
}

/** Undefined where this waypoint serves no such address. */
export function placeAt(state: WaypointState, ip: string, port: number): WaypointPlace | undefined {
  const canonical = canonicalAddress(ip);
  const served = canonical === undefined ? undefined : state.served.get(canonical);
  if (served === undefined) return undefined;
  if (served.kind === "workload") return { state, served, ip, port, inbound: state.policy.direct };
  const { inbound, routes } = state.policy.service(served.service);
  return { state, served, ip, port, inbound, routes };
}

/** The same address and port in a later snapshot; undefined where it stands for somebody else by now, or for nobody. */
export function placeNow(before: WaypointPlace, state: WaypointState): WaypointPlace | undefined {
  const place = placeAt(state, before.ip, before.port);
  return place !== undefined && nameOf(place.served) === nameOf(before.served) ? place : undefined;
}

function nameOf(served: Served): string {
  if (served.kind === "workload") return `workload ${served.workload.key}`;
  const { hostname, namespace } = served.service;
  return `service ${namespace}/${hostname}`;
}
