import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { diffMesh, type WholeDiff } from "../analysis/diff/diff-mesh.ts";
import { type LoadedMesh, loadMesh } from "../index.ts";
import { buildMesh } from "../model/build-mesh.ts";
import type { Semantics } from "../policy/inbound.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type FileVersions, fileVersionsOf, isSameVersions } from "../resources/file-versions.ts";
import { isUnbuilt } from "../resources/kustomization.ts";
import { ReadFiles } from "../resources/read-files.ts";
import { watchResources } from "../resources/watch.ts";
import { keepVerdict } from "./closed-pipe.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { checkOutRevision, commonRevision, revisionHas } from "./git-revision.ts";
import { writeDecisionNotes } from "./render/decisions.ts";
import { diffJson, diffMarkdown, diffText } from "./render/diff.ts";

export const FAILURES = ["weakened", "widened", "changed"] as const;
export type Failure = (typeof FAILURES)[number];

export interface DiffOptionsOfCommand {
  readonly format: "text" | "json" | "markdown";
  readonly semantics: Semantics;
  readonly failOn?: Failure;
  readonly path?: string;
  readonly watch?: true;
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_MESH_INVALID */
export async function runDiff(words: readonly string[], options: DiffOptionsOfCommand): Promise<ExitCode> {
  if (options.watch !== true) keepVerdict();
  const sides: Side[] = [];
  const stopWaiting = options.watch === true ? () => {} : whenInterrupted(() => removeAll(sides));
  try {
    const [old, now] = sidesOf(words);
    sides.push(openSide(old, options, `${shortName(old)}:`));
    sides.push(openSide(now, options, ""));
    const [before, after] = sides;
    if (before === undefined || after === undefined) throw new Error("BUG: a difference has two sides");
    noteAbsent(before, after, options.path);
    return await (options.watch === true ? keepTelling : tell)(before, after, options);
  } finally {
    stopWaiting();
    removeAll(sides);
  }
}

function removeAll(sides: readonly Side[]): void {
  for (const side of sides) side.remove();
}

const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

/** What a signal would leave behind. @returns how to leave it to the signal again. */
function whenInterrupted(cleanUp: () => void): () => void {
  const handlers = Object.entries(SIGNALS).map(([signal, number]) => {
    const handler = (): void => {
      cleanUp();
      // As shells tell of a process that a signal ended.
      process.exit(128 + number);
    };
    process.once(signal, handler);
    return () => process.off(signal, handler);
  });
  return () => {
    for (const stop of handlers) stop();
  };
}

async function tell(before: Side, after: Side, options: DiffOptionsOfCommand): Promise<ExitCode> {
  const [old, now] = await Promise.all([before, after].map(load));
  if (old === undefined || now === undefined) throw new Error("BUG: a difference has two sides");
  const named = (text: string): string => after.named(before.named(text));
  for (const loaded of [old, now]) writeDecisionNotes(loaded, named);
  // What was unpacked has been read.
  if (options.watch !== true) removeAll([before, after]);
  const compared = await diffMesh(old.mesh, now.mesh, { semantics: options.semantics });
  const diff = withUnbuilt(withSubmodules(compared, before, after), [old, now]);
  const render = { text: diffText, json: diffJson, markdown: diffMarkdown }[options.format];
  process.stdout.write(named(render(diff)));
  return exitCodeFor(diff, options.failOn);
}

/** Submodules' files are in other repositories: those whose commit is another may have anything in them. */
function withSubmodules(diff: WholeDiff, before: Side, after: Side): WholeDiff {
  const names = [...new Set([...before.submodules.keys(), ...after.submodules.keys()])].sort();
  const changed = names.flatMap((name): WholeDiff["notCompared"] => {
    const [old, now] = [before.submodules.get(name), after.submodules.get(name)];
    if (old === now) return [];
    const change = old === undefined ? "added" : now === undefined ? "removed" : "changed";
    const span = { file: name, line: 1, column: 1, endLine: 1, endColumn: 1 };
    return [
      {
        resource: `submodule ${name}`,
        change,
        span,
        what: "files of another repository, which are not read",
      },
    ];
  });
  for (const name of names)
    process.stderr.write(`note: \`${name}\` is a submodule: its files are not read from a revision\n`);
  return { ...diff, notCompared: [...diff.notCompared, ...changed] };
}

/** What a kustomization makes of the files may be anything. */
function withUnbuilt(diff: WholeDiff, sides: readonly LoadedMesh[]): WholeDiff {
  if (!sides.some(({ warnings }) => warnings.some(isUnbuilt))) return diff;
  const workloads = [...new Set(sides.flatMap(({ mesh }) => mesh.workloads.map(({ key }) => key)))];
  const why = "a kustomization makes something else of the files: build it first";
  return { ...diff, notAnalysed: [...diff.notAnalysed, { workloads, why }] };
}

/** Again at each change of the files, until it is interrupted. */
async function keepTelling(before: Side, after: Side, options: DiffOptionsOfCommand): Promise<ExitCode> {
  const paths = [before, after].flatMap(({ path, isWatched }) => (isWatched ? [path] : []));
  if (paths.length === 0)
    throw new BulwarkError("BW_CLI_INPUT", "two revisions do not change: there is nothing to watch");
  const interrupted = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.resolve());
  const first = await fileVersionsOf(paths);
  let telling: Promise<unknown> = Promise.resolve();
  const again = (): void => {
    telling = telling.then(() => tellAgain(before, after, options));
  };
  const stop = watchResources(paths, again);
  try {
    await tell(before, after, options);
    // What was saved before the watch stood, and after it was read.
    if (!isSameVersions(first, await fileVersionsOf(paths))) again();
    await interrupted.promise;
  } finally {
    stop();
  }
  await telling;
  return EXIT.ok;
}

