import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Attacker, type TheftPlan, type Tried } from "./attacker.ts";

type Order =
  | { readonly kind: "plan"; readonly plan: TheftPlan }
  | { readonly kind: "use" | "again" | "resume" };
type Word = { readonly kind: "tried"; readonly tried: Tried } | { readonly kind: "cut" };

/** Nothing of the user's environment is for a thief; what Node itself needs to start is. */
const KEPT_VARIABLES = ["PATH", "HOME", "TMPDIR"];

/** An {@link Attacker} in a process of its own. The key reaches it over a pipe, never by a file or an argument. */
export class AttackerProcess {
  readonly #child: ChildProcess;
  readonly #cut = Promise.withResolvers<void>();
  #waiting: ((tried: Tried) => void) | undefined;

  constructor(plan: TheftPlan) {
    const env = Object.fromEntries(KEPT_VARIABLES.map((name) => [name, process.env[name]]));
    this.#child = fork(fileURLToPath(import.meta.url), {
      env,
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#child.on("message", (word) => this.#hear(word as Word));
    this.#child.on("error", () => this.#gone());
    this.#child.once("exit", () => this.#gone());
    this.#send({ kind: "plan", plan });
  }

  /** Settles when the connection that is kept open has ended. */
  get cut(): Promise<void> {
    return this.#cut.promise;
  }

  use(): Promise<Tried> {
    return this.#ask("use");
  }

  /** A new connection with the same certificate, and with `resume` by the session of before. */
  tryAgain(resume: boolean): Promise<Tried> {
    return this.#ask(resume ? "resume" : "again");
  }

  close(): void {
    this.#child.kill("SIGKILL");
  }

  #ask(kind: "use" | "again" | "resume"): Promise<Tried> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#send({ kind });
      if (!this.#child.connected) this.#gone();
    });
  }

  #send(order: Order): void {
    if (this.#child.connected) this.#child.send(order, () => {});
  }

  #hear(word: Word): void {
    if (word.kind === "cut") this.#cut.resolve();
    else this.#waiting?.(word.tried);
  }

  #gone(): void {
    this.#waiting?.({ reached: false, happened: "the attacker's process has ended" });
  }
}

/** The process itself. */
function attack(): void {
  const tell = (word: Word) => process.send?.(word);
  let attacker: Attacker | undefined;
  const obey = async (order: Order): Promise<void> => {
    if (order.kind === "plan") {
      attacker = new Attacker(order.plan);
      return;
    }
    if (attacker === undefined) return;
    if (order.kind !== "use") {
      tell({ kind: "tried", tried: await attacker.tryAgain(order.kind === "resume") });
      return;
    }
    const tried = await attacker.use();
    tell({ kind: "tried", tried });
    if (tried.reached) void attacker.cut.then(() => tell({ kind: "cut" }));
  };
  process.on("message", (order) => void obey(order as Order));
  // Who rehearses has gone: nothing of the drill may go on.
  process.once("disconnect", () => process.exit());
  // A Ctrl-C at the terminal reaches the group; the drill's own process decides when this one ends.
  process.on("SIGINT", () => {});
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) attack();
