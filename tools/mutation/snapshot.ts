import { cpSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ImportGraph } from "./imports.ts";

const CACHE = ".cache/mutation";

/** A copy of the code as it is now, which nobody edits while mutants run: `.cache/mutation/run-PID`, removed at the end. */
export class Snapshot {
  readonly folder: string;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
    removeAbandoned(join(root, CACHE));
    this.folder = join(root, CACHE, `run-${process.pid}`);
    mkdirSync(this.folder, { recursive: true });
    for (const part of ["src", "test/policy"])
      cpSync(join(root, part), join(this.folder, part), { recursive: true });
    this.#copyImported();
  }

  /** What tests import from elsewhere, as the corpora's runners and other rooms' fixtures. */
  #copyImported(): void {
    const graph = new ImportGraph((file) => readFileSync(join(this.#root, file), "utf8"));
    const imported = this.files("test/policy/**/*.ts").flatMap((file) => [...graph.of(file)]);
    for (const file of new Set(imported))
      if (!file.startsWith("src/") && !file.startsWith("test/policy/"))
        cpSync(join(this.#root, file), join(this.folder, file));
  }

  /** Files that match, relative to the repository, in a fixed order. */
  files(pattern: string): string[] {
    return globSync(pattern, { cwd: this.folder }).sort();
  }

  read(file: string): string {
    return readFileSync(join(this.folder, file), "utf8");
  }

  /** Puts mutants into a file of the copy. What tests compare by text, the original's, is read from the repository. */
  write(file: string, code: string): void {
    writeFileSync(join(this.folder, file), code);
  }

  get root(): string {
    return this.#root;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Copies of runs that were killed. */
function removeAbandoned(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) {
    const pid = /^run-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid)))
      rmSync(join(folder, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
