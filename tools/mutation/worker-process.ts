import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { Order, WorkerSettings } from "./protocol.ts";

/** A mutant may fill memory without end: then the process ends, and not the machine. */
const HEAP_MB = 1024;

/** It did not answer in time. */
export class WorkerTimeoutError extends Error {}

/** It ended while it was asked. */
export class WorkerEndedError extends Error {}

/** A process of worker.ts. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  #ended = false;

  constructor(root: string, settings: WorkerSettings) {
    this.#child = fork(join(import.meta.dirname, "worker.ts"), [JSON.stringify(settings)], {
      cwd: root,
      serialization: "advanced",
      // What tests print is of no use; a crash shows in the outcome.
      stdio: ["ignore", "ignore", process.env.MUTATION_DEBUG === undefined ? "ignore" : "inherit", "ipc"],
      execArgv: [`--max-old-space-size=${HEAP_MB}`, "--disable-warning=ExperimentalWarning"],
    });
    this.#child.once("exit", () => {
      this.#ended = true;
    });
    // A message to a process that has just ended: the exit tells of it.
    this.#child.on("error", () => undefined);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** @throws {WorkerTimeoutError | WorkerEndedError} The process is killed then. */
  ask<Answer>(order: Order, timeoutMs: number): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const onMessage = (answer: unknown): void => resolve(answer as Answer);
    const onExit = (): void => reject(new WorkerEndedError("ended"));
    const timer = setTimeout(() => {
      reject(new WorkerTimeoutError(`no answer in ${timeoutMs} ms`));
      this.kill();
    }, timeoutMs);
    this.#child.once("message", onMessage);
    this.#child.once("exit", onExit);
    if (this.#ended) onExit();
    else this.#child.send(order, () => undefined);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#child.off("message", onMessage);
      this.#child.off("exit", onExit);
    });
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
