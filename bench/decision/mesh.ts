/**
 * What `can` costs on a mesh of 10,000 workloads: `npm run bench -- decision` runs it last; alone `node bench/decision/mesh.ts [--quick] [--rounds 3]`.
 * Processor time, each round in processes of their own; the median is shown, and the least and most.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { LARGE, writeLargeMesh } from "./large-mesh.ts";
import type { AskFigures, OpenFigures, ParseFigures } from "./mesh-figures.ts";
import { median } from "./report.ts";

const { values } = parseArgs({
  options: { quick: { type: "boolean", default: false }, rounds: { type: "string" } },
});
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
const size = values.quick ? { namespaces: 10, workloads: 20 } : LARGE;

interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly of: (ask: AskFigures, parse: ParseFigures) => number;
  /** Of the whole mesh only. */
  readonly most?: number;
}

const FIGURES: readonly Figure[] = [
  { name: "one request, cold", unit: "s", of: ({ cold }) => cold, most: 6 },
  { name: "— reading YAML alone (js-yaml)", unit: "s", of: (_, { parse }) => parse },
  { name: "— Node's start, loading our code", unit: "s", of: ({ start }) => start },
  {
    name: "— Bulwark's own part after parsing",
    unit: "s",
    of: ({ cold, start }, { parse }) => cold - parse - start,
    most: 2,
  },
  { name: "the same request again", unit: "ms", of: ({ again }) => again * 1000, most: 100 },
  { name: "a request elsewhere in the mesh", unit: "ms", of: ({ elsewhere }) => elsewhere * 1000, most: 100 },
  { name: "every workload's policies compiled", unit: "ms", of: ({ all }) => all * 1000 },
  { name: "— workloads compiled", unit: "", of: ({ allCompiled }) => allCompiled },
  { name: "one policy changed: every workload again", unit: "ms", of: ({ changed }) => changed * 1000 },
  { name: "— workloads compiled", unit: "", of: ({ changedCompiled }) => changedCompiled, most: 1 },
  { name: "--all-to a workload", unit: "s", of: ({ allTo }) => allTo },
  { name: "--all-from a workload", unit: "s", of: ({ allFrom }) => allFrom },
  { name: "— pairs", unit: "", of: ({ pairs }) => pairs },
  { name: "resident, at the end", unit: "MiB", of: ({ residentMiB }) => residentMiB },
];

function measure<T>(mode: "parse" | "ask" | "open", folder: string): T {
  const script = join(import.meta.dirname, "mesh-figures.ts");
  const run = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", script, mode, folder], {
    stdio: ["ignore", "pipe", "inherit"],
    // As `bin/bulwark` has it.
    env: { ...process.env, NODE_COMPILE_CACHE: join(import.meta.dirname, "../../.cache/compile") },
    encoding: "utf8",
  });
  if (run.status !== 0) throw new Error(`mesh-figures.ts ${mode} ended with ${run.status}`);
  return JSON.parse(run.stdout) as T;
}

interface OpenFigure {
  readonly name: string;
  readonly unit: string;
  readonly of: (found: OpenFigures) => number;
}

const OPEN_FIGURES: readonly OpenFigure[] = [
  { name: "first request", unit: "s", of: ({ first }) => first },
  { name: "from another namespace, each", unit: "ms", of: ({ other }) => other * 1000 },
  { name: "--all-to a workload", unit: "s", of: ({ allTo }) => allTo },
  { name: "— pairs", unit: "", of: ({ pairs }) => pairs },
  { name: "resident, at the end", unit: "MiB", of: ({ residentMiB }) => residentMiB },
];

function row(
  { name, unit, of, most }: Figure,
  found: readonly (readonly [AskFigures, ParseFigures])[],
): string {
  const own = found.map(([ask, parse]) => of(ask, parse));
  const middle = median(own);
  const range = unit === "" ? "" : `${short(Math.min(...own))} … ${short(Math.max(...own))}`;
  const target =
    most === undefined || values.quick ? "" : `≤ ${most} ${unit}: ${middle <= most ? "met" : "NOT MET"}`;
  return `| ${name} | ${short(middle)} ${unit} | ${range} | ${target} |`;
}

function short(value: number): string {
  return Number.isInteger(value) || value >= 100 ? value.toFixed(0) : value.toFixed(2);
}

const folder = mkdtempSync(join(tmpdir(), "bulwark-mesh-"));
try {
  const { bytes, workloads } = writeLargeMesh(folder, size);
  console.log(
    `\n${workloads.length} workloads, ${(bytes / 1e6).toFixed(1)} MB of YAML; CPU, median of ${rounds}\n`,
  );
  const found = Array.from(
    { length: rounds },
    () => [measure<AskFigures>("ask", folder), measure<ParseFigures>("parse", folder)] as const,
  );
  console.log("| | CPU | least … most | target |\n|---|---:|---:|---|");
  for (const figure of FIGURES) console.log(row(figure, found));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const open = mkdtempSync(join(tmpdir(), "bulwark-mesh-"));
try {
  writeLargeMesh(open, { ...size, isOpen: true });
  console.log(`\nThe same without Sidecar resources; CPU after loading, median of ${rounds}\n`);
  const found = Array.from({ length: rounds }, () => measure<OpenFigures>("open", open));
  console.log("| | CPU |\n|---|---:|");
  for (const { name, unit, of } of OPEN_FIGURES)
    console.log(`| ${name} | ${short(median(found.map(of)))} ${unit} |`);
} finally {
  rmSync(open, { recursive: true, force: true });
}
