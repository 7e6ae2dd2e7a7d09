/** What a server in the other mode, behind ztunnel rather than a sidecar or the other way round, would do with the same policies. */
import type { Mesh } from "../../model/mesh.ts";
import { explainMode } from "../ambient/explain-mode.ts";
import type { AccessRequest } from "./access-request.ts";
import { meshDirectory } from "./compiled-policies.ts";
import type { ModeDifference } from "./decision.ts";
import { decideWays, type Way } from "./follow.ts";
import type { JourneyContext, Step } from "./journey.ts";

/** Not refusals of a policy's: there is nothing to compare. */
const NOT_DECIDED: ReadonlySet<string> = new Set([
  "waypoint-not-decided",
  "ambient-to-sidecar",
  "address-unknown",
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
  way: Way,
): Promise<ModeDifference | undefined> {
  const own = way.steps.at(-1);
  const workload = meshDirectory(context.mesh).workloads.get(own?.hop ?? "");
  if (own?.side !== "server" || workload === undefined || workload.dataplane === "none") return undefined;
  const { ways } = await decideWays({ ...context, otherMode: true }, request, false);
  const other = ways[0]?.steps.at(-1);
  if (other === undefined || other.hop !== own.hop || wordOf(other) === wordOf(own)) return undefined;
  if (NOT_DECIDED.has(own.cause) || NOT_DECIDED.has(other.cause)) return undefined;
  const isAmbient = workload.dataplane === "ambient";
  const verdicts = isAmbient ? { ambient: own, sidecar: other } : { ambient: other, sidecar: own };
  const { allowed, code, reason, cause, policy, rule } = other;
  const why = explainMode(context.mesh, workload, context.compiled.ambient(workload), verdicts);
  return {
    mode: isAmbient ? "sidecar" : "ambient",
    allowed,
    code,
    reason,
    cause,
    policy,
    rule,
    why: why.length > 0 ? why : other.explain(),
  };
}

function wordOf({ allowed, reason }: Step): string {
  return allowed ? "allowed" : reason === "unknown" ? "unknown" : "denied";
}
