/**
 * One measurement of a large mesh, in a process of its own: `mesh-figures.ts parse|ask|open FOLDER`. Prints seconds of processor time as JSON.
 * Those of `cold` are all that the process has used since it began, Node's start and our own code's loading (`start`) included.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AccessRequest, can, canAll, loadMesh, type Mesh } from "../../src/index.ts";
import { authorizationCache, compiledPolicies } from "../../src/policy/path/compiled-policies.ts";
import { readDocuments } from "../../src/resources/read-documents.ts";

export interface ParseFigures {
  readonly parse: number;
  readonly files: number;
}

export interface AskFigures {
  readonly start: number;
  readonly cold: number;
  readonly again: number;
  /** Requests between two namespaces that were not asked about before, each. */
  readonly elsewhere: number;
  /** All workloads compiled, and of how many something was compiled. */
  readonly all: number;
  readonly allCompiled: number;
  /** The same after one policy changed. */
  readonly changed: number;
  readonly changedCompiled: number;
  readonly allTo: number;
  readonly allFrom: number;
  readonly pairs: number;
  readonly residentMiB: number;
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function costOf(work: () => unknown): Promise<number> {
  const before = cpuSeconds();
  await work();
  return cpuSeconds() - before;
}

async function parse(folder: string): Promise<ParseFigures> {
  // Kept, as whoever reads them keeps them: that they outlive a collection is a cost of reading.
  const kept: unknown[] = [];
  const parse = await costOf(() => {
    for (const file of readdirSync(folder))
      kept.push(
        readDocuments(file, readFileSync(join(folder, file), "utf8"), (problem) => {
          throw new Error(problem.message);
        }),
      );
  });
  return { parse, files: kept.length };
}

/** @param at different for each: from one namespace to the next. */
function requestAt(mesh: Mesh, at: number): AccessRequest {
  const { workloads } = mesh;
  const from = workloads[(at * 397 + 11) % workloads.length];
  const to = workloads[(at * 811 + 500) % workloads.length];
  return {
    from: { workload: from?.key ?? "" },
    to: { host: `${to?.name}.${to?.namespace}.svc.cluster.local`, port: 80 },
    path: "/api/orders",
  };
}

/** @returns of how many workloads something had to be compiled: each has an authorization for HTTP and one for TCP. */
function compileAll(mesh: Mesh): number {
  const cache = authorizationCache(mesh);
  const before = cache.compiled;
  const policies = compiledPolicies(mesh, "istio");
  for (const workload of mesh.workloads) policies.inbound(workload);
  return (cache.compiled - before) / 2;
}

const ELSEWHERE = 10;

async function ask(folder: string): Promise<AskFigures> {
  const start = cpuSeconds();
  const { mesh } = await loadMesh(folder);
  await can(mesh, [requestAt(mesh, 0)]);
  const cold = cpuSeconds();
  const again = await costOf(() => can(mesh, [requestAt(mesh, 0)]));
  const elsewhere = await costOf(async () => {
    for (let at = 1; at <= ELSEWHERE; at++) await can(mesh, [requestAt(mesh, at)]);
  });
  const own = mesh.workloads[Math.floor(mesh.workloads.length / 2)]?.key ?? "";
  let pairs = 0;
  const allTo = await costOf(async () => {
    pairs = (await canAll(mesh, { to: own })).length;
  });
  const allFrom = await costOf(() => canAll(mesh, { from: own }));
  return {
    start,
    cold,
    again,
    elsewhere: elsewhere / ELSEWHERE,
    ...(await askAfterChange(folder)),
    allTo,
    allFrom,
    pairs,
    residentMiB: process.memoryUsage().rss / 2 ** 20,
  };
}

/** A mesh without Sidecar resources. */
export interface OpenFigures {
  /** From the first namespace that is asked from, and from each other one. */
  readonly first: number;
  readonly other: number;
  readonly allTo: number;
  readonly pairs: number;
  readonly residentMiB: number;
}

async function askOpen(folder: string): Promise<OpenFigures> {
  const { mesh } = await loadMesh(folder);
  const first = await costOf(() => can(mesh, [requestAt(mesh, 0)]));
  const others = await costOf(async () => {
    for (let at = 1; at <= ELSEWHERE; at++) await can(mesh, [requestAt(mesh, at)]);
  });
  const own = mesh.workloads[Math.floor(mesh.workloads.length / 2)]?.key ?? "";
  let pairs = 0;
  const allTo = await costOf(async () => {
    pairs = (await canAll(mesh, { to: own })).length;
  });
  const residentMiB = process.memoryUsage().rss / 2 ** 20;
  return { first, other: others / ELSEWHERE, allTo, pairs, residentMiB };
}

type ChangeFigures = Pick<AskFigures, "all" | "allCompiled" | "changed" | "changedCompiled">;

async function askAfterChange(folder: string): Promise<ChangeFigures> {
  const { mesh } = await loadMesh(folder);
  let allCompiled = 0;
  const all = await costOf(() => {
    allCompiled = compileAll(mesh);
  });
  const file = join(folder, "team-000.yaml");
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace("- /api/*", "- /api/v2/*"));
  const next = await loadMesh(folder, { previous: mesh });
  writeFileSync(file, text);
  let changedCompiled = 0;
  const changed = await costOf(() => {
    changedCompiled = compileAll(next.mesh);
  });
  return { all, allCompiled, changed, changedCompiled };
}

const [mode, folder = ""] = process.argv.slice(2);
const MODES: Readonly<Record<string, (folder: string) => Promise<object>>> = { parse, ask, open: askOpen };
const measure = MODES[mode ?? ""];
if (measure === undefined) throw new Error(`no such measurement: ${mode}`);
process.stdout.write(JSON.stringify(await measure(folder)));
