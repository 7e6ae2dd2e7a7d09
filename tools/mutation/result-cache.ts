import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hashOf, type ImportGraph } from "./imports.ts";
import type { Mutant } from "./instrument.ts";
import type { Outcome, Status } from "./outcome.ts";

/** Changes whenever results of before may be wrong: operators, how tests are run. */
const VERSION = 2;

/** In place of a fingerprint: to be tried again, whatever made it fail. */
const BROKEN = "broken";

interface StoredOutcome {
  readonly status: Status;
  readonly killedBy?: { readonly file: string; readonly name: string };
  readonly thorough?: boolean;
  /** Fingerprint of the test file that failed, or the name of the edition of all tests that passed. */
  readonly tests: string;
}

interface StoredFile {
  readonly version: number;
  readonly source: string;
  readonly outcomes: Readonly<Record<string, StoredOutcome>>;
  /** Fingerprints of the test files, by name, of each edition of the tests that an outcome names. */
  readonly editions: Readonly<Record<string, Edition>>;
}

type Edition = Readonly<Record<string, string>>;

/** What earlier runs found out. */
export interface Known {
  /** What still holds, by the mutant's id. */
  readonly outcomes: ReadonlyMap<number, Outcome>;
  /** Mutants that survived tests which are the same still: the test files that have changed since, by the mutant's id. */
  readonly changedTests: ReadonlyMap<number, ReadonlySet<string>>;
}

/**
 * Outcomes of earlier runs, a file for each source file, replaced whole: several runs at once do no harm. An outcome holds as long as
 * its source file is the same, and the test that killed the mutant is; a survivor has to be tried with tests that have changed only.
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

  read(file: string, source: string, mutants: readonly Mutant[]): Known {
    const stored = this.#stored(file);
    const outcomes = new Map<number, Outcome>();
    const changedTests = new Map<number, ReadonlySet<string>>();
    if (stored?.version !== VERSION || stored.source !== hashOf(source)) return { outcomes, changedTests };
    for (const mutant of mutants) {
      const outcome = stored.outcomes[keyOf(mutant)];
      // What is left out is decided anew each time.
      if (outcome === undefined || outcome.status === "left-out") continue;
      const { status, killedBy, tests, thorough } = outcome;
      if (this.#thorough && status === "survived" && thorough !== true) continue;
      const isSurvivor = status === "survived" || status === "unreached";
      const changed = isSurvivor ? this.#changedSince(stored.editions[tests]) : new Set<string>();
      if (changed.size > 0) changedTests.set(mutant.id, changed);
      else if (isSurvivor || this.#fingerprint(killedBy?.file ?? "") === tests)
        outcomes.set(mutant.id, {
          mutant,
          status,
          ...(killedBy && { killedBy }),
          ...(thorough && { thorough }),
        });
    }
    return { outcomes, changedTests };
  }

  /**
   * @param untried what this run did not come to: it stands as it did.
   * @param isBroken test files of which not all took part.
   */
  write(
    file: string,
    source: string,
    outcomes: readonly Outcome[],
    untried: readonly Mutant[],
    isBroken: (test: string) => boolean,
  ): void {
    const edition: Edition = Object.fromEntries(
      this.#testFiles.map((test) => [test, isBroken(test) ? BROKEN : this.#fingerprint(test)]),
    );
    const name = hashOf(JSON.stringify(edition));
    const entries = outcomes.map(({ mutant, status, killedBy, thorough }): [string, StoredOutcome] => [
      keyOf(mutant),
      {
        status,
        ...(killedBy && { killedBy }),
        ...(thorough && { thorough }),
        tests:
          status === "survived" || status === "unreached" ? name : this.#fingerprint(killedBy?.file ?? ""),
      },
    ]);
    const before = this.#stored(file);
    const current = before?.version === VERSION && before.source === hashOf(source) ? before : undefined;
    const kept = untried.flatMap((mutant): [string, StoredOutcome][] => {
      const outcome = current?.outcomes[keyOf(mutant)];
      return outcome === undefined ? [] : [[keyOf(mutant), outcome]];
    });
    const all = Object.fromEntries([...kept, ...entries]);
    const named = new Set(Object.values(all).map(({ tests }) => tests));
    const editions = Object.entries({ ...current?.editions, [name]: edition }).filter(([own]) =>
      named.has(own),
    );
    const stored: StoredFile = {
      version: VERSION,
      source: hashOf(source),
      outcomes: all,
      editions: Object.fromEntries(editions),
    };
    const path = this.#pathOf(file);
    writeFileSync(`${path}.${process.pid}`, JSON.stringify(stored));
    renameSync(`${path}.${process.pid}`, path);
  }

  /** Test files that are new or not the same any more: all of them where nothing is known. */
  #changedSince(edition: Edition = {}): ReadonlySet<string> {
    return new Set(this.#testFiles.filter((test) => edition[test] !== this.#fingerprint(test)));
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
