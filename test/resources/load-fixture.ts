import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Diagnostic } from "../../src/resources/diagnostic.ts";
import { type LoadedResources, loadResources } from "../../src/resources/load.ts";

/** Runs an action with a folder that is removed afterwards. */
export async function inFolder<T>(action: (folder: string) => Promise<T> | T): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-resources-"));
  try {
    return await action(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Loads texts as files of one folder. */
export function loadTexts(files: Readonly<Record<string, string | Uint8Array>>): Promise<LoadedResources> {
  return inFolder((folder) => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    return loadResources([folder]);
  });
}

export function loadText(text: string | Uint8Array): Promise<LoadedResources> {
  return loadTexts({ "mesh.yaml": text });
}

/** Every problem there is, of files and of resources. */
export function problemsOf(loaded: LoadedResources): Diagnostic[] {
  return [...loaded.diagnostics, ...loaded.rejected.flatMap(({ errors }) => errors)];
}

/** `CODE line:column` of every problem: what most tests are about. */
export function placesOf(loaded: LoadedResources): string[] {
  return problemsOf(loaded).map(({ code, span }) => `${code} ${span?.line}:${span?.column}`);
}
