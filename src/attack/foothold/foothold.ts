import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { resolve } from "node:path";
import { LineSplitter } from "../../control/line-splitter.ts";
import { capturedEnvironment } from "../../control/netns/captured-environment.ts";
import type { PodNetwork } from "../../control/netns/pod-network.ts";
import type { PodAssignment } from "../../substrate/assignment.ts";
import { inPodPath } from "../../substrate/netns/program-folder.ts";
import type { Order, Word } from "./orders.ts";

/** Who the attacker is in the pod: its application's user, or its root. */
export type FootholdUser = "application" | "root";

const PROGRAM = resolve(import.meta.dirname, "attacker-in-pod.ts");
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const MAX_LINE_BYTES = 4 * 1024 * 1024;
/** Beyond what any order takes; a process that hangs must not hold the run. */
const ANSWER_TIMEOUT_MS = 20_000;

/** Code execution in a pod: a process of its user, with the rights that `bulwark shell` gives. Close it. */
export class Foothold {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: ((word: Word) => void)[] = [];
  #last: Promise<unknown> = Promise.resolve();
  #said = "";

  /** @param pod one with a network. */
  constructor(network: PodNetwork, pod: PodAssignment, user: FootholdUser) {
    const args = ["--disable-warning=ExperimentalWarning", inPodPath(PROGRAM)];
    const launch = network.launch(pod, user, inPodPath(process.execPath), args, { withProgram: true });
    this.#child = spawn(launch.command, launch.args, {
      env: { PATH, ...capturedEnvironment(pod, false), ...launch.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const lines = new LineSplitter(MAX_LINE_BYTES);
    this.#child.stdout.on("data", (chunk: Buffer) => {
      for (const line of lines.push(chunk)) this.#waiting.shift()?.(JSON.parse(line) as Word);
    });
    this.#child.stderr.on("data", (chunk: Buffer) => {
      this.#said = `${this.#said}${chunk.toString("utf8")}`.slice(-500);
    });
    this.#child.stdin.on("error", () => {});
    this.#child.once("error", (error) => this.#gone(error.message));
    this.#child.once("close", () => this.#gone(`the attacker's process has ended: ${this.#said.trim()}`));
  }

  /** Orders are carried out one after the other. Never rejects. */
  do(order: Order): Promise<Word> {
    const word = this.#last.then(() => this.#ask(order));
    this.#last = word;
    return word;
  }

  close(): void {
    this.#child.kill("SIGKILL");
  }

  #ask(order: Order): Promise<Word> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.close();
        this.#gone("the attacker's process does not answer");
      }, ANSWER_TIMEOUT_MS);
      this.#waiting.push((word) => {
        clearTimeout(timer);
        resolve(word);
      });
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        this.#gone(`the attacker's process has ended: ${this.#said.trim()}`);
      else this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    });
  }

  #gone(failure: string): void {
    for (const answer of this.#waiting.splice(0))
      answer({ connected: false, heard: "", failure, lost: true });
  }
}
