import { BulwarkError } from "../resources/bulwark-error.ts";
import type { Attack, AttackResult, AttackStep, Outcome } from "./attack.ts";
import { ATTACKS } from "./attack-registry.ts";
import { notPossible } from "./conclude.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";

export interface AttackProgress {
  readonly attack: Attack;
  /** Steps of this attack that are done, and all of them. */
  readonly done: number;
  readonly steps: number;
}

export interface RunAttacksOptions {
  /** Ids (`e6`); absent: all. */
  readonly only?: readonly string[];
  readonly onProgress?: (progress: AttackProgress) => void;
  /** The attacks themselves; default all of them. */
  readonly attacks?: readonly Attack[];
}

export interface AttackReport {
  readonly results: readonly AttackResult[];
  readonly counts: Readonly<Record<Outcome, number>>;
  /** Steps that were skipped because the run was stopped. */
  readonly skipped: number;
}

/** Steps of one attack that run at a time: most of a step is waiting for the flow log. */
const CONCURRENCY = 4;

/**
 * Runs attacks on a mesh, one attack after the other, until done or until `mesh.signal`.
 * @throws {BulwarkError} BW_CLI_INPUT for an id that there is not. A step that fails is a result, not an error.
 */
export async function runAttacks(
  mesh: MeshUnderAttack,
  options: RunAttacksOptions = {},
): Promise<AttackReport> {
  const results: AttackResult[] = [];
  let skipped = 0;
  for (const attack of chosen(options.attacks ?? ATTACKS, options.only)) {
    if (mesh.signal.aborted) break;
    const steps = await attack.plan(mesh);
    if (steps.length === 0) results.push(nothingToAttack(attack));
    const done = await runSteps(mesh, attack, steps, options.onProgress);
    results.push(...done.results);
    skipped += steps.length - done.finished;
  }
  return { results, counts: countOutcomes(results), skipped };
}

function chosen(attacks: readonly Attack[], only: readonly string[] | undefined): readonly Attack[] {
  if (only === undefined || only.length === 0) return attacks;
  const known = new Set(attacks.map(({ id }) => id));
  const unknown = only.filter((id) => !known.has(id.toLowerCase()));
  if (unknown.length > 0) {
    const list = [...known].join(", ");
    throw new BulwarkError("BW_CLI_INPUT", `there is no attack \`${unknown.join(", ")}\`; there are ${list}`);
  }
  const wanted = new Set(only.map((id) => id.toLowerCase()));
  return attacks.filter(({ id }) => wanted.has(id));
}

function nothingToAttack(attack: Attack): AttackResult {
  const step = { tried: attack.title, from: "", target: "" };
  return notPossible(attack.id, step, `this mesh has nothing to try it on: it needs ${attack.needs}`);
}

async function runSteps(
  mesh: MeshUnderAttack,
  attack: Attack,
  steps: readonly AttackStep[],
  onProgress: RunAttacksOptions["onProgress"],
): Promise<{ results: readonly AttackResult[]; finished: number }> {
  const results: (readonly AttackResult[])[] = [];
  let next = 0;
  let finished = 0;
  const work = async () => {
    for (let index = next++; index < steps.length && !mesh.signal.aborted; index = next++) {
      results[index] = await runStep(attack, steps[index] as AttackStep);
      finished += 1;
      onProgress?.({ attack, done: finished, steps: steps.length });
    }
  };
  onProgress?.({ attack, done: 0, steps: steps.length });
  await Promise.all(Array.from({ length: attack.sequential === true ? 1 : CONCURRENCY }, work));
  return { results: results.flat().filter((result) => result !== undefined), finished };
}

/** An attack that cannot be carried out says so; it never takes the others with it, and never counts as stopped. */
async function runStep(attack: Attack, step: AttackStep): Promise<readonly AttackResult[]> {
  try {
    return await step.run();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [notPossible(attack.id, step, `it could not be carried out: ${why}`)];
  }
}

function countOutcomes(results: readonly AttackResult[]): Record<Outcome, number> {
  const counts: Record<Outcome, number> = {
    stopped: 0,
    succeeded: 0,
    "allowed by configuration": 0,
    "not possible here": 0,
  };
  for (const { outcome } of results) counts[outcome] += 1;
  return counts;
}
