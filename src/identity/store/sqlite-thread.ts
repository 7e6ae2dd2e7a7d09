import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { SqliteOperations } from "./sqlite-operations.ts";
import type { Answer, Call, FromWorker, OperationName, ToWorker } from "./sqlite-protocol.ts";
import { storeClosed, storeError, tooManyWaiting } from "./store-failure.ts";

/** A burst waits for the disk together; past this the CA refuses instead of growing. */
const MAX_WAITING = 20_000;
/** Calls of one transaction: what is waited for stays bounded, and so does the message. */
const MAX_BATCH = 250;
/** The records' thread needs little; more would be a fault, and must not take the process with it. */
const HEAP_MB = 128;

const ENDED = {
  code: "BW_CA_STORE_UNAVAILABLE",
  message: "the thread of the CA's records ended; start the process again",
} as const;

interface Pending {
  readonly call: Call;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: BulwarkError) => void;
}

/** A thread has a compile cache only by its environment: without it, it loads the type stripper (25 MB). */
function compileCache(): { readonly NODE_COMPILE_CACHE?: string } {
  const folder = getCompileCacheDir();
  // Below the folder that was named there is one for each version of Node.
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: dirname(folder) };
}

/** The caller's side of the thread that owns an embedded database: batches what arrives while the thread is at work. */
export class SqliteThread {
  readonly #path: string;
  readonly #worker: Worker;
  readonly #underWay = new Map<number, Pending>();
  readonly #ended = Promise.withResolvers<void>();
  #waiting: Pending[] = [];
  #lastId = 0;
  #busy = false;
  #closing = false;
  #lost: BulwarkError | undefined;

  private constructor(path: string, worker: Worker) {
    this.#path = path;
    this.#worker = worker;
    worker.on("message", (message: FromWorker) => this.#receive(message));
    worker.on("error", (error) => this.#lose(error));
    worker.on("exit", () => this.#lose());
    worker.unref();
  }

  /** @throws {BulwarkError} those of openDatabase. */
  static async open(path: string): Promise<SqliteThread> {
    const worker = new Worker(new URL("./sqlite-worker.ts", import.meta.url), {
      workerData: { path },
      name: "ca-records",
      // What this process was started with may not suit a file (`--eval`, `--input-type`).
      execArgv: ["--disable-warning=ExperimentalWarning"],
      env: { ...process.env, ...compileCache() },
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    const opened = await new Promise<FromWorker>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      worker.once("exit", () => resolve({ kind: "not-open", failure: ENDED }));
    });
    if (opened.kind === "not-open") throw new BulwarkError(opened.failure.code, opened.failure.message);
    return new SqliteThread(path, worker);
  }

  call<K extends OperationName>(
    name: K,
    ...args: Parameters<SqliteOperations[K]>
  ): Promise<ReturnType<SqliteOperations[K]>> {
    const store = `sqlite:${this.#path}`;
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    if (this.#closing) return Promise.reject(storeClosed(store));
    if (this.#waiting.length >= MAX_WAITING) return Promise.reject(tooManyWaiting(store));
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.push({ call: { id: ++this.#lastId, name, args }, resolve, reject });
    // What else this turn of the event loop brings shares the transaction.
    if (!this.#busy) queueMicrotask(() => this.#send());
    return promise as Promise<ReturnType<SqliteOperations[K]>>;
  }

  /** Waits for what is under way, then for the thread's end. */
  close(): Promise<void> {
    this.#closing = true;
    this.#send();
    return this.#ended.promise;
  }

  #send(): void {
    if (this.#busy || this.#lost !== undefined) return;
    const batch = this.#waiting.slice(0, MAX_BATCH);
    if (batch.length === 0) {
      if (this.#closing) this.#post({ kind: "close" });
      return;
    }
    this.#waiting = this.#waiting.slice(MAX_BATCH);
    for (const pending of batch) this.#underWay.set(pending.call.id, pending);
    this.#post({ kind: "batch", calls: batch.map(({ call }) => call) });
  }

  #post(message: ToWorker): void {
    this.#busy = true;
    this.#worker.ref();
    this.#worker.postMessage(message);
  }

  #receive(message: FromWorker): void {
    if (message.kind !== "answers") return;
    for (const answer of message.answers) this.#settle(answer);
    if (!message.idle) return;
    this.#busy = false;
    this.#worker.unref();
    this.#send();
  }

  #settle(answer: Answer): void {
    const pending = this.#underWay.get(answer.id);
    this.#underWay.delete(answer.id);
    if ("failure" in answer) {
      const { code, message } = answer.failure;
      pending?.reject(new BulwarkError(code, message, { detail: { store: `sqlite:${this.#path}` } }));
    } else pending?.resolve(answer.value);
  }

  /** Nothing that waited is answered any more; whether what was under way is on the disk is not known. */
  #lose(cause?: unknown): void {
    const store = `sqlite:${this.#path}`;
    this.#lost ??= this.#closing ? storeClosed(store) : storeError(ENDED.code, ENDED.message, store, cause);
    for (const { reject } of [...this.#underWay.values(), ...this.#waiting]) reject(this.#lost);
    this.#underWay.clear();
    this.#waiting = [];
    this.#ended.resolve();
  }
}
