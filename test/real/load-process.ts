import { type ChildProcess, fork } from "node:child_process";
import { resolve } from "node:path";
import type { LoadMessage, LoadPlan, LoadReport, Sample } from "./load-client.ts";

/** A running `load-client.ts`. */
export class LoadProcess {
  /** Every request that has ended, oldest first; grows while the load runs. */
  readonly samples: Sample[] = [];
  readonly #child: ChildProcess;
  readonly #report = Promise.withResolvers<LoadReport>();

  constructor(plan: LoadPlan) {
    this.#child = fork(resolve(import.meta.dirname, "load-client.ts"), { serialization: "advanced" });
    this.#child.on("message", (message) => this.#hear(message as LoadMessage));
    this.#child.once("exit", (code, signal) =>
      this.#report.reject(new Error(`the load's process ended with ${signal ?? code}`)),
    );
    // Asked for in stop(); a failure before it must not end the test's process.
    this.#report.promise.catch(() => {});
    this.#child.send(plan);
  }

  /** Lets every worker end its request, and takes the result. */
  async stop(): Promise<LoadReport> {
    if (this.#child.connected) this.#child.send("stop");
    const report = await this.#report.promise;
    if (this.#child.connected) this.#child.disconnect();
    return report;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #hear(message: LoadMessage): void {
    if (message.kind === "samples") this.samples.push(...message.samples);
    else this.#report.resolve({ samples: this.samples, handshakes: message.handshakes });
  }
}
