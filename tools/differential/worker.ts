/** Asks random cases inside a private network: `worker.ts SEED REQUESTS first|all|paths`, one JSON line for each event. */
import fc from "fast-check";
import { ownEveryAddress } from "../corpus/private-network.ts";
import { arbitraryMesh } from "./arbitrary-mesh.ts";
import { arbitraryConnection } from "./arbitrary-traffic.ts";
import type { DifferentialCase } from "./differential-case.ts";
import { pathCases } from "./path-cases.ts";
import { CaseRunner, type Disagreement } from "./run-case.ts";
import type { DifferentialEvent } from "./run-differential.ts";

const CONNECTIONS = 8;
const REQUESTS_EACH = 8;
const REPORT_EVERY = 50;

const [seed = "1", wanted = "5000", show = "first"] = process.argv.slice(2);
ownEveryAddress();
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
const runner = await CaseRunner.start();
let requests = 0;
let cases = 0;
/** Enough was asked when so many agreed; a case that differs is made small first, however many requests that takes. */
let differs = false;
/** A case that could not be asked to its end. Never made small: each step of it could wait out a time limit. */
let broken: { readonly asked: DifferentialCase; readonly error: string } | undefined;

if (show === "paths") for (const asked of pathCases()) tellDifferences(await ask(asked));
else await askRandomCases();
tell({ kind: "end", cases, requests });
await runner.stop();
process.exit(0);

async function ask(asked: DifferentialCase): Promise<readonly Disagreement[]> {
  const result = await runner.run(asked);
  requests += result.requests;
  cases++;
  if (cases % REPORT_EVERY === 0) tell({ kind: "progress", cases, requests });
  return result.disagreements;
}

async function askRandomCases(): Promise<void> {
  const arbitraryCase = fc.record({
    mesh: arbitraryMesh,
    connections: fc.array(arbitraryConnection(REQUESTS_EACH), {
      minLength: 1,
      maxLength: CONNECTIONS,
      size: "max",
    }),
  });
  const property = fc.asyncProperty(arbitraryCase, async (asked) => {
    if (broken !== undefined || (requests >= Number(wanted) && !differs)) return;
    const disagreements = await ask(asked).catch((error: unknown) => {
      broken = { asked, error: String(error) };
      return [];
    });
    const [first] = disagreements;
    if (show === "all") tellDifferences(disagreements);
    if (first === undefined || show === "all") return;
    differs = true;
    throw new Error(JSON.stringify(first));
  });
  const details = await fc.check(property, { seed: Number(seed), numRuns: Number(wanted) });
  if (!details.failed && broken !== undefined) {
    tell({
      kind: "disagreement",
      seed: details.seed,
      path: "",
      counterexample: broken.asked,
      error: broken.error,
    });
  }
  if (!details.failed) return;
  tell({
    kind: "disagreement",
    seed: details.seed,
    path: details.counterexamplePath ?? "",
    counterexample: details.counterexample?.[0],
    error: details.errorInstance instanceof Error ? details.errorInstance.message : "",
  });
}

function tellDifferences(disagreements: readonly Disagreement[]): void {
  for (const found of disagreements) tell({ kind: "difference", ...found });
}

function tell(event: DifferentialEvent): void {
  console.log(JSON.stringify(event));
}
