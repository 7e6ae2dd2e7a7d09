import type { DatabaseSync } from "node:sqlite";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { failureOf, SqliteBatches } from "./sqlite-batches.ts";
import { openDatabase } from "./sqlite-database.ts";
import type { FromWorker, ToWorker } from "./sqlite-protocol.ts";

/**
 * The thread that owns the embedded database: SQLite's calls block, and a commit waits for the disk, for seconds where others keep it busy.
 */
const { path } = workerData as { readonly path: string };
if (parentPort === null) throw new Error("BUG: this file runs as a worker thread");
run(parentPort);

function run(port: MessagePort): void {
  const send = (message: FromWorker): void => port.postMessage(message);
  try {
    serve(openDatabase(path), port, send);
    send({ kind: "open" });
  } catch (error) {
    send({ kind: "not-open", failure: failureOf(error, path) });
    port.close();
  }
}

function serve(db: DatabaseSync, port: MessagePort, send: (message: FromWorker) => void): void {
  const batches = new SqliteBatches(db, path);
  port.on("message", (message: ToWorker) => {
    if (message.kind === "batch") batches.answer(message.calls, send);
    else {
      db.close();
      port.close();
    }
  });
}
