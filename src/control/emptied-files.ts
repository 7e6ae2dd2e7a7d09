import type { Diagnostic } from "../resources/diagnostic.ts";
import { wholeFile } from "../resources/list-files.ts";
import { type Resource, resourceName } from "../resources/resource.ts";

/** So many of a file's resources are named. */
const NAMED = 5;

/**
 * Files that held resources of the configuration in force and hold nothing now. A save that was cut off (a full disk, an
 * editor that was killed) leaves exactly that; nobody takes a policy back by emptying its file.
 */
export function emptiedFiles(
  current: readonly Resource[],
  blankFiles: readonly string[],
): readonly Diagnostic[] {
  return blankFiles.flatMap((file) => {
    const held = current.filter((resource) => resource.file === file).map(resourceName);
    return held.length === 0 ? [] : [emptied(file, held)];
  });
}

function emptied(file: string, held: readonly string[]): Diagnostic {
  const more = held.length > NAMED ? ` and ${held.length - NAMED} more` : "";
  return {
    code: "BW0904_FILE_EMPTIED",
    severity: "error",
    message: `the file is empty now; it held ${held.slice(0, NAMED).join(", ")}${more}`,
    span: wholeFile(file),
    help: "save it again; to take back what it held, remove the file, or leave a comment in it",
  };
}
