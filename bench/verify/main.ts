/**
 * `bulwark verify` and `bulwark diff` on generated meshes: `npm run bench -- verify [--workloads 10000] [--invariants 100] [--for-all 4] [--changed 10]`.
 * Loading and judging apart, in one process, once each, cold.
 */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { diffAccess } from "../../src/analysis/diff/diff-access.ts";
import { invariantOf } from "../../src/analysis/verify/invariant.ts";
import { verifyAccess } from "../../src/analysis/verify/verify-access.ts";
import { type LoadedMesh, loadMesh } from "../../src/index.ts";
import { loadResources } from "../../src/resources/load.ts";
import { ReadFiles } from "../../src/resources/read-files.ts";
import { writeInvariants, writePolicyMesh } from "./generate.ts";

const { values } = parseArgs({
  options: {
    workloads: { type: "string", default: "10000" },
    invariants: { type: "string", default: "100" },
    "for-all": { type: "string", default: "4" },
    changed: { type: "string", default: "10" },
  },
});
const workloads = Number(values.workloads);
const folder = mkdtempSync(join(tmpdir(), "bulwark-verify-"));

/** What it took, elapsed and of the processor. @param targetSeconds of the processor, set for 10,000 workloads. */
async function timed<T>(what: string, run: () => T | Promise<T>, targetSeconds?: number): Promise<T> {
  const [start, used] = [performance.now(), process.cpuUsage()];
  const result = await run();
  const { user, system } = process.cpuUsage(used);
  const elapsed = ((performance.now() - start) / 1000).toFixed(2);
  const seconds = (user + system) / 1e6;
  const target =
    targetSeconds === undefined || workloads !== 10_000
      ? ""
      : `, target ${targetSeconds} s: ${(seconds / targetSeconds).toFixed(2)} of it, ${seconds <= targetSeconds ? "met" : "MISSED"}`;
  console.log(`${what.padEnd(58)} ${elapsed.padStart(7)} s  (${seconds.toFixed(2)} s of processor${target})`);
  return result;
}

try {
  const [before, after, invariants] = ["before", "after", "invariants.yaml"].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  writePolicyMesh(before, workloads);
  writePolicyMesh(after, workloads, Number(values.changed));
  writeInvariants(invariants, Number(values.invariants), Number(values["for-all"]), workloads);
  console.log(
    `load of the machine: ${loadavg()
      .map((load) => load.toFixed(1))
      .join(", ")}`,
  );
  const known = new ReadFiles();
  const load = (path: string): Promise<LoadedMesh> =>
    timed(`load ${workloads} workloads`, () => loadMesh(path, path === after ? { known } : {}));
  const { mesh } = await load(before);
  const { resources } = await loadResources([invariants]);
  const own = resources.map((resource) => invariantOf(resource, mesh));
  const { results, classes } = await timed(
    `verify ${own.length} invariants, ${values["for-all"]} for all`,
    () => verifyAccess(mesh, own, { semantics: "istio" }),
    10,
  );
  const proven = results.filter(({ outcome }) => outcome === "proven").length;
  console.log(
    `  ${proven} proven, ${results.reduce((sum, one) => sum + one.proven.length, 0)} proofs, ${classes} classes`,
  );
  const changed = await load(after);
  const { changes } = await timed(`diff, ${values.changed} policies changed`, () =>
    diffAccess(mesh, changed.mesh, { semantics: "istio" }),
  );
  console.log(`  ${changes.length} changes`);
  appendFileSync(join(after, "mesh.yaml"), "# saved again\n");
  await timed("diff --watch: one file saved, read and compared again", async () => {
    const again = await loadMesh(after, { known });
    return diffAccess(mesh, again.mesh, { semantics: "istio" });
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
