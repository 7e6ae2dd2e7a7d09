/** Random meshes and requests, asked of all who can answer: `npm run differential -- --seed N --requests N`. Exits with 1 where two differ. */
import { parseArgs } from "node:util";
import { runDifferential } from "./differential/run-differential.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Date.now() % 1_000_000_007) },
    requests: { type: "string", default: "5000" },
    /** Every difference on a line of its own; else the first, made small. */
    all: { type: "boolean", default: false },
    /** No random cases, but every byte and trick in paths. */
    paths: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
const startedMs = performance.now();
const seconds = (): string => `${((performance.now() - startedMs) / 1000).toFixed(0)} s`;
console.log(`seed ${seed}`);
const { cases, requests, differences, disagreement } = await runDifferential(
  seed,
  Number(values.requests),
  (event) => {
    if (event.kind === "progress")
      console.log(`${seconds()}: ${event.requests} requests, ${event.cases} meshes`);
    if (event.kind === "difference") console.log(JSON.stringify(event));
  },
  values.paths ? "paths" : values.all ? "all" : "first",
);
if (disagreement !== undefined) console.log(JSON.stringify(disagreement, null, 2));
const agree = disagreement === undefined && differences === 0;
console.log(
  `${requests} requests to ${cases} meshes in ${seconds()}, seed ${seed}: ${agree ? "all agree" : "they differ"}`,
);
process.exit(agree ? 0 : 1);
