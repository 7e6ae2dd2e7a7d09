/** What a corpus of recorded decisions needs to be compared with ours; registry.ts lists who knows which. */

export interface CorpusDecision {
  readonly id: string;
  /** Every field that is compared, as recorded. */
  readonly expected: Readonly<Record<string, unknown>>;
  /** The same fields, ours. */
  readonly actual: Readonly<Record<string, unknown>>;
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
