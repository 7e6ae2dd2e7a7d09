import type { FlowRecord } from "../model/flow-record.ts";
import type { AttackResult, AttackStep, Evidence } from "./attack.ts";
import { refusalOf, wordsOf } from "./flow-evidence.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import type { Local } from "./wire.ts";

/** What became of one attempt. */
export interface Attempt {
  /** The application, or the host outside, answered: the attacker got where it wanted. */
  readonly reached: boolean;
  /** Set when nothing was there to refuse: no listener, nothing sent. Such an attempt proves nothing. */
  readonly nothingThere?: string;
  readonly happened: string;
  readonly evidence: Evidence;
  readonly local: Local | undefined;
  readonly startedAtMs: number;
  /** Set when it was answered, and did no harm: what became of it. There is no refusal that could be logged. */
  readonly harmless?: string;
  /** Where the attacker's end does not name it in the flow log. */
  readonly findRecord?: () => Promise<FlowRecord | undefined>;
  /** Longest wait for its flow record, where the proxy itself waits before it refuses. */
  readonly logWithinMs?: number;
}

/** What the configuration says about the attempt. */
export interface Promised {
  readonly allowed: boolean;
  readonly words: string;
  /** For what is allowed: why that is too wide, and how to narrow it. */
  readonly finding?: string;
  readonly fix?: string;
}

export interface Tried {
  readonly attack: string;
  readonly step: Pick<AttackStep, "tried" | "from" | "target">;
  readonly promised: Promised;
  /** The legitimate variant on the same way. */
  readonly control: Attempt;
  readonly attempt: Attempt;
  readonly tries?: number;
}

/** Judges an attempt beside its positive control. Only a refusal on a way that works counts as stopped. */
export async function conclude(mesh: MeshUnderAttack, tried: Tried): Promise<AttackResult> {
  const { attempt, control, promised } = tried;
  const base = baseOf(tried);
  if (attempt.reached) {
    const records = { logged: null };
    if (!promised.allowed) return { ...base, ...records, outcome: "succeeded" };
    const { finding, fix } = promised;
    return {
      ...base,
      ...records,
      outcome: "allowed by configuration",
      ...(finding === undefined ? {} : { finding }),
      ...(fix === undefined ? {} : { fix }),
    };
  }
  if (!control.reached)
    return impossible(base, `the legitimate variant does not pass either: ${control.happened}`);
  if (attempt.nothingThere !== undefined) return impossible(base, attempt.nothingThere);
  return await stopped(mesh, base, attempt);
}

async function stopped(mesh: MeshUnderAttack, base: BaseResult, attempt: Attempt): Promise<AttackResult> {
  const { local, startedAtMs, harmless } = attempt;
  if (harmless !== undefined) return { ...base, outcome: "stopped", logged: null, stoppedBy: harmless };
  const record = await (attempt.findRecord?.() ??
    (local === undefined ? undefined : refusalOf(mesh, local, startedAtMs, attempt.logWithinMs)));
  return {
    ...base,
    outcome: "stopped",
    logged: record !== undefined,
    ...(record === undefined ? {} : { stoppedBy: wordsOf(record) }),
    evidence: { ...base.evidence, ...(record === undefined ? {} : { flowRecord: record.id }) },
  };
}

type BaseResult = Omit<AttackResult, "outcome" | "logged">;

function baseOf({ attack, step, promised, control, attempt, tries = 1 }: Tried): BaseResult {
  const { tried, from, target } = step;
  return {
    attack,
    tried,
    from,
    target,
    tries,
    promised: promised.words,
    control: `${control.reached ? "passes" : "fails"}: ${control.happened}`,
    happened: attempt.happened,
    evidence: attempt.evidence,
  };
}

function impossible(base: BaseResult, why: string): AttackResult {
  return { ...base, outcome: "not possible here", logged: null, happened: `${base.happened}; ${why}` };
}

/** A result that says why an attack could not be shown. */
export function notPossible(
  attack: string,
  step: Pick<AttackStep, "tried" | "from" | "target">,
  why: string,
  evidence: Evidence = {},
): AttackResult {
  const { tried, from, target } = step;
  return {
    attack,
    tried,
    from,
    target,
    tries: 0,
    promised: "",
    control: "",
    happened: why,
    outcome: "not possible here",
    logged: null,
    evidence,
  };
}
