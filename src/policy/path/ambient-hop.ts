/** Servers in ambient mode: their nodes' ztunnels judge for them. */
import { type AmbientPolicy, decideAmbient } from "../ambient/ambient-policy.ts";
import { explainAmbient } from "../ambient/explain-ambient.ts";
import type { Connection } from "../connection.ts";
import {
  type Arrival,
  type Flight,
  type HopResult,
  type JourneyContext,
  type Step,
  speaksHttp,
  unknownStep,
} from "./journey.ts";
import { connectionOf } from "./server-hop.ts";

/** The pod's own ztunnel. Of what came by a waypoint it sees the waypoint as the client. */
export function ambientServerHop({ compiled }: JourneyContext, flight: Flight, arrival: Arrival): HopResult {
  const { workload } = arrival;
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
