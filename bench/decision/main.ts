/**
 * What one decision costs, beside other engines in the same run: `npm run bench -- decision [--quick] [--sizes 10,100] [--rounds 9]
 * [--only NAME]`. Engines take turns; each has a process of its own, answers the same requests, and is measured in processor time.
 * Then what `can` costs on a mesh of 10,000 workloads (mesh.ts; `--only mesh` for that alone).
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { contenders } from "./contenders.ts";
import { generateWorkload, type Shape } from "./generate.ts";
import { median, row, TABLE_HEAD } from "./report.ts";
import type { Contender, Rival } from "./rival.ts";
import type { BenchWorkload } from "./workload.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    sizes: { type: "string" },
    rounds: { type: "string" },
    only: { type: "string" },
  },
});
const sizes = (values.sizes ?? "10,100,1000,10000").split(",").map(Number);
const rounds = Number(values.rounds ?? (values.quick ? 3 : 11));
const REQUESTS = 20_000;
/** Most decisions of one turn. */
const MOST = 100_000;
const COMPARED = 400;
/** Processor time of one engine's turn that is aimed at. */
const TURN_NANOS = values.quick ? 30e6 : 120e6;
const SEED = 20260824;

const cache = join(import.meta.dirname, "../../.cache/bench/decision");
mkdirSync(cache, { recursive: true });
const chosen = contenders(cache).filter(
  ({ name }) => values.only === undefined || values.only.split(",").some((part) => name.includes(part)),
);

/** One engine's figures at one size. */
interface Running {
  readonly contender: Contender;
  readonly rival: Rival;
  count: number;
  readonly nanosEach: number[];
}

async function start(contender: Contender, workload: BenchWorkload, folder: string): Promise<Running> {
  const rival = await contender.start(workload, folder);
  return { contender, rival, count: await calibrate(rival), nanosEach: [] };
}

/** How many decisions fill a turn; warms the engine up on the way. */
async function calibrate(rival: Rival): Promise<number> {
  let count = 50;
  for (;;) {
    const { nanos } = await rival.run(count);
    if (nanos >= TURN_NANOS / 4 || count >= MOST)
      return Math.min(MOST, Math.max(50, Math.ceil((count * TURN_NANOS) / Math.max(nanos, 1))));
    count = Math.min(MOST, count * 4);
  }
}

/** @throws where an engine decides otherwise than the first. */
async function assertEqual(running: readonly Running[], { rules }: BenchWorkload): Promise<void> {
  const [first, ...others] = running;
  const expected = (await first?.rival.answers(COMPARED)) ?? [];
  for (const { contender, rival } of others) {
    const own = await rival.answers(Math.min(COMPARED, expected.length));
    for (const [at, answer] of own.entries()) {
      const wanted = expected[at];
      const effect = typeof wanted === "number" && rules[wanted]?.action === "ALLOW" ? "allow" : "deny";
      if (answer !== (typeof answer === "string" ? effect : wanted))
        throw new Error(`${contender.name} answers request ${at} with ${answer}, not ${wanted} (${effect})`);
    }
  }
}

async function measure(
  size: number,
  shape: Shape,
  among: readonly Contender[],
): Promise<Map<string, number[]>> {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-decision-"));
  const workload = generateWorkload(size, REQUESTS, shape, SEED);
  const running: Running[] = [];
  try {
    for (const contender of among) running.push(await start(contender, workload, folder));
    await assertEqual(running, workload);
    for (let round = 0; round < rounds; round++) {
      for (const { rival, count, nanosEach } of running)
        nanosEach.push((await rival.run(count)).nanos / count);
    }
  } finally {
    await Promise.all(running.map(({ rival }) => rival.stop()));
    rmSync(folder, { recursive: true, force: true });
  }
  return new Map(running.map(({ contender, nanosEach }) => [contender.name, nanosEach]));
}

console.log(TABLE_HEAD);
const ours = new Map<number, number[]>();
for (const size of sizes) {
  const found = await measure(size, {}, chosen);
  const [first = []] = found.values();
  ours.set(size, first);
  for (const [name, nanos] of found) console.log(row(size, name, nanos, first));
}
const smallest = ours.get(sizes[0] ?? 0) ?? [];
for (const size of sizes.slice(1)) {
  const ratio = median((ours.get(size) ?? []).map((nanos) => nanos / median(smallest)));
  console.log(`${size} rules against ${sizes[0]}: ${ratio.toFixed(1)} times`);
}
// In a process of its own: a heap of 10,000 workloads would weigh on nothing else here, nor anything here on it.
if (values.only === undefined || "mesh".includes(values.only)) {
  const args = [join(import.meta.dirname, "mesh.ts"), ...(values.quick ? ["--quick"] : [])];
  const mesh = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
    stdio: "inherit",
  });
  if (mesh.status !== 0) process.exitCode = 1;
}
