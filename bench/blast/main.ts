/**
 * `bulwark blast` on a generated mesh: `npm run bench -- blast [--workloads 10000]`. Loading, and every component with what it controls, reaches and what follows transitively, in one process, once each,
 * cold; then one component in full.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { overviewOf } from "../../src/analysis/blast/overview.ts";
import { BlastModel } from "../../src/analysis/blast/radius.ts";
import { blastReport } from "../../src/analysis/blast/report.ts";
import { loadMesh } from "../../src/index.ts";
import { writeBlastMesh } from "./generate.ts";

const { values } = parseArgs({ options: { workloads: { type: "string", default: "10000" } } });
const workloads = Number(values.workloads);
const folder = mkdtempSync(join(tmpdir(), "bulwark-blast-"));

/** What it took, elapsed and of the processor. */
async function timed<T>(what: string, run: () => T | Promise<T>): Promise<T> {
  const [start, used] = [performance.now(), process.cpuUsage()];
  const result = await run();
  const { user, system } = process.cpuUsage(used);
  const elapsed = ((performance.now() - start) / 1000).toFixed(2);
  console.log(
    `${what.padEnd(58)} ${elapsed.padStart(7)} s  (${((user + system) / 1e6).toFixed(2)} s of processor)`,
  );
  return result;
}

try {
  writeBlastMesh(folder, workloads);
  const load = loadavg().map((own) => own.toFixed(1));
  console.log(`load of the machine: ${load.join(", ")}`);
  const { mesh } = await timed(`load ${workloads} workloads`, () => loadMesh(folder));
  const { model, overview } = await timed("every component, transitively", () => {
    const made = new BlastModel(mesh, "istio");
    return { model: made, overview: overviewOf(made) };
  });
  const { components, meshScore } = overview;
  console.log(
    `  ${components.length} components, ${model.entries.size} entry points, score of the mesh ${meshScore.toFixed(2)}`,
  );
  const report = await timed("one component in full, 100 steps with a request", () =>
    blastReport(model, "workload/team-0000/service-0", { semantics: "istio", witnesses: 100 }),
  );
  console.log(
    `  ${report.gains.length} gains, ${report.reaches.length} reached, ${report.further.length} further`,
  );
  console.log(`  memory at most: ${Math.round(process.resourceUsage().maxRSS / 1024)} MB`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