async function tellAgain(before: Side, after: Side, options: DiffOptionsOfCommand): Promise<void> {
  const start = performance.now();
  try {
    await tell(before, after, options);
    process.stderr.write(`compared again in ${((performance.now() - start) / 1000).toFixed(2)} s\n`);
  } catch (error) {
    // What cannot be read now may be in the midst of an edit.
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  }
}

/** `OLD NEW`; `OLD..NEW` of revisions; `OLD...NEW` from the commit that they have in common. An empty end is HEAD, as git has it. */
function sidesOf(words: readonly string[]): readonly [old: string, now: string] {
  const [first = "", second] = words;
  if (second !== undefined) return [first, second];
  const [, old = "", dots, now = ""] = /^(.*?)(\.{2,3})(.*)$/.exec(first) ?? [];
  if (dots === undefined || now.includes("..") || now.startsWith("."))
    throw new BulwarkError("BW_CLI_INPUT", "name two folders, two revisions, OLD..NEW or OLD...NEW");
  const ends = [old === "" ? "HEAD" : old, now === "" ? "HEAD" : now] as const;
  return dots === "..." ? [commonRevision(...ends), ends[1]] : ends;
}

/** Of a commit's whole name what people write. */
function shortName(revision: string): string {
  return /^[0-9a-f]{40}$/.test(revision) ? revision.slice(0, 12) : revision;
}

interface Side {
  readonly path: string;
  /** The revision, where it does not have what `--path` names: before the folder was made, or after it was removed. */
  readonly lacking?: string;
  /** Whether it is there to be edited: a revision is not. */
  readonly isWatched: boolean;
  readonly known: ReadFiles;
  /** Of a revision; each with its commit. */
  readonly submodules: ReadonlyMap<string, string>;
  /** A text with its files as the repository names them: where a revision was unpacked is nobody's business. */
  named(text: string): string;
  /** As it was last, and which files that was. */
  last?: { readonly versions: FileVersions; readonly loaded: LoadedMesh };
  remove(): void;
}

/**
 * A folder or file that is there is itself; what else is named is a revision.
 * @param prefix before the names of a revision's files.
 */
function openSide(word: string, { path }: DiffOptionsOfCommand, prefix: string): Side {
  const known = new ReadFiles();
  const asItIs = {
    known,
    submodules: new Map<string, string>(),
    named: (text: string) => text,
    remove: () => {},
  };
  if (existsSync(word)) return { ...asItIs, path: word, isWatched: true };
  if (path !== undefined && isAbsolute(path))
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `--path \`${path}\`: name it as the repository does, relative to where you are`,
    );
  if (path !== undefined && !revisionHas(word, path))
    return { ...asItIs, path, lacking: word, isWatched: false };
  const { folder, submodules, remove } = checkOutRevision(word, path);
  const named = (text: string): string =>
    text.replaceAll(`${folder}/`, prefix).replaceAll(folder, `${prefix}.`);
  return {
    path: path === undefined ? folder : join(folder, path),
    isWatched: false,
    known,
    submodules,
    named,
    remove,
  };
}

/** One revision may be without the folder; a name that nobody has is misspelt. */
function noteAbsent(before: Side, after: Side, path = ""): void {
  const lacking = [before, after].flatMap((side) => side.lacking ?? []);
  if (lacking.length === 0) return;
  const isBesideFiles = [before, after].some(({ isWatched }) => isWatched);
  const isKnown = lacking.length === 1 && (!isBesideFiles || existsSync(path));
  if (!isKnown)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `${lacking.map(shortName).join(" and ")}: there is no \`${path}\``,
    );
  for (const revision of lacking)
    process.stderr.write(
      `note: ${shortName(revision)} has no \`${path}\`: it is compared as an empty mesh\n`,
    );
}

const EMPTY: LoadedMesh = {
  mesh: buildMesh([]),
  rejected: [],
  warnings: [],
  stockGateways: [],
  files: [],
};

async function load(side: Side): Promise<LoadedMesh> {
  if (side.lacking !== undefined) return EMPTY;
  const { path, known, last } = side;
  const versions = await fileVersionsOf([path]);
  if (last !== undefined && isSameVersions(last.versions, versions)) return last.loaded;
  const loaded = await loadMesh(path, { known }).catch((error: unknown) => {
    if (!(error instanceof BulwarkError)) throw error;
    throw new BulwarkError(error.code, side.named(error.message), { cause: error });
  });
  side.last = { versions, loaded };
  return loaded;
}

/** What was not analysed may be anything: whoever asks for a failure is not told that all is well. */
function exitCodeFor(diff: WholeDiff, failOn: Failure | undefined): ExitCode {
  if (failOn === undefined) return EXIT.ok;
  const { changes, clients, proxies, network, notAnalysed, notCompared } = diff;
  const isFailure: Record<
    Failure,
    (change: { readonly change: string; readonly weakens?: readonly string[] }) => boolean
  > = {
    weakened: ({ weakens = [] }) => weakens.length > 0,
    widened: ({ change }) => change === "widened",
    changed: () => true,
  };
  const isUnclear = notAnalysed.length + notCompared.length > 0;
  return [...changes, ...clients, ...proxies, ...network].some(isFailure[failOn]) || isUnclear
    ? EXIT.denied
    : EXIT.ok;
}
