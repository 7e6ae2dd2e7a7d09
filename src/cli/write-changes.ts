import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { manifestYaml, type ResourceChange } from "../analysis/tighten/manifest.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";

/** In the order in which they are to be applied, so that nothing is refused in between that is let through at the end. */
const FOLDERS = { add: "1-add", replace: "2-replace", delete: "3-delete" } as const;

/** @throws {BulwarkError} BW_CLI_INPUT where the folder holds something already. */
export function checkOutFolder(folder: string): void {
  let entries: readonly string[];
  try {
    entries = readdirSync(folder);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return;
    throw new BulwarkError("BW_CLI_INPUT", `\`${folder}\` is no folder that can be written`, { cause });
  }
  if (entries.length > 0)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `\`${folder}\` is not empty: name a new folder, so that nothing of another run stays in it`,
    );
}

/** A file for each resource. @returns how many. */
export function writeChanges(folder: string, changes: readonly ResourceChange[]): number {
  for (const [at, { action, manifest }] of changes.entries()) {
    const { kind, metadata } = manifest;
    const under = join(folder, FOLDERS[action]);
    const name = [kind.toLowerCase(), metadata.namespace, metadata.name]
      .join("-")
      .slice(0, 200)
      .replace(/[^a-z0-9.-]/g, "-");
    mkdirSync(under, { recursive: true });
    // Two names may be alike once they are a file's.
    writeFileSync(join(under, `${name}-${at}.yaml`), manifestYaml(manifest), { flag: "wx" });
  }
  return changes.length;
}
