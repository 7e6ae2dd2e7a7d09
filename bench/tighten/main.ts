/**
 * `bulwark tighten` on generated meshes and logs: `npm run bench -- tighten [--records 1000000] [--workloads 1000]`. The whole command in a process of its own, once, cold:
 * from YAML and JSON lines to the written folder; and the most memory that it had.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writePolicyMesh } from "../verify/generate.ts";
import { writeFlows } from "./generate.ts";

const TARGET_SECONDS = 60;
const TARGET_MEGABYTES = 1000;

const { values } = parseArgs({
  options: {
    records: { type: "string", default: "1000000" },
    workloads: { type: "string", default: "1000" },
  },
});
const records = Number(values.records);
const workloads = Number(values.workloads);
const folder = mkdtempSync(join(tmpdir(), "bulwark-tighten-"));

try {
  const [mesh, flows, out] = [join(folder, "mesh"), join(folder, "flows.jsonl"), join(folder, "out")];
  writePolicyMesh(mesh, workloads);
  writeFlows(flows, records, workloads);
  const load = loadavg()
    .map((own) => own.toFixed(1))
    .join(", ");
  console.log(`load of the machine: ${load}; log: ${(statSync(flows).size / 1e6).toFixed(0)} MB`);
  const start = performance.now();
  const run = join(import.meta.dirname, "run.ts");
  const { status, stdout, stderr } = spawnSync(process.execPath, [run, mesh, flows, out], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const elapsed = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`tighten ended with ${status}: ${stderr.slice(-2000)}`);
  const { cpuSeconds, megabytes } = JSON.parse(stderr.trim().split("\n").at(-1) ?? "") as Record<
    string,
    number
  >;
  const isTarget = records === 1_000_000 && workloads === 1000;
  const isMet = (cpuSeconds ?? Infinity) <= TARGET_SECONDS && (megabytes ?? Infinity) <= TARGET_MEGABYTES;
  const target = isTarget
    ? `, target ${TARGET_SECONDS} s of processor and ${TARGET_MEGABYTES} MB: ${isMet ? "met" : "MISSED"}`
    : "";
  console.log(
    `${records} records over ${workloads} workloads: ${elapsed.toFixed(1)} s (${cpuSeconds?.toFixed(1)} s of processor), ${megabytes?.toFixed(0)} MB at most${target}`,
  );
  const files = readdirSync(out, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".yaml"),
  );
  console.log(`  ${stdout.split("\n")[0]}; ${files.length} resources`);
  console.log(`  ${stdout.split("\n").find((line) => line.startsWith("asked again")) ?? ""}`);
  console.log(`  ${stdout.split("proven no wider").length - 1} policies proven no wider`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
