/** The files of a git revision, as a folder. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BulwarkError } from "../resources/bulwark-error.ts";

export interface RevisionFolder {
  readonly folder: string;
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
const ARCHIVE_BYTES = 1 << 30;

/**
 * Unpacks a revision of the repository here.
 * @param path of the repository, relative to where we are; the whole repository where it is undefined.
 * @throws {BulwarkError} BW_CLI_INPUT where git does not know the revision or the path.
 */
export function checkOutRevision(revision: string, path: string | undefined): RevisionFolder {
  const paths = path === undefined ? [] : ["--", path];
  refuseOption(revision);
  refuseUnknown(revision);
  const archive = run("git", ["archive", "--format=tar", revision, ...paths]);
  const folder = mkdtempSync(join(tmpdir(), "bulwark-diff-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    run("tar", ["-x", "-C", folder], archive);
  } catch (error) {
    remove();
    throw error;
  }
  return { folder, remove };
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
  const { status, stdout, stderr, error } = spawnSync(command, args, { input, maxBuffer: ARCHIVE_BYTES });
  if (error !== undefined)
    throw new BulwarkError("BW_CLI_INPUT", `${command}: ${error.message}`, { cause: error });
  if (status === 0) return stdout;
  throw new BulwarkError("BW_CLI_INPUT", `${command} ${args[0]}: ${stderr.toString().trim()}`);
}
