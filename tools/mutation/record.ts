import { performance } from "node:perf_hooks";
import { suitesOf } from "./collector.ts";
import type { Order, Recording, TestRecord } from "./protocol.ts";
import type { Switchboard } from "./switchboard.ts";
import type { TestBench } from "./test-bench.ts";

interface Reached {
  readonly ids: Uint32Array;
  readonly hits: Uint32Array;
}

/** Runs every test without a mutant: what each reaches, how long it takes, and whether it passes twice, in another order. */
export async function record(
  board: Switchboard,
  bench: TestBench,
  { testFiles, sourceFiles }: Order & { kind: "record" },
): Promise<Recording> {
  const broken: string[] = [];
  for (const file of sourceFiles) await bench.file(file);
  const atStart = takeReached(board).ids;
  const atImport = new Map<string, Uint32Array>();
  const loaded: string[] = [];
  for (const file of testFiles) {
    try {
      await bench.file(file);
      loaded.push(file);
    } catch (error) {
      broken.push(`${file}: ${String(error)}`);
    }
    atImport.set(file, takeReached(board).ids);
  }
  const setups = await reachingSetups(board, bench, loaded);
  bench.know([], setups);
  const first: TestRecord[] = [];
  for (const file of loaded) {
    const { tests } = await bench.file(file);
    for (const [ordinal, { name }] of tests.entries()) {
      const made = await recordTest(board, bench, { file, ordinal, name });
      if (typeof made === "string") broken.push(made);
      else first.push(made);
    }
  }
  const tests: TestRecord[] = [];
  for (const test of first.toReversed()) {
    // As after a mutant: nothing that was memorized is left.
    board.switchTo(board.active);
    const again = await recordTest(board, bench, test);
    if (typeof again === "string") broken.push(`${again} (when it runs again)`);
    else tests.push({ ...test, ms: Math.min(test.ms, again.ms) });
  }
  return { tests: tests.reverse(), atStart, atImport, setups, broken };
}

/** `before` hooks that reach mutants. */
async function reachingSetups(
  board: Switchboard,
  bench: TestBench,
  files: readonly string[],
): Promise<Map<string, readonly number[]>> {
  const setups = new Map<string, readonly number[]>();
  for (const file of files) {
    const { tests } = await bench.file(file);
    const hooks = new Set(tests.flatMap((test) => suitesOf(test).flatMap(({ before }) => before)));
    const reaching: number[] = [];
    for (const { run, ordinal } of hooks) {
      takeReached(board);
      await run();
      if (takeReached(board).ids.length > 0) reaching.push(ordinal);
    }
    setups.set(file, reaching);
  }
  return setups;
}

/** The test as it ran, or why it fails. */
async function recordTest(
  board: Switchboard,
  bench: TestBench,
  { file, ordinal, name, full }: Pick<TestRecord, "file" | "ordinal" | "name"> & { full?: boolean },
): Promise<TestRecord | string> {
  let failure: unknown;
  for (const unbounded of full === true ? [true] : [false, true]) {
    bench.forgetSetUps();
    takeReached(board);
    const start = performance.now();
    try {
      await bench.run(file, ordinal, unbounded);
      const ms = performance.now() - start;
      const { ids, hits } = takeReached(board);
      return { file, ordinal, name, ms, full: unbounded, reached: ids, hits };
    } catch (error) {
      failure = error;
    }
  }
  return `${file}: ${name}: ${String(failure).split("\n")[0]}`;
}

/** What was reached since it was last asked. */
function takeReached({ counts }: Switchboard): Reached {
  const ids: number[] = [];
  for (let id = 0; id < counts.length; id++) if ((counts[id] ?? 0) > 0) ids.push(id);
  const hits = Uint32Array.from(ids, (id) => counts[id] ?? 0);
  counts.fill(0);
  return { ids: Uint32Array.from(ids), hits };
}
