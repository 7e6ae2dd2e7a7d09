import { parentPort, workerData } from "node:worker_threads";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { openDatabase } from "./sqlite-database.ts";
import { sqliteFailure } from "./sqlite-failure.ts";
import { SqliteOperations } from "./sqlite-operations.ts";
import type { Answer, Call, FromWorker, OperationName, ToWorker } from "./sqlite-protocol.ts";

/**
 * The thread that owns the embedded database: SQLite's calls block, and a commit waits for the disk, for seconds where others keep it busy. It answers readers of a
 * batch at once and its writers when their common transaction is on the disk.
 */
const READS: ReadonlySet<OperationName> = new Set([
  "issuedPage",
  "revocationsSince",
  "revocationOf",
  "cutoffOf",
  "news",
  "read",
  "audited",
]);

const { path } = workerData as { readonly path: string };
if (parentPort === null) throw new Error("BUG: this file runs as a worker thread");
const port = parentPort;
const send = (message: FromWorker): void => port.postMessage(message);

try {
  const db = openDatabase(path);
  const operations = new SqliteOperations(db, `sqlite:${path}`);
  port.on("message", (message: ToWorker) => {
    if (message.kind === "batch") return answerBatch(message.calls);
    db.close();
    port.close();
  });
  send({ kind: "open" });

  function answerBatch(calls: readonly Call[]): void {
    const answers: Answer[] = calls.filter(({ name }) => READS.has(name)).map(answerRead);
    if (answers.length > 0) send({ kind: "answers", answers, idle: false });
    const writes = calls.filter(({ name }) => !READS.has(name));
    send({ kind: "answers", answers: writes.length === 0 ? [] : commit(writes), idle: true });
  }

  function answerRead(call: Call): Answer {
    try {
      return { id: call.id, value: perform(call) };
    } catch (error) {
      return refusal(call, error);
    }
  }

  /** One transaction for all; a call that is refused takes none of the others with it. */
  function commit(calls: readonly Call[]): readonly Answer[] {
    try {
      db.exec("BEGIN IMMEDIATE");
      const answers = calls.map(answerWrite);
      db.exec("COMMIT");
      return answers;
    } catch (error) {
      if (db.isTransaction) db.exec("ROLLBACK");
      return calls.map((call) => refusal(call, error));
    }
  }

  function answerWrite(call: Call): Answer {
    db.exec("SAVEPOINT call");
    try {
      return { id: call.id, value: perform(call) };
    } catch (error) {
      // After some failures (disk full, I/O) SQLite has already undone the whole transaction: none of the batch has happened.
      if (!db.isTransaction) throw error;
      db.exec("ROLLBACK TO call");
      return refusal(call, error);
    } finally {
      if (db.isTransaction) db.exec("RELEASE call");
    }
  }

  function perform({ name, args }: Call): unknown {
    // The types of Call tie each name to its arguments; a union of methods cannot be called without saying so.
    return (operations[name] as (...args: unknown[]) => unknown).apply(operations, [...args]);
  }
} catch (error) {
  send({ kind: "not-open", failure: failureOf(error) });
  port.close();
}

function refusal({ id }: Call, error: unknown): Answer {
  return { id, failure: failureOf(error) };
}

function failureOf(error: unknown): { readonly code: BulwarkError["code"]; readonly message: string } {
  const { code, message } = error instanceof BulwarkError ? error : sqliteFailure(error, path);
  return { code, message };
}
