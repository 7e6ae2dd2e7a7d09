import { type ChildProcess, fork } from "node:child_process";
import { resolve } from "node:path";
import type { LoadPlan, LoadReport } from "./load-client.ts";

/** A running `load-client.ts`. */
export class LoadProcess {
  readonly #child: ChildProcess;
  readonly #report = Promise.withResolvers<LoadReport>();

  constructor(plan: LoadPlan) {
    this.#child = fork(resolve(import.meta.dirname, "load-client.ts"), { serialization: "advanced" });
    this.#child.once("message", (report) => this.#report.resolve(report as LoadReport));
    this.#child.once("exit", (code, signal) =>
      this.#report.reject(new Error(`the load's process ended with ${signal ?? code}`)),
    );
    // Asked for in stop(); a failure before it must not end the test's process.
    this.#report.promise.catch(() => {});
    this.#child.send(plan);
  }

  /** Lets every worker end its request, and takes the result. */
  stop(): Promise<LoadReport> {
    if (this.#child.connected) this.#child.send("stop");
    return this.#report.promise;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
