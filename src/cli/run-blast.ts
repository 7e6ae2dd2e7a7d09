import { componentId, findComponent } from "../analysis/blast/component.ts";
import { proposeCut } from "../analysis/blast/cut/propose-cut.ts";
import { componentsOfMesh } from "../analysis/blast/holdings.ts";
import { inMode, type Mode } from "../analysis/blast/modes.ts";
import { overviewOf } from "../analysis/blast/overview.ts";
import { BlastModel } from "../analysis/blast/radius.ts";
import { blastReport } from "../analysis/blast/report.ts";
import { compareOverviews } from "../analysis/blast/watch/compare-overviews.ts";
import { compareReports } from "../analysis/blast/watch/compare-reports.ts";
import { isGrown, isScoreHigher } from "../analysis/blast/watch/comparison.ts";
import { type LoadedMesh, loadMesh } from "../index.ts";
import { unreadPods } from "../model/unread-pods.ts";
import type { Semantics } from "../policy/inbound.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { formatDiagnostic } from "../resources/diagnostic.ts";
import { isUnbuilt } from "../resources/kustomization.ts";
import type { BlastAnswer } from "./blast/blast-document.ts";
import { type Baseline, readBaseline } from "./blast/read-baseline.ts";
import { writeCut } from "./blast/write-cut.ts";
import { keepVerdict } from "./closed-pipe.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { type BlastFormat, isGraphFormat, renderBlast } from "./render/blast.ts";
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
  /** An earlier answer in JSON. */
  readonly baseline?: string;
  readonly failOn?: BlastFailure;
}

/** Anything is yielded or reached that was not; or the score is higher. */
export const BLAST_FAILURES = ["grown", "score"] as const;
export type BlastFailure = (typeof BLAST_FAILURES)[number];

/** @throws {BulwarkError} BW_CLI_INPUT, BW_MESH_INVALID */
export async function runBlast(sources: readonly string[], options: BlastOptions): Promise<ExitCode> {
  keepVerdict();
  checkCut(options);
  checkGraph(options);
  checkWatch(options);
  const baseline = options.baseline === undefined ? undefined : readBaseline(options.baseline, options);
  const loaded = await loadMesh(sources);
  refuseInvalid(loaded);
  writeDecisionNotes(loaded);
  const modes: readonly (Mode | undefined)[] = options.compare ?? [undefined];
  const answers: BlastAnswer[] = [];
  const unclear = new Set<string>(unclearByFiles(loaded));
  for (const mode of modes) {
    const mesh = mode === undefined ? loaded.mesh : inMode(loaded.mesh, mode);
    const asked = options.compromise === undefined ? undefined : componentId(options.compromise);
    const model = new BlastModel(mesh, options.semantics, asked);
    refuseEmpty(model);
    for (const why of unclearByPolicies(model)) unclear.add(why);
    const answer = await answerFor(model, options, mode);
    answers.push(baseline === undefined ? answer : withComparison(answer, baseline, [...unclear]));
  }
  const [cut] = answers.flatMap((answer) => answer.cut ?? []);
  if (options.out !== undefined && cut !== undefined) writeCut(options.out, cut);
  const { semantics, format } = options;
  process.stdout.write(renderBlast({ answers, semantics, unclear: [...unclear] }, format));
  return exitCodeFor(answers, options.failOn);
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

function withComparison(answer: BlastAnswer, before: Baseline, now: readonly string[]): BlastAnswer {
  const unclear = [...before.unclear.map((why) => `in the baseline: ${why}`), ...now];
  if (answer.overview !== undefined && before.overview !== undefined)
    return { ...answer, comparison: compareOverviews(before.overview, answer.overview, unclear) };
  if (answer.report !== undefined && before.report !== undefined)
    return { ...answer, comparison: compareReports(before.report, answer.report, unclear) };
  throw new Error("BUG: a baseline of something else");
}

/** What cannot be told may be anything: whoever asks for a failure is not told that all is well. */
function exitCodeFor(answers: readonly BlastAnswer[], failOn: BlastFailure | undefined): ExitCode {
  if (failOn === undefined) return EXIT.ok;
  const isFailure = failOn === "grown" ? isGrown : isScoreHigher;
  const fails = answers.some(
    ({ comparison }) => comparison === undefined || isFailure(comparison) || comparison.unclear.length > 0,
  );
  return fails ? EXIT.denied : EXIT.ok;
}

/** A score of nothing would be 0, and read as good. */
function refuseEmpty({ total }: BlastModel): void {
  if (total > 0) return;
  throw new BulwarkError(
    "BW_CLI_INPUT",
    "there is nothing to compute: the files have no workload besides Istio's own; name the folders that hold the Deployments, Pods and WorkloadEntries",
  );
}

function unclearByFiles({ mesh, warnings }: LoadedMesh): readonly string[] {
  return [
    ...(warnings.some(isUnbuilt)
      ? ["a kustomization makes something else of the files: build it first"]
      : []),
    ...unreadPods(mesh.resources).map(({ name }) => `${name} makes pods of which the files say too little`),
  ];
}

function unclearByPolicies({ entries }: BlastModel): readonly string[] {
  return entries.notAnalysed.map(({ workload, why }) => `${workload}: ${why}; it counts as open`);
}

function checkWatch({ baseline, failOn, compare }: BlastOptions): void {
  if (baseline !== undefined && compare !== undefined)
    throw new BulwarkError("BW_CLI_INPUT", "--baseline is for the mesh as it is: leave --compare out");
  if (failOn !== undefined && baseline === undefined)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `--fail-on ${failOn} compares with an earlier answer: give it by --baseline`,
    );
}

function checkGraph({ format, compromise, compare, cut, baseline }: BlastOptions): void {
  if (!isGraphFormat(format)) return;
  if (compromise === undefined)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `--format ${format} draws one component: name it by --compromise (without it, --format text lists them)`,
    );
  if (compare !== undefined || cut !== undefined || baseline !== undefined)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `--format ${format} draws the mesh as it is: leave --compare, --cut and --baseline out`,
    );
}

function checkCut({ cut, out, compromise, compare }: BlastOptions): void {
  if (cut !== undefined && (compromise === undefined || compare !== undefined))
    throw new BulwarkError("BW_CLI_INPUT", "--cut is for one component (--compromise), of the mesh as it is");
  if (out === undefined) return;
  if (cut === undefined) throw new BulwarkError("BW_CLI_INPUT", "--out writes the changes of --cut");
  checkOutFolder(out);
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
