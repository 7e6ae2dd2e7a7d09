import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Diagnostic } from "./diagnostic.ts";

/** Above this a file is not read: one string of Node holds no more than 512 MiB. */
export const MAX_FILE_BYTES = 256 * 1024 * 1024;
/** And the one name without an end that kustomize knows. */
const MANIFEST = /(\.(ya?ml|json)|^Kustomization)$/i;

/**
 * The files that `paths` name: files as they are, folders with all their YAML and JSON files, sorted by name. Names that
 * start with a dot are passed over (`.git`, and the `..data` of a mounted ConfigMap); symbolic links are followed once.
 */
export async function listFiles(
  paths: readonly string[],
  report: (problem: Diagnostic) => void,
): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    const kind = await kindOf(path, report);
    if (kind === "file") files.push(path);
    if (kind !== "folder") continue;
    const found = await walk(path, report);
    if (found.length === 0) report(noManifests(path));
    for (const file of found.sort()) files.push(file);
  }
  return [...new Set(files)];
}

async function walk(root: string, report: (problem: Diagnostic) => void): Promise<string[]> {
  const files: string[] = [];
  const visited = new Set<string>();
  const pending = [root];
  for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
    const real = await attempt(folder, () => realpath(folder as string), report);
    if (real === undefined) continue;
    if (visited.has(real)) {
      report(loop(folder));
      continue;
    }
    visited.add(real);
    const names = (await attempt(folder, () => readdir(folder as string), report)) ?? [];
    for (const name of names) {
      if (name.startsWith(".")) continue;
      const path = join(folder, name);
      const kind = await kindOf(path, report, MANIFEST.test(name));
      if (kind === "folder") pending.push(path);
      else if (kind === "file" && MANIFEST.test(name)) files.push(path);
    }
  }
  return files;
}

async function kindOf(
  path: string,
  report: (problem: Diagnostic) => void,
  matters = true,
): Promise<"file" | "folder" | "other"> {
  const info = await attempt(path, () => stat(path), matters ? report : () => {});
  if (info === undefined) return "other";
  if (info.isDirectory()) return "folder";
  if (info.isFile()) return "file";
  if (matters) report(unreadable(path, "it is neither a file nor a folder"));
  return "other";
}

async function attempt<T>(
  path: string,
  action: () => Promise<T>,
  report: (problem: Diagnostic) => void,
): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    report(unreadable(path, systemReason(error)));
    return undefined;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  EACCES: "this user may not read it",
  EPERM: "this user may not read it",
  ELOOP: "its symbolic links lead in a circle",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of its path is no folder",
  EMFILE: "too many files are open",
};

export function systemReason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
  return REASONS[code] ?? code;
}

export function unreadable(path: string, reason: string): Diagnostic {
  return {
    code: "BW1001_UNREADABLE",
    severity: "error",
    message: `cannot read \`${path}\`: ${reason}`,
    span: wholeFile(path),
    help: "check the path and its permissions",
  };
}

function loop(path: string): Diagnostic {
  return {
    code: "BW1016_SYMLINK_LOOP",
    severity: "warning",
    message: `\`${path}\` leads to a folder that was read already; it is passed over`,
    span: wholeFile(path),
    help: "remove the symbolic link, or name the folder once",
  };
}

function noManifests(path: string): Diagnostic {
  return {
    code: "BW1017_NO_MANIFESTS",
    severity: "warning",
    message: `no .yaml, .yml or .json file in \`${path}\``,
    span: wholeFile(path),
    help: "name the folder that holds the manifests",
  };
}

/** The span of a problem that concerns a file as a whole. */
export function wholeFile(file: string): { file: string; line: 1; column: 1; endLine: 1; endColumn: 1 } {
  return { file, line: 1, column: 1, endLine: 1, endColumn: 1 };
}
