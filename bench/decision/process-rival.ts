import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { Rival, Run } from "./rival.ts";
import type { Rank } from "./workload.ts";

/** An engine in a process of its own, spoken to line by line (see serve-engine.ts and opa/main.go). */
export class ProcessRival implements Rival {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], env });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async ready(): Promise<this> {
    await this.#next();
    return this;
  }

  async answers(count: number): Promise<readonly Rank[]> {
    this.#child.stdin.write(`answers ${count}\n`);
    return (await this.#next()) as Rank[];
  }

  async run(count: number): Promise<Run> {
    this.#child.stdin.write(`run ${count}\n`);
    return (await this.#next()) as Run;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill();
    await gone;
  }

  async #next(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("an engine of the benchmark has ended");
    return JSON.parse(value);
  }
}
