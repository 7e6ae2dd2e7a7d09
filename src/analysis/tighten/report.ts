/** All that is told of a proposal. */
import type { Mesh } from "../../model/mesh.ts";
import type { Contradiction, Evidence, Unvouched } from "./evidence.ts";
import type { LeftOut } from "./flow-reading.ts";
import { holesOf, type LogFacts } from "./holes.ts";
import type { ResourceChange } from "./manifest.ts";
import type { AuthorizationProposal, TightenedServer } from "./propose.ts";
import type { LostAccess } from "./prove-narrower.ts";
import type { ReplayResult } from "./replay.ts";
import type { ServerLoss } from "./server-proof.ts";
import type { WholeProposal } from "./whole-proposal.ts";

/** Who may need what is lost, worst first. */
export type Risk =
  /** Some workloads that could are in no record at all: nothing is known of what they need. */
  | "unobserved"
  /** Callers of this server, who were seen to ask for other things. */
  | "callers"
  /** Workloads that were active, and never asked. */
  | "never-asked"
  /** Nobody whom the files know. */
  | "nobody";

const RISKS: readonly Risk[] = ["unobserved", "callers", "never-asked", "nobody"];

export interface RankedLoss extends ServerLoss {
  readonly risk: Risk;
}

export interface TightenReport {
  readonly evidence: {
    readonly records: number;
    readonly granted: number;
    readonly leftOut: Readonly<Partial<Record<LeftOut, number>>>;
    readonly malformed: number;
    /** RFC 3339; absent without any evidence. */
    readonly first?: string;
    readonly last?: string;
  };
  readonly holes: readonly string[];
  readonly servers: readonly TightenedServer[];
  readonly untouched: AuthorizationProposal["untouched"];
  readonly unvouched: readonly Unvouched[];
  readonly contradictions: readonly Contradiction[];
  readonly losses: readonly RankedLoss[];
  readonly replay: ReplayResult;
  /** What all changes together would let through that is closed today. */
  readonly wider: readonly string[];
  /** What of them together could not be compared with today. */
  readonly notCompared: readonly string[];
  readonly changes: readonly ResourceChange[];
}

export function reportOf(
  mesh: Mesh,
  evidence: Evidence,
  facts: LogFacts,
  proposal: AuthorizationProposal & Partial<Pick<WholeProposal, "wider" | "notCompared">>,
  replay: ReplayResult,
): TightenReport {
  const { firstMs, lastMs } = evidence.span;
  const byRequests = (a: { readonly requests: number }, b: { readonly requests: number }): number =>
    b.requests - a.requests;
  return {
    evidence: {
      records: evidence.records,
      granted: evidence.granted,
      leftOut: Object.fromEntries(evidence.leftOut),
      malformed: facts.malformed,
      ...(firstMs === undefined ? {} : { first: new Date(firstMs).toISOString() }),
      ...(lastMs === undefined ? {} : { last: new Date(lastMs).toISOString() }),
    },
    holes: holesOf(mesh, evidence, facts),
    servers: proposal.servers,
    untouched: proposal.untouched,
    unvouched: [...evidence.unvouched.values()].toSorted(byRequests),
    contradictions: [...evidence.contradictions.values()].toSorted(byRequests),
    losses: rankedLosses(mesh, evidence, proposal),
    replay,
    wider: proposal.wider ?? [],
    notCompared: proposal.notCompared ?? [],
    changes: proposal.changes,
  };
}

function rankedLosses(
  mesh: Mesh,
  evidence: Evidence,
  { servers }: AuthorizationProposal,
): readonly RankedLoss[] {
  const silent = new Set(
    mesh.workloads.flatMap(({ key, spiffeId }) =>
      evidence.active.has(key) ? [] : [spiffeId.slice("spiffe://".length)],
    ),
  );
  const losses = servers.flatMap(({ grants, lost }) => {
    const callers = new Set(grants.flatMap(({ principals }) => principals));
    return lost.map((loss): RankedLoss => ({ ...loss, risk: riskOf(loss, { callers, silent }) }));
  });
  return losses.toSorted((a, b) => RISKS.indexOf(a.risk) - RISKS.indexOf(b.risk));
}

interface RiskFacts {
  readonly callers: ReadonlySet<string>;
  readonly silent: ReadonlySet<string>;
}

function riskOf({ callers: concerned }: LostAccess, { callers, silent }: RiskFacts): Risk {
  if (concerned.some((principal) => silent.has(principal))) return "unobserved";
  if (concerned.some((principal) => callers.has(principal))) return "callers";
  return concerned.length > 0 ? "never-asked" : "nobody";
}
