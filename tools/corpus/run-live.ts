/** Runs all cases of a corpus live: one worker for each core, each in a network of its own. */
import { availableParallelism } from "node:os";
import { basename, join, resolve } from "node:path";
import { LIVE_RUNNERS } from "./live-registry.ts";
import { runInPrivateNetwork } from "./private-network.ts";
import { type CorpusDecision, casesOf, type DecidedCase } from "./runner.ts";

/** One line of a worker's output. */
export interface LiveLine {
  readonly name: string;
  readonly decision: CorpusDecision;
}

/** @param folder a corpus, such as `../shared/corpus`; undefined for one that has no live runner. */
export async function runLive(folder: string): Promise<readonly DecidedCase[] | undefined> {
  const corpus = basename(resolve(folder));
  if (!LIVE_RUNNERS.some((runner) => runner.corpus === corpus)) return undefined;
  const cases = casesOf(folder);
  const workers = Math.min(availableParallelism(), cases.length);
  const decided = new Map(cases.map((name): [string, CorpusDecision[]] => [name, []]));
  const work = Array.from({ length: workers }, (_, worker) =>
    runInPrivateNetwork(
      join(import.meta.dirname, "live-worker.ts"),
      [resolve(folder), ...cases.filter((_case, index) => index % workers === worker)],
      (line) => {
        const { name, decision } = JSON.parse(line) as LiveLine;
        decided.get(name)?.push(decision);
      },
    ),
  );
  await Promise.all(work);
  return [...decided].map(([name, decisions]) => ({ name, decisions }));
}
