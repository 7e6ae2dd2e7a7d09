import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findComponent } from "../analysis/blast/component.ts";
import { changeYaml, lastOfEach } from "../analysis/blast/cut/change.ts";
import { type Cut, proposeCut } from "../analysis/blast/cut/propose-cut.ts";
import { componentsOfMesh } from "../analysis/blast/holdings.ts";
import { inMode, type Mode } from "../analysis/blast/modes.ts";
import { overviewOf } from "../analysis/blast/overview.ts";
import { BlastModel } from "../analysis/blast/radius.ts";
import { blastReport } from "../analysis/blast/report.ts";
import { type LoadedMesh, loadMesh } from "../index.ts";
import type { Semantics } from "../policy/inbound.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { formatDiagnostic } from "../resources/diagnostic.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { type BlastAnswer, type BlastFormat, renderBlast } from "./render/blast.ts";
import { writeDecisionNotes } from "./render/decisions.ts";
import { checkOutFolder } from "./write-changes.ts";

export interface BlastOptions {
  readonly compromise?: string;
  readonly compare?: readonly Mode[];
  readonly format: BlastFormat;
  readonly semantics: Semantics;
  readonly witnesses: number;
  /** Steps at most. */
  readonly cut?: number;
  readonly out?: string;
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_MESH_INVALID */
export async function runBlast(sources: readonly string[], options: BlastOptions): Promise<ExitCode> {
  checkCut(options);
  const loaded = await loadMesh(sources);
  refuseInvalid(loaded);
  writeDecisionNotes(loaded);
  const modes: readonly (Mode | undefined)[] = options.compare ?? [undefined];
  const answers: BlastAnswer[] = [];
  for (const mode of modes) {
    const mesh = mode === undefined ? loaded.mesh : inMode(loaded.mesh, mode);
    answers.push(await answerFor(new BlastModel(mesh, options.semantics), options, mode));
  }
  const [cut] = answers.flatMap((answer) => answer.cut ?? []);
  if (options.out !== undefined && cut !== undefined) writeCut(options.out, cut);
  process.stdout.write(renderBlast(answers, options.format));
  return EXIT.ok;
}

async function answerFor(
  model: BlastModel,
  { compromise, semantics, witnesses, cut: steps }: BlastOptions,
  mode: Mode | undefined,
): Promise<BlastAnswer> {
  const own = mode === undefined ? {} : { mode };
  if (compromise === undefined) return { ...own, overview: overviewOf(model) };
  const found = findComponent(compromise, new Set(componentsOfMesh(model.graph)));
  if ("problem" in found) throw new BulwarkError("BW_CLI_INPUT", found.problem);
  const report = await blastReport(model, found.id, { semantics, witnesses });
  if (steps === undefined) return { ...own, report };
  return { ...own, report, cut: await proposeCut(model.mesh, found.id, { semantics, steps }) };
}

function checkCut({ cut, out, compromise, compare }: BlastOptions): void {
  if (cut !== undefined && (compromise === undefined || compare !== undefined))
    throw new BulwarkError("BW_CLI_INPUT", "--cut is for one component (--compromise), of the mesh as it is");
  if (out === undefined) return;
  if (cut === undefined) throw new BulwarkError("BW_CLI_INPUT", "--out writes the changes of --cut");
  checkOutFolder(out);
}

/** In their order, so that what is applied last counts. */
function writeCut(folder: string, { steps }: Cut): void {
  mkdirSync(folder, { recursive: true });
  for (const [at, change] of lastOfEach(steps.flatMap(({ changes }) => changes)).entries()) {
    const { kind, metadata } = change.document as {
      kind: string;
      metadata: { name: string; namespace?: string };
    };
    const words = [
      String(at + 1).padStart(2, "0"),
      kind.toLowerCase(),
      metadata.namespace ?? "",
      metadata.name,
    ];
    const name = words
      .filter((word) => word !== "")
      .join("-")
      .slice(0, 200)
      .replace(/[^a-z0-9.-]/g, "-");
    writeFileSync(join(folder, `${name}.yaml`), changeYaml(change), { flag: "wx" });
  }
}

/** What is not valid takes no part, and might be what holds an attacker back, or lets it on. */
function refuseInvalid({ rejected }: LoadedMesh): void {
  const errors = rejected.flatMap((resource) => resource.errors);
  if (errors.length === 0) return;
  throw new BulwarkError(
    "BW_MESH_INVALID",
    ["nothing was computed, for not all files are valid", ...errors.map(formatDiagnostic)].join("\n"),
    { detail: { diagnostics: errors } },
  );
}
