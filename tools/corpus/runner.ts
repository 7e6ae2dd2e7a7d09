/** What a corpus of recorded decisions needs to be compared with ours; registry.ts lists who knows which. */
import { readdirSync } from "node:fs";

export interface CorpusDecision {
  readonly id: string;
  /** Every field that is compared, as recorded. */
  readonly expected: Readonly<Record<string, unknown>>;
  /** The same fields, ours. */
  readonly actual: Readonly<Record<string, unknown>>;
  /** Live only: the difference that it is known for; then it must not agree. */
  readonly difference?: string;
}

export interface CorpusRunner {
  /** Name of the folder that it reads: `corpus`, `corpus-outbound`, … */
  readonly corpus: string;
  /** Decides every request of one case. */
  readonly runCase: (folder: string) => Promise<readonly CorpusDecision[]>;
}

export function agrees({ expected, actual }: CorpusDecision): boolean {
  const names = new Set([...Object.keys(expected), ...Object.keys(actual)]);
  return [...names].every((name) => JSON.stringify(expected[name]) === JSON.stringify(actual[name]));
}

/** One case, decided. */
export interface DecidedCase {
  readonly name: string;
  readonly decisions: readonly CorpusDecision[];
}

/** Names of the cases of a corpus. */
export function casesOf(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

/** What is wrong with a decision: it differs without being listed, or agrees although it is. Undefined for nothing. */
export function complaint(decision: CorpusDecision): string | undefined {
  const same = agrees(decision);
  if (same === (decision.difference === undefined)) return undefined;
  const { id, expected, actual, difference } = decision;
  return same
    ? `${id}: agrees, although it is listed as ${difference}`
    : `${id}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`;
}
