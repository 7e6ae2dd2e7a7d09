/** Workloads in ambient mode, on either side: their nodes' ztunnels speak for them. */
import type { Labels, Mesh, Workload } from "../../model/mesh.ts";
import { type AmbientPolicy, decideAmbient } from "../ambient/ambient-policy.ts";
import { explainAmbient } from "../ambient/explain-ambient.ts";
import type { Connection } from "../connection.ts";
import {
  type Arrival,
  type Flight,
  type HopResult,
  type JourneyContext,
  type Sender,
  type Step,
  speaksHttp,
  unknownStep,
} from "./journey.ts";
import { connectionOf } from "./server-hop.ts";

/** @param direct dialled by its own address, past any waypoint. */
export function ambientServerHop(
  { mesh, compiled }: JourneyContext,
  flight: Flight,
  arrival: Arrival,
  direct: boolean,
): HopResult {
  const { workload } = arrival;
  const waypoint = direct ? undefined : waypointOf(mesh, workload);
  if (waypoint !== undefined)
    return {
      step: unknownStep(
        workload.key,
        "server",
        "waypoint-not-decided",
        speaksHttp(flight),
        `unknown: ${waypoint} stands before it, and waypoints are not decided yet`,
      ),
    };
  const policy = compiled.ambient(workload);
  // ztunnel ends only the mesh's own TLS: the application's, which has no principal here, is bytes to it.
  const connection = connectionOf(arrival, flight);
  const { allowed, code, reason, cause, layer, policy: by, rule } = decideAmbient(policy, connection);
  if (layer === "authorization" && isAddressAsked(connection, policy))
    return {
      step: unknownStep(
        workload.key,
        "server",
        "address-unknown",
        false,
        "unknown: rules ask for an address that is not known (give from.ip, or a mesh with status.podIP)",
      ),
    };
  const step: Step = {
    hop: workload.key,
    side: "server",
    allowed,
    // ztunnel has no HTTP answer of its own: the application's is what an allowed caller sees.
    code: allowed && speaksHttp(flight) ? 200 : code,
    reason,
    cause,
    layer,
    policy: by,
    rule,
    answersHttp: false,
    explain: () => explainAmbient(policy, connection),
  };
  return { step };
}

const ADDRESS_FIELDS: ReadonlySet<string> = new Set(["ipBlocks", "source.ip"]);

/** Cautious: any rule that asks for an address which is not known leaves the answer open. */
function isAddressAsked(
  { sourceAddress, destinationAddress }: Connection,
  { deny, allow, asWritten }: AmbientPolicy,
): boolean {
  const asks = (field: string): boolean =>
    (sourceAddress === null && ADDRESS_FIELDS.has(field)) ||
    (destinationAddress === null && field === "destination.ip");
  return [...deny, ...allow, ...(asWritten?.deny ?? []), ...(asWritten?.allow ?? [])].some(({ rules }) =>
    rules.some(({ clauses }) => clauses.flat(2).some(({ field }) => asks(field))),
  );
}

const USE_WAYPOINT = "istio.io/use-waypoint";

/** The waypoint that a workload, a service of it or its namespace is bound to. */
function waypointOf(mesh: Mesh, workload: Workload): string | undefined {
  const services = mesh.services.filter(({ endpoints }) =>
    endpoints.some((own) => own.workload === workload),
  );
  const labels: readonly Labels[] = [
    workload.labels,
    ...services.map(({ resource }) => resource.labels),
    mesh.namespaces.get(workload.namespace)?.labels ?? {},
  ];
  const name = labels.map((own) => own[USE_WAYPOINT]).find((own) => own !== undefined);
  return name === undefined || name === "none" ? undefined : `waypoint ${name}`;
}

/** The client's ztunnel: it has no routes of VirtualServices, and no outbound policy. */
export function ambientClientStep({ name }: Sender, to: string | undefined, flight: Flight): Step {
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
        : `the client's ztunnel sends it to ${to}; VirtualServices do not count for it`,
    ],
  };
}
