import type { DatabaseSync } from "node:sqlite";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { sqliteFailure } from "./sqlite-failure.ts";
import { SqliteOperations } from "./sqlite-operations.ts";
import type { Answer, Call, Failure, FromWorker, OperationName } from "./sqlite-protocol.ts";

const READS: ReadonlySet<OperationName> = new Set([
  "issuedPage",
  "revocationsSince",
  "revocationOf",
  "revokedKeysSince",
  "cutoffOf",
  "cutoffs",
  "news",
  "read",
  "audited",
]);

/** Answers batches of calls: readers at once, writers when their common transaction is on the disk. */
export class SqliteBatches {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #operations: SqliteOperations;

  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#path = path;
    this.#operations = new SqliteOperations(db, `sqlite:${path}`);
  }

  answer(calls: readonly Call[], send: (message: FromWorker) => void): void {
    const answers = calls.filter(({ name }) => READS.has(name)).map((call) => this.#attempt(call));
    const writes = calls.filter(({ name }) => !READS.has(name));
    if (writes.length > 0 && answers.length > 0) send({ kind: "answers", answers, idle: false });
    send({ kind: "answers", answers: writes.length > 0 ? this.#commit(writes) : answers, idle: true });
  }

  /** One transaction for all; a call that is refused takes none of the others with it. */
  #commit(calls: readonly Call[]): readonly Answer[] {
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      const answers = calls.map((call) => this.#inSavepoint(call));
      this.#db.exec("COMMIT");
      return answers;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      return calls.map(({ id }) => ({ id, failure: failureOf(error, this.#path) }));
    }
  }

  #inSavepoint(call: Call): Answer {
    this.#db.exec("SAVEPOINT call");
    const answer = this.#attempt(call);
    // After some failures (disk full, I/O) SQLite has already undone the whole transaction: none of the batch has happened.
    if ("failure" in answer) {
      if (!this.#db.isTransaction) throw new BulwarkError(answer.failure.code, answer.failure.message);
      this.#db.exec("ROLLBACK TO call");
    }
    this.#db.exec("RELEASE call");
    return answer;
  }

  #attempt({ id, name, args }: Call): Answer {
    try {
      // The types of Call tie each name to its arguments; a union of methods cannot be called without saying so.
      const operation = this.#operations[name] as (...args: unknown[]) => unknown;
      return { id, value: operation.apply(this.#operations, [...args]) };
    } catch (error) {
      return { id, failure: failureOf(error, this.#path) };
    }
  }
}

/** For the way to another thread. */
export function failureOf(error: unknown, path: string): Failure {
  const { code, message } = error instanceof BulwarkError ? error : sqliteFailure(error, path);
  return { code, message };
}
