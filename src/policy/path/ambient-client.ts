/** Clients in ambient mode: their nodes' ztunnels send for them, to waypoints, pods, and whatever is no pod of the mesh. */
import type { Workload } from "../../model/mesh.ts";
import { type AmbientEnd, ambientRoute } from "../ambient/ambient-route.ts";
import type { DialedDestination } from "../outbound/types.ts";
import { meshDirectory } from "./compiled-policies.ts";
import { hboneArrival } from "./hbone-arrival.ts";
import {
  type End,
  type Flight,
  type HopResult,
  type JourneyContext,
  type Sender,
  type Step,
  speaksHttp,
} from "./journey.ts";
import { clearArrival } from "./onward-ends.ts";
import { endOfWay } from "./waypoint-end.ts";

/** What the client's ztunnel does, as a hop. */
export function ambientClientHop(
  { mesh, otherMode = false }: JourneyContext,
  flight: Flight,
  client: Workload,
  sender: Sender,
  dialled: DialedDestination,
): HopResult {
  const directory = meshDirectory(mesh);
  const { service, ends: taken, notes } = ambientRoute(mesh, client, dialled, { directory, otherMode });
  if (taken === null) return { step: clientStep(sender, undefined, flight, notes) };
  const ends = taken.map((end) => endOf(end, sender, flight));
  const to = waypointAmong(ends) ?? service?.hostname ?? dialled.ip;
  const step = clientStep(sender, to, flight, notes);
  return { step, onward: { flight, ends } };
}

/** The only way, where it is by a waypoint. */
function waypointAmong([only, ...others]: readonly End[]): string | undefined {
  const isWaypoint =
    only?.kind === "refused" || (only?.kind === "workload" && only.arrival.addressed !== undefined);
  return isWaypoint && others.length === 0 ? only.way : undefined;
}

function endOf(end: AmbientEnd, sender: Sender, flight: Flight): End {
  switch (end.kind) {
    case "outside":
      return { kind: "outside", way: end.address, place: { ip: end.address, port: end.port } };
    case "pod": {
      const { workload, port, hbone } = end;
      const arrival = hbone
        ? hboneArrival(workload, end, sender)
        : clearArrival(workload, end, { flight, sender });
      return { kind: "workload", arrival, flight, way: `${workload.key}:${port}` };
    }
    default:
      return endOfWay(end, sender, flight);
  }
}

/** ztunnel has no routes of VirtualServices, and no outbound policy. */
function clientStep(
  { name }: Sender,
  to: string | undefined,
  flight: Flight,
  notes: readonly string[],
): Step {
  return {
    hop: name,
    side: "client",
    allowed: true,
    code: speaksHttp(flight) ? 200 : 0,
    reason: to === undefined ? "passthrough" : "ok",
    cause: to === undefined ? "passthrough" : "routed",
    layer: "client-route",
    policy: null,
    rule: null,
    answersHttp: false,
    ...(to === undefined ? {} : { to }),
    explain: () => [
      to === undefined
        ? "the client's ztunnel passes on, as it is, what is of no workload of the mesh"
        : to.startsWith("waypoint ")
          ? `the client's ztunnel sends it to ${to}, through HBONE`
          : `the client's ztunnel sends it to ${to}; VirtualServices do not count for it`,
      ...notes,
    ],
  };
}
