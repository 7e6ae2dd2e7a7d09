import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hashOf, type ImportGraph } from "./imports.ts";
import type { Mutant } from "./instrument.ts";
import type { Outcome, Status } from "./outcome.ts";

/** Changes whenever results of before may be wrong: operators, how tests are run. */
const VERSION = 1;

interface StoredOutcome {
  readonly status: Status;
  readonly killedBy?: { readonly file: string; readonly name: string };
  readonly thorough?: boolean;
  /** Of the tests that said so: the one that failed, or all that could have. */
  readonly tests: string;
}

interface StoredFile {
  readonly version: number;
  readonly source: string;
  readonly outcomes: Readonly<Record<string, StoredOutcome>>;
}

/**
 * Outcomes of earlier runs, a file for each source file, replaced whole: several runs at once do no harm. An outcome holds as long as
 * its source file is the same, and the test that killed the mutant (or, for a survivor, every test that imports the source) is.
 * A change of another source file does not count, as in Stryker's incremental mode: `--force` tries everything again.
 */
export class ResultCache {
  readonly #folder: string;
  readonly #graph: ImportGraph;
  readonly #testFiles: readonly string[];

  readonly #thorough: boolean;

  /** @param thorough survivors of runs that were not thorough have no outcome yet. */
  constructor(folder: string, graph: ImportGraph, testFiles: readonly string[], thorough: boolean) {
    this.#thorough = thorough;
    this.#folder = folder;
    this.#graph = graph;
    this.#testFiles = testFiles;
    mkdirSync(folder, { recursive: true });
  }

  /** Outcomes that still hold, by the mutant's id. */
  read(file: string, source: string, mutants: readonly Mutant[]): Map<number, Outcome> {
    const stored = this.#stored(file);
    const found = new Map<number, Outcome>();
    if (stored?.version !== VERSION || stored.source !== hashOf(source)) return found;
    const whole = this.#testsOf(file);
    for (const mutant of mutants) {
      const outcome = stored.outcomes[keyOf(mutant)];
      // What is left out is decided anew each time.
      if (outcome === undefined || outcome.status === "left-out") continue;
      const { status, killedBy, tests, thorough } = outcome;
      if (this.#thorough && status === "survived" && thorough !== true) continue;
      const now = killedBy === undefined ? whole : this.#fingerprint(killedBy.file);
      if (now === tests)
        found.set(mutant.id, {
          mutant,
          status,
          ...(killedBy && { killedBy }),
          ...(thorough && { thorough }),
        });
    }
    return found;
  }

  write(file: string, source: string, outcomes: readonly Outcome[]): void {
    const whole = this.#testsOf(file);
    const entries = outcomes.map(({ mutant, status, killedBy, thorough }): [string, StoredOutcome] => [
      keyOf(mutant),
      {
        status,
        ...(killedBy && { killedBy }),
        ...(thorough && { thorough }),
        tests: killedBy === undefined ? whole : this.#fingerprint(killedBy.file),
      },
    ]);
    const stored: StoredFile = {
      version: VERSION,
      source: hashOf(source),
      outcomes: Object.fromEntries(entries),
    };
    const path = this.#pathOf(file);
    writeFileSync(`${path}.${process.pid}`, JSON.stringify(stored));
    renameSync(`${path}.${process.pid}`, path);
  }

  /** Test files that could see a mutant of the file. */
  #testsOf(file: string): string {
    const own = this.#testFiles.filter((test) => this.#graph.of(test).has(file));
    return hashOf(own.map((test) => `${test} ${this.#fingerprint(test)}`).join("\n"));
  }

  #fingerprint(test: string): string {
    return this.#testFiles.includes(test) ? this.#graph.fingerprint(test) : "gone";
  }

  #pathOf(file: string): string {
    return join(this.#folder, `${file.replaceAll("/", "__")}.json`);
  }

  #stored(file: string): StoredFile | undefined {
    try {
      return JSON.parse(readFileSync(this.#pathOf(file), "utf8")) as StoredFile;
    } catch {
      // Not there yet, or of another version.
      return undefined;
    }
  }
}

function keyOf({ operator, line, column, original, replacement }: Mutant): string {
  return `${operator} ${line}:${column} ${hashOf(`${original}\0${replacement}`)}`;
}
