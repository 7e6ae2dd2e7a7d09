import { stat } from "node:fs/promises";
import { listFiles } from "./list-files.ts";

/** Which files there are under some paths, and which version of each. */
export interface FileVersions {
  readonly files: ReadonlyMap<string, FileVersion>;
  /** What cannot be read is part of it: that it can be read later is a change. */
  readonly problems: string;
}

export interface FileVersion {
  /** Another one after every write that the file system can tell: inode, size and times. */
  readonly version: string;
  readonly sizeBytes: number;
}

const GONE: FileVersion = { version: "gone", sizeBytes: 0 };

/** Looks at files and folders, as `loadResources` names them. Never rejects. */
export async function fileVersionsOf(paths: readonly string[]): Promise<FileVersions> {
  const problems: string[] = [];
  const names = await listFiles(paths, (problem) => problems.push(problem.message));
  const files = new Map<string, FileVersion>();
  for (const name of names) {
    files.set(
      name,
      await stat(name, { bigint: true }).then(
        ({ ino, size, mtimeNs, ctimeNs }) => ({
          version: `${ino} ${size} ${mtimeNs} ${ctimeNs}`,
          sizeBytes: Number(size),
        }),
        () => GONE,
      ),
    );
  }
  return { files, problems: problems.join("\n") };
}

export function isSameVersions(a: FileVersions, b: FileVersions): boolean {
  if (a.problems !== b.problems || a.files.size !== b.files.size) return false;
  for (const [name, { version }] of a.files) if (b.files.get(name)?.version !== version) return false;
  return true;
}

/** Whether anything has less in it than before, or nothing: as in the middle of a save that truncates first. */
export function hasShrunk(before: FileVersions, after: FileVersions): boolean {
  if (before.problems !== after.problems) return true;
  for (const [name, { sizeBytes }] of before.files) {
    const now = after.files.get(name);
    if (now === undefined || now.sizeBytes < sizeBytes) return true;
  }
  for (const { sizeBytes } of after.files.values()) if (sizeBytes === 0) return true;
  return false;
}
