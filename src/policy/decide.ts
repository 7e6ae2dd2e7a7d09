/**
 * The one question: may this request go where it wants to, and who says so? Over the whole path: the client's proxy, each
 * gateway on the way, the server's proxy; the first refusal decides. Pure: the same policies as the data plane's, no I/O.
 */
import type { Mesh } from "../model/mesh.ts";
import type { Semantics } from "./inbound.ts";
import type { FetchJwks } from "./jwt/jwt-policy.ts";
import type { AccessRequest } from "./path/access-request.ts";
import { compiledPolicies } from "./path/compiled-policies.ts";
import type {
  Decision,
  HopVerdict,
  ModeDifference,
  OtherOutcome,
  SemanticsDifference,
} from "./path/decision.ts";
import { type DecidedWays, decideWays, outcomeOf, verdictOf, type Way } from "./path/follow.ts";
import type { JourneyContext, Step } from "./path/journey.ts";
import { hasBothModes, otherModeOf } from "./path/other-mode.ts";
import { type Pair, type SurveyQuestion, survey } from "./path/survey.ts";

export interface DecideOptions {
  /** `istio` by default: what Istio does with these files. `strict`: what Bulwark's own proxies do. */
  readonly semantics?: Semantics;
  /** Also ask what the server would do in the other mode, sidecar or ambient. Default: where the mesh has workloads in both. */
  readonly compareModes?: boolean;
  /** Decide the client's side alone. */
  readonly clientOnly?: boolean;
  /** Fetches JWKS documents that are not inline; without it what depends on them is unknown. */
  readonly fetchJwks?: FetchJwks;
  /** Seconds since the epoch, against which tokens are checked. Default: the clock. */
  readonly nowSeconds?: () => number;
}

/**
 * Decides one request. What a person asked for must have been checked before (checkRequest): a workload that the mesh
 * does not have is an error here.
 * @throws {BulwarkError} BW_REQUEST_INVALID
 */
export async function decide(
  mesh: Mesh,
  request: AccessRequest,
  options: DecideOptions = {},
): Promise<Decision> {
  const { semantics = "istio", compareModes = hasBothModes(mesh) } = options;
  const context = contextOf(mesh, semantics, options);
  const decided = await decideWays(context, request, options.clientOnly === true);
  const other: Semantics = semantics === "istio" ? "strict" : "istio";
  const counterpart = await decideWays(contextOf(mesh, other, options), request, options.clientOnly === true);
  const differs = differenceOf(other, outcomeOf(firstOf(decided.ways)), outcomeOf(firstOf(counterpart.ways)));
  const otherMode = compareModes ? await otherModeOf(context, request, firstOf(decided.ways)) : undefined;
  return toDecision(request.id ?? "", semantics, decided, { differs, otherMode });
}

/**
 * Decides about every pair of a workload and those that may reach it, or that it may reach.
 * @param question names workloads that the mesh has (checkSurvey).
 */
export function decideAll(
  mesh: Mesh,
  question: SurveyQuestion,
  options: Omit<DecideOptions, "clientOnly"> = {},
): Promise<Pair[]> {
  return survey(contextOf(mesh, options.semantics ?? "istio", options), question);
}

function contextOf(mesh: Mesh, semantics: Semantics, options: DecideOptions): JourneyContext {
  const { fetchJwks, nowSeconds = () => Date.now() / 1000 } = options;
  return {
    mesh,
    semantics,
    compiled: compiledPolicies(mesh, semantics),
    nowSeconds,
    ...(fetchJwks === undefined ? {} : { fetchJwks }),
  };
}

function firstOf(ways: readonly Way[]): Way {
  const [first] = ways;
  if (first === undefined) throw new Error("BUG: a request without any outcome");
  return first;
}

function isSame(a: HopVerdict, b: HopVerdict): boolean {
  return a.allowed === b.allowed && a.code === b.code && a.reason === b.reason;
}

