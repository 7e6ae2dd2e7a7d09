import { statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { PRIVATE_FOLDERS } from "./private-folders.ts";

/** The folder that this program is installed in, its packages included. */
const PROGRAM_FOLDER = resolve(import.meta.dirname, "../../..");
/** Where a pod finds it that cannot get to it by its own path. */
export const PROGRAM_IN_POD = "/run/program";

const OTHERS_READ = 0o004;
const OTHERS_ENTER = 0o001;

/** The program's folder where other users cannot enter one of those above it, as in root's home, or pods have another in its place; undefined where they can. */
export function hiddenProgramFolder(): string | undefined {
  return isReachable(PROGRAM_FOLDER) ? undefined : PROGRAM_FOLDER;
}

/** A word of a command line, or of the environment, as a pod has to have it. */
export function inPodPath(word: string): string {
  return hiddenProgramFolder() !== undefined && word.startsWith(`${PROGRAM_FOLDER}/`)
    ? `${PROGRAM_IN_POD}${word.slice(PROGRAM_FOLDER.length)}`
    : word;
}

/** Why proxies that run as other users could not load this program; undefined when they could. */
export function whyNotRunnable(): string | undefined {
  const main = join(PROGRAM_FOLDER, "src/cli/main.ts");
  if ((statSync(main).mode & OTHERS_READ) === 0)
    return `other users may not read this program (\`chmod -R o+rX ${PROGRAM_FOLDER}\`)`;
  const node = process.execPath;
  if (!node.startsWith(`${PROGRAM_FOLDER}/`) && !isReachable(dirname(node)))
    return `other users may not run ${node}: run \`npm ci\`, which brings a Node of its own`;
  return undefined;
}

function isReachable(folder: string): boolean {
  if (PRIVATE_FOLDERS.some((own) => folder === own || folder.startsWith(`${own}/`))) return false;
  for (let at = folder; ; at = dirname(at)) {
    if ((statSync(at).mode & OTHERS_ENTER) === 0) return false;
    if (at === dirname(at)) return true;
  }
}
