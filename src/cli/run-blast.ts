import { findComponent } from "../analysis/blast/component.ts";
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

export interface BlastOptions {
  readonly compromise?: string;
  readonly compare?: readonly Mode[];
  readonly format: BlastFormat;
  readonly semantics: Semantics;
  readonly witnesses: number;
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_MESH_INVALID */
export async function runBlast(sources: readonly string[], options: BlastOptions): Promise<ExitCode> {
  const loaded = await loadMesh(sources);
  refuseInvalid(loaded);
  writeDecisionNotes(loaded);
  const modes: readonly (Mode | undefined)[] = options.compare ?? [undefined];
  const answers: BlastAnswer[] = [];
  for (const mode of modes) {
    const mesh = mode === undefined ? loaded.mesh : inMode(loaded.mesh, mode);
    answers.push(await answerFor(new BlastModel(mesh, options.semantics), options, mode));
  }
  process.stdout.write(renderBlast(answers, options.format));
  return EXIT.ok;
}

async function answerFor(
  model: BlastModel,
  { compromise, semantics, witnesses }: BlastOptions,
  mode: Mode | undefined,
): Promise<BlastAnswer> {
  const own = mode === undefined ? {} : { mode };
  if (compromise === undefined) return { ...own, overview: overviewOf(model) };
  const found = findComponent(compromise, new Set(componentsOfMesh(model.graph)));
  if ("problem" in found) throw new BulwarkError("BW_CLI_INPUT", found.problem);
  return { ...own, report: await blastReport(model, found.id, { semantics, witnesses }) };
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