function differenceOf(
  semantics: Semantics,
  own: HopVerdict,
  other: HopVerdict,
): SemanticsDifference | undefined {
  // A gateway that trusts the name outside may let the same request through, to somewhere else.
  const elsewhere = own.allowed && other.allowed && own.to !== other.to;
  if (isSame(own, other) && !elsewhere) return undefined;
  const { allowed, code, reason, cause, policy, rule, hop, to } = other;
  return {
    semantics,
    allowed,
    code,
    reason,
    cause,
    policy,
    rule,
    hop,
    ...(elsewhere && to !== undefined ? { to } : {}),
  };
}

interface Differences {
  readonly differs: SemanticsDifference | undefined;
  readonly otherMode: ModeDifference | undefined;
}

function toDecision(
  id: string,
  semantics: Semantics,
  { ways, fields }: DecidedWays,
  { differs, otherMode }: Differences,
): Decision {
  const way = firstOf(ways);
  const { allowed, code, reason, cause, policy, rule, hop, layer } = outcomeOf(way);
  const others = otherOutcomes(ways);
  return {
    id,
    allowed,
    code,
    reason,
    cause,
    policy,
    rule,
    hop,
    layer,
    semantics,
    ...fields,
    hops: way.steps.map(verdictOf),
    ...(others.length === 0 ? {} : { others }),
    ...(differs === undefined ? {} : { differs }),
    ...(otherMode === undefined ? {} : { otherMode }),
    explanation: [
      ...way.steps.flatMap(explainStep(way.steps.length > 1)),
      ...mixedLines(ways, others),
      ...differenceLines(differs),
      ...modeLines(otherMode),
    ],
  };
}

/** Outcomes that differ from the first way's, each once. */
function otherOutcomes(ways: readonly Way[]): readonly OtherOutcome[] {
  const own = outcomeOf(firstOf(ways));
  const others = new Map<string, OtherOutcome>();
  for (const way of ways) {
    const outcome = outcomeOf(way);
    if (isSame(own, outcome)) continue;
    others.set(JSON.stringify([outcome.hop, outcome.reason, outcome.cause, way.by]), {
      ...outcome,
      way: way.by,
    });
  }
  return [...others.values()];
}

function explainStep(named: boolean): (step: Step) => readonly string[] {
  return (step) => step.explain().map((line) => (named ? `${step.hop}: ${line}` : line));
}

const SHOWN_OTHERS = 5;

function mixedLines(ways: readonly Way[], others: readonly OtherOutcome[]): readonly string[] {
  if (others.length === 0) return [];
  const more = others.length > SHOWN_OTHERS ? [`and ${others.length - SHOWN_OTHERS} more`] : [];
  return [
    `mixed: this is what comes of ${firstOf(ways).by.join(", ")}; elsewhere it is not the same`,
    ...others
      .slice(0, SHOWN_OTHERS)
      .map(
        ({ way, allowed, code, reason, hop }) =>
          `by ${way.join(", ")}: ${wordOf(allowed, reason)} (${code} ${reason}) by ${hop}`,
      ),
    ...more,
  ];
}

function wordOf(allowed: boolean, reason: string): string {
  return allowed ? "allowed" : reason === "unknown" ? "unknown" : "denied";
}

function differenceLines(differs: SemanticsDifference | undefined): readonly string[] {
  if (differs === undefined) return [];
  const { semantics, allowed, reason, code, cause, hop, policy, to } = differs;
  const who = semantics === "strict" ? "Bulwark's own proxies (strict semantics)" : "Istio's proxies";
  const by = policy === null ? hop : `${hop}, ${policy}`;
  if (to !== undefined) return [`${who} send it elsewhere: ${hop} to ${to}`];
  return [`${who} decide otherwise: ${wordOf(allowed, reason)} (${code} ${reason}, ${cause}) by ${by}`];
}

function modeLines(otherMode: ModeDifference | undefined): readonly string[] {
  if (otherMode === undefined) return [];
  const { mode, allowed, reason, cause, policy, rule, why } = otherMode;
  const who = mode === "ambient" ? "in ambient mode ztunnel" : "behind a sidecar the server";
  const by = policy === null ? "" : `, ${policy}${rule === null ? "" : ` rule ${rule}`}`;
  return [
    `${who} decides otherwise: ${wordOf(allowed, reason)} (${cause}${by})`,
    ...why.map((line) => `because ${line}`),
  ];
}
