/** The files of a git revision, as a folder. */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { BulwarkError } from "../resources/bulwark-error.ts";

export interface RevisionFolder {
  readonly folder: string;
  /** Submodules, and which commit of theirs it names: their files are in other repositories. */
  readonly submodules: ReadonlyMap<string, string>;
  remove(): void;
}

/**
 * The commit that two revisions have in common: what the second has changed since is seen from there.
 * @throws {BulwarkError} BW_CLI_INPUT where git knows of none.
 */
export function commonRevision(first: string, second: string): string {
  for (const revision of [first, second]) refuseOption(revision);
  const { status, stdout, stderr } = spawnSync("git", ["merge-base", first, second], { encoding: "utf8" });
  if (status === 0) return stdout.trim();
  const why = stderr.trim() === "" ? "they have no commit in common here" : stderr.trim();
  throw new BulwarkError(
    "BW_CLI_INPUT",
    `${first}...${second}: ${why} (in CI, fetch the whole history: fetch-depth: 0)`,
  );
}

/** An option that is made of a revision's name would be git's own. */
function refuseOption(revision: string): void {
  if (revision.startsWith("-")) throw new BulwarkError("BW_CLI_INPUT", `\`${revision}\` is no revision`);
}

/** Whoever misspells a folder should not have to read git's errors. */
function refuseUnknown(revision: string): void {
  const { status, stderr, error } = spawnSync(
    "git",
    ["rev-parse", "--verify", "--quiet", `${revision}^{tree}`],
    {
      encoding: "utf8",
    },
  );
  if (status === 0) return;
  const why = error === undefined ? stderr.trim() : error.message;
  throw new BulwarkError(
    "BW_CLI_INPUT",
    `\`${revision}\` is no file or folder here, and no revision that git knows${why === "" ? "" : ` (${why})`}`,
  );
}

/** More than a repository of configuration has. */
const REVISION_BYTES = 1 << 30;

/**
 * Writes the files of a revision of the repository here into a folder of their own: its blobs as they are. What `.gitattributes` says of them
 * is not heeded: a change could hide its own files by it (`export-ignore`).
 * @param path of the repository, relative to where we are; all that is here where it is undefined.
 * @throws {BulwarkError} BW_CLI_INPUT where git does not know the revision or the path, or a link leads out of it.
 */
export function checkOutRevision(revision: string, path: string | undefined): RevisionFolder {
  refuseOption(revision);
  refuseUnknown(revision);
  const entries = entriesOf(revision, path);
  const folder = mkdtempSync(join(tmpdir(), "bulwark-diff-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    writeEntries(revision, entries, folder);
  } catch (error) {
    remove();
    throw error;
  }
  const submodules = new Map(
    entries.filter(({ mode }) => mode === SUBMODULE).map(({ name, object }) => [name, object]),
  );
  return { folder, submodules, remove };
}

const SUBMODULE = "160000";
const LINK = "120000";

interface TreeEntry {
  readonly mode: string;
  readonly object: string;
  /** Relative to where we are. */
  readonly name: string;
}

function entriesOf(revision: string, path: string | undefined): readonly TreeEntry[] {
  const listed = run("git", ["ls-tree", "-r", "-z", revision, ...(path === undefined ? [] : ["--", path])]);
  return listed
    .toString()
    .split("\0")
    .flatMap((line) => {
      const [, mode = "", object = "", name = ""] = /^(\d+) \w+ ([0-9a-f]+)\t(.+)$/s.exec(line) ?? [];
      if (mode === "") return [];
      // No tree that git makes has such names; one that was made by hand may.
      if (name.split("/").some((part) => part === "" || part === ".."))
        throw new BulwarkError(
          "BW_CLI_INPUT",
          `${revision}: \`${name}\` is no path inside of the repository`,
        );
      return [{ mode, object, name }];
    });
}

function writeEntries(revision: string, entries: readonly TreeEntry[], folder: string): void {
  const files = entries.filter(({ mode }) => mode !== SUBMODULE);
  const contents = blobsOf(files.map(({ object }) => object));
  const written = files.toSorted((one, other) => Number(one.mode === LINK) - Number(other.mode === LINK));
  for (const { mode, name, object } of written) {
    const file = join(folder, name);
    const content = contents.get(object);
    if (content === undefined)
      throw new BulwarkError("BW_CLI_INPUT", `${revision}: \`${name}\` cannot be read`);
    mkdirSync(dirname(file), { recursive: true });
    if (mode === LINK) linkInside(revision, folder, name, content.toString());
    else writeFileSync(file, content);
  }
  // Several links together may lead where none does alone.
  const root = realpathSync.native(folder);
  for (const { mode, name } of files) {
    const file = join(folder, name);
    if (mode !== LINK || !existsSync(file)) continue;
    if (!`${realpathSync.native(file)}/`.startsWith(`${root}/`)) throw leadsOut(revision, name, "…");
  }
}

/** A link to what is not in the revision would be read from this machine. */
function linkInside(revision: string, folder: string, name: string, target: string): void {
  const file = join(folder, name);
  const led = relative(folder, resolve(dirname(file), target));
  if (isAbsolute(target) || led === ".." || led.startsWith("../")) throw leadsOut(revision, name, target);
  symlinkSync(target, file);
}

function leadsOut(revision: string, name: string, target: string): BulwarkError {
  return new BulwarkError(
    "BW_CLI_INPUT",
    `${revision}: \`${name}\` is a link to \`${target}\`, outside of what is compared: compare a folder that has both`,
  );
}

/** @param objects names of blobs. */
function blobsOf(objects: readonly string[]): ReadonlyMap<string, Buffer> {
  const wanted = [...new Set(objects)];
  const contents = new Map<string, Buffer>();
  if (wanted.length === 0) return contents;
  const told = run("git", ["cat-file", "--batch"], Buffer.from(`${wanted.join("\n")}\n`));
  let at = 0;
  for (const object of wanted) {
    const end = told.indexOf("\n", at);
    const [, kind, size] = told.subarray(at, end).toString().split(" ");
    at = end + 1;
    if (kind !== "blob") continue;
    contents.set(object, told.subarray(at, at + Number(size)));
    at += Number(size) + 1;
  }
  return contents;
}

/**
 * Whether the revision has the file or folder; one before it was made has not.
 * @param path of the repository, relative to where we are.
 * @throws {BulwarkError} BW_CLI_INPUT where git does not know the revision.
 */
export function revisionHas(revision: string, path: string): boolean {
  refuseOption(revision);
  refuseUnknown(revision);
  return run("git", ["ls-tree", "--name-only", revision, "--", path]).length > 0;
}

function run(command: string, args: readonly string[], input?: Buffer): Buffer {
  const { status, stdout, stderr, error } = spawnSync(command, args, { input, maxBuffer: REVISION_BYTES });
  if (error !== undefined)
    throw new BulwarkError("BW_CLI_INPUT", `${command}: ${error.message}`, { cause: error });
  if (status === 0) return stdout;
  throw new BulwarkError("BW_CLI_INPUT", `${command} ${args[0]}: ${stderr.toString().trim()}`);
}
