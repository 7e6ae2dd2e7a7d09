/**
 * `bulwark audit` on a generated mesh: `npm run bench -- audit [--workloads 10000] [--planted 47] [--istioctl PROGRAM]`. The whole command in a process of its own, cold, all rules, from YAML to the written JSON; and `istioctl analyze` on the same
 * folder, where there is one. How many of the planted DestinationRules, which say DISABLE to servers that take mutual TLS alone, either names.
 */
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { writeAuditMesh } from "./generate.ts";

const { values } = parseArgs({
  options: {
    workloads: { type: "string", default: "10000" },
    planted: { type: "string", default: "47" },
    istioctl: { type: "string" },
  },
});
/** `istioctl analyze -A` on a mesh of as many workloads, as the project's aims state it: not of this machine, nor of this run. */
const RECORDED =
  "istioctl analyze -A, recorded earlier on another mesh of 10,000 workloads: 33 s of processor, 430 MB";
const TIMEOUT_MS = 900_000;
const MAIN = resolve(import.meta.dirname, "../../src/cli/main.ts");

interface Measured {
  readonly processorSeconds: number;
  readonly memoryMb: number;
  readonly text: string;
}

/** Runs it under `/usr/bin/time`, which asks the kernel what the process used. */
function measure(command: readonly string[], folder: string): Measured | string {
  const [output, figures] = [join(folder, "output"), join(folder, "figures")];
  const file = openSync(output, "w");
  const { error, signal } = spawnSync("/usr/bin/time", ["-o", figures, "-f", "%U %S %M", ...command], {
    stdio: ["ignore", file, "pipe"],
    timeout: TIMEOUT_MS,
  });
  closeSync(file);
  if (error !== undefined || signal !== null) return error?.message ?? `ended by ${signal}`;
  // A line about the exit code may stand before the figures.
  const last = readFileSync(figures, "utf8").trim().split("\n").at(-1) ?? "";
  const [user = 0, system = 0, kib = 0] = last.split(" ").map(Number);
  return {
    processorSeconds: user + system,
    memoryMb: (kib * 1024) / 1e6,
    text: readFileSync(output, "utf8"),
  };
}

function tell(what: string, { processorSeconds, memoryMb }: Measured): void {
  console.log(
    `${what.padEnd(58)} ${processorSeconds.toFixed(2).padStart(7)} s of processor, ${Math.round(memoryMb)} MB at most`,
  );
}

const folder = mkdtempSync(join(tmpdir(), "bulwark-audit-"));
try {
  const [workloads, count] = [Number(values.workloads), Number(values.planted)];
  const mesh = join(folder, "mesh");
  const planted = writeAuditMesh(mesh, workloads, count);
  console.log(
    `load of the machine: ${loadavg()
      .map((own) => own.toFixed(1))
      .join(", ")}`,
  );
  const own = measure(
    [process.execPath, "--disable-warning=ExperimentalWarning", MAIN, "audit", mesh, "--format", "json"],
    folder,
  );
  if (typeof own === "string") throw new Error(`bulwark audit: ${own}`);
  tell(`bulwark audit, ${workloads} workloads, all rules`, own);
  const { findings } = JSON.parse(own.text) as {
    readonly findings: readonly { readonly rule: string; readonly resource: string }[];
  };
  const named = new Set(findings.filter(({ rule }) => rule === "BW0650").map(({ resource }) => resource));
  const found = planted.filter((name) => named.has(name)).length;
  console.log(
    `  ${findings.length} findings; DISABLE against STRICT: ${found} of ${planted.length} planted, ${named.size} told`,
  );
  if (found !== planted.length || named.size !== planted.length) process.exitCode = 1;
  if (values.istioctl === undefined) console.log(RECORDED);
  else {
    const rival = measure([values.istioctl, "analyze", "--use-kube=false", "-A", mesh], folder);
    if (typeof rival === "string") console.log(`${values.istioctl}: ${rival}`);
    else {
      tell("istioctl analyze --use-kube=false -A", rival);
      const seen = planted.filter((name) => rival.text.includes(name.replace("DestinationRule ", ""))).length;
      console.log(`  of the planted it names ${seen}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
