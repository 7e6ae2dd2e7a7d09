/** What a gateway or a waypoint does with a request: the hop itself is asked, as `can` asks it. */
import type { Mesh } from "../../../model/mesh.ts";
import type { Semantics } from "../../../policy/inbound.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import { compiledPolicies } from "../../../policy/path/compiled-policies.ts";
import type { HopResult, JourneyContext } from "../../../policy/path/journey.ts";
import { AnalysisLimit } from "../../space/analysis-limit.ts";
import { type Way, waysOf } from "../client/ways.ts";

export interface Passage {
  /** 0: refused; 1: an external authorizer decides; 2: let through. */
  readonly rank: 0 | 1 | 2;
  /** Where it is sent on. */
  readonly ways: readonly Way[];
  /** Why it is refused, as `can` names it. */
  readonly cause: string;
}

export const REFUSED: Passage = { rank: 0, ways: [], cause: "no-listener" };

/** For asking hops about one mesh. Tokens count as valid. */
export function journeyContext(mesh: Mesh, semantics: Semantics): JourneyContext {
  return { mesh, semantics, compiled: compiledPolicies(mesh, semantics), nowSeconds: () => 0 };
}

/**
 * @param itself what is dialled, where it is a service: its own pods are told by no name.
 * @throws {AnalysisLimit} where the hop cannot say.
 */
export async function passageOf(
  ask: (authorizer: "allow" | "deny") => Promise<HopResult>,
  isAsked: boolean,
  itself: { readonly host: string; readonly port: number },
): Promise<Passage> {
  const { step, onward } = await ask("allow");
  if (!step.allowed) {
    // Whether a certificate from outside is of the right CA is told apart by what the server says of it.
    if (step.reason === "unknown" && step.cause !== "client-certificate-unknown")
      throw new AnalysisLimit(`what it does hangs on what is not known (${step.cause})`);
    return { rank: 0, ways: [], cause: step.cause };
  }
  const ways =
    onward !== undefined && "decision" in onward ? waysOf(onward.decision, itself.host, itself.port) : [];
  const isDenied = isAsked && !(await ask("deny")).step.allowed;
  return { rank: isDenied ? 1 : 2, ways, cause: step.cause };
}

/** As a request with the authorizer's answer. */
export function answeredBy(request: AccessRequest, extAuthz: "allow" | "deny"): AccessRequest {
  return { ...request, extAuthz };
}
