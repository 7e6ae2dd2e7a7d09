/** What a server in the other mode, behind ztunnel rather than a sidecar or the other way round, would do with the same policies. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { explainMode } from "../ambient/explain-mode.ts";
import type { AccessRequest } from "./access-request.ts";
import { meshDirectory } from "./compiled-policies.ts";
import type { ModeDifference } from "./decision.ts";
import { decideWays, type Way } from "./follow.ts";
import type { JourneyContext, Step } from "./journey.ts";

/** Not refusals of a policy's: there is nothing to compare. */
const NOT_DECIDED: ReadonlySet<string> = new Set([
  "waypoint-unknown",
  "waypoint-as-server",
  "ambient-to-sidecar",
  "address-unknown",
  "metadata-unknown",
  "jwks-not-fetched",
]);

/** Whether a mesh has workloads in both modes: then what differs between them is of use to whoever asks. */
export function hasBothModes(mesh: Mesh): boolean {
  const { modes } = meshDirectory(mesh);
  return modes.has("sidecar") && modes.has("ambient");
}

/** @returns undefined where both let the request through, or both do not; or where no server's proxy decides. */
export async function otherModeOf(
  context: JourneyContext,
  request: AccessRequest,
  { steps }: Way,
): Promise<ModeDifference | undefined> {
  const own = steps.at(-1);
  if (own?.side !== "server" && own?.side !== "waypoint") return undefined;
  const { ways } = await decideWays({ ...context, otherMode: true }, request, false);
  const other = ways[0]?.steps.at(-1);
  const server = own.side === "server" ? own : other?.side === "server" ? other : undefined;
  const workload = meshDirectory(context.mesh).workloads.get(server?.hop ?? "");
  if (workload === undefined || other === undefined || isSame(own, other)) return undefined;
  if (NOT_DECIDED.has(own.cause) || NOT_DECIDED.has(other.cause)) return undefined;
  const isAmbient = workload.dataplane === "ambient";
  const { allowed, code, reason, cause, policy, rule } = other;
  const byWaypoint = steps.some(({ side }) => side === "waypoint");
  const why = byWaypoint ? [] : whyOtherwise(context, workload, own, other);
  return {
    mode: isAmbient ? "sidecar" : "ambient",
    allowed,
    code,
    reason,
    cause,
    policy,
    rule,
    why: [...(byWaypoint ? [WAYPOINT_ALONE] : []), ...(why.length > 0 ? why : other.explain())],
  };
}

const WAYPOINT_ALONE =
  "here a waypoint enforces the policies that name targets, and the server sees the waypoint as the client; there is none in the other mode, where such policies count for nobody";

function whyOtherwise(
  { mesh, compiled }: JourneyContext,
  workload: Workload,
  own: Step,
  other: Step,
): readonly string[] {
  const isAmbient = workload.dataplane === "ambient";
  const verdicts = isAmbient ? { ambient: own, sidecar: other } : { ambient: other, sidecar: own };
  return explainMode(mesh, workload, compiled.ambient(workload), verdicts);
}

/** Allowed, denied or unknown alike, for whatever reason. */
function isSame(own: Step, other: Step): boolean {
  return own.allowed === other.allowed && (own.reason === "unknown") === (other.reason === "unknown");
}
