import { existsSync } from "node:fs";
import { join } from "node:path";
import { diffAccess, type MeshDiff } from "../analysis/diff/diff-access.ts";
import { type LoadedMesh, loadMesh } from "../index.ts";
import type { Semantics } from "../policy/inbound.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { checkOutRevision, type RevisionFolder } from "./git-revision.ts";
import { writeDecisionNotes } from "./render/decisions.ts";
import { diffJson, diffMarkdown, diffText } from "./render/diff.ts";

export const FAILURES = ["weakened", "widened", "changed"] as const;
export type Failure = (typeof FAILURES)[number];

export interface DiffOptionsOfCommand {
  readonly format: "text" | "json" | "markdown";
  readonly semantics: Semantics;
  readonly failOn?: Failure;
  readonly path?: string;
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_MESH_INVALID */
export async function runDiff(words: readonly string[], options: DiffOptionsOfCommand): Promise<ExitCode> {
  const checkedOut: RevisionFolder[] = [];
  try {
    const [before, after] = await Promise.all(sidesOf(words).map((side) => load(side, options, checkedOut)));
    if (before === undefined || after === undefined) throw new Error("BUG: a difference has two sides");
    for (const loaded of [before, after]) writeDecisionNotes(loaded);
    const diff = diffAccess(before.mesh, after.mesh, { semantics: options.semantics });
    const render = { text: diffText, json: diffJson, markdown: diffMarkdown }[options.format];
    process.stdout.write(render(diff));
    return exitCodeFor(diff, options.failOn);
  } finally {
    for (const revision of checkedOut) revision.remove();
  }
}

/** `OLD NEW`, or `OLD..NEW` of revisions; an empty end is HEAD, as git has it. */
function sidesOf(words: readonly string[]): readonly string[] {
  const [first = "", second] = words;
  if (second !== undefined) return [first, second];
  const [old, now, ...more] = first.split("..");
  if (now === undefined || more.length > 0 || now.startsWith("."))
    throw new BulwarkError("BW_CLI_INPUT", "name two folders, two revisions, or OLD..NEW");
  return [old === "" ? "HEAD" : (old ?? ""), now === "" ? "HEAD" : now];
}

/** A folder or file that is there is itself; what else is named is a revision. */
async function load(
  side: string,
  { path }: DiffOptionsOfCommand,
  checkedOut: RevisionFolder[],
): Promise<LoadedMesh> {
  if (existsSync(side)) return loadMesh(side);
  const revision = checkOutRevision(side, path);
  checkedOut.push(revision);
  return loadMesh(path === undefined ? revision.folder : join(revision.folder, path));
}

/** What was not analysed may be anything: whoever asks for a failure is not told that all is well. */
function exitCodeFor(diff: MeshDiff, failOn: Failure | undefined): ExitCode {
  if (failOn === undefined) return EXIT.ok;
  const { changes, clients, network, notAnalysed, notCompared } = diff;
  const isFailure: Record<
    Failure,
    (change: { readonly change: string; readonly weakens?: readonly string[] }) => boolean
  > = {
    weakened: ({ weakens = [] }) => weakens.length > 0,
    widened: ({ change }) => change === "widened",
    changed: () => true,
  };
  const isUnclear = notAnalysed.length + notCompared.length > 0;
  return [...changes, ...clients, ...network].some(isFailure[failOn]) || isUnclear ? EXIT.denied : EXIT.ok;
}
