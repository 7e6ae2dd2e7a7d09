import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { identifyProcess, signalProcess } from "./process-identity.ts";
import type { BookedProcess } from "./run-book.ts";

export interface ChildSpec {
  readonly name: string;
  /** Of two specs of one name with different generations the second is another process, not a change to the first. */
  readonly generation?: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where its output goes. A file, not a pipe: a child must be able to write when its supervisor is gone. */
  readonly logFile: string;
  /** Children of a lower stage are stopped, and gone, before those of a higher one are asked to stop. */
  readonly stopStage: number;
}

export type SupervisorEvent =
  | { readonly kind: "started"; readonly name: string; readonly pid: number; readonly restarts: number }
  | {
      readonly kind: "died";
      readonly name: string;
      readonly how: string;
      readonly restartInMs: number;
    }
  | { readonly kind: "gave-up"; readonly name: string; readonly how: string }
  | {
      readonly kind: "not-started";
      readonly name: string;
      readonly why: string;
      readonly restartInMs: number;
    };

export interface SupervisorOptions {
  readonly onEvent: (event: SupervisorEvent) => void;
  /** Called with all that run, before a new child is counted on: keeps the run book true. */
  readonly onChange: (children: readonly BookedProcess[]) => void;
  readonly firstRestartDelayMs?: number;
  readonly maxRestartDelayMs?: number;
  /** A child that ran for so long starts again at the first delay. */
  readonly steadyAfterMs?: number;
  /** Whether a child that ended so is not to be started again; by default none. */
  readonly isFinal?: (name: string, exitCode: number | null) => boolean;
  /** From the polite signal to the one that cannot be caught. */
  readonly stopGraceMs?: number;
}

interface Child {
  spec: ChildSpec;
  process: ChildProcess | undefined;
  identity: BookedProcess | undefined;
  startedAtMs: number;
  delayMs: number;
  restarts: number;
  timer: NodeJS.Timeout | undefined;
  wanted: boolean;
  gone: PromiseWithResolvers<void>;
}

/**
 * Starts processes and keeps them running: what dies is started again, at once at first, then with growing delays.
 * Each child leads a process group of its own, so that a Ctrl-C at the terminal reaches only the supervisor, and so that
 * a child is stopped together with whatever it started.
 */
export class Supervisor {
  readonly #options: Required<SupervisorOptions>;
  readonly #children = new Map<string, Child>();
  #stopping = false;

  constructor(options: SupervisorOptions) {
    this.#options = {
      firstRestartDelayMs: 50,
      maxRestartDelayMs: 10_000,
      // Longer than a failing start takes: what has worked, and was killed, comes back at once however often that happens.
      steadyAfterMs: 1000,
      stopGraceMs: 5000,
      isFinal: () => false,
      ...options,
    };
  }

  get specs(): readonly ChildSpec[] {
    return [...this.#children.values()].map(({ spec }) => spec);
  }

  has(name: string): boolean {
    return this.#children.has(name);
  }

  /** Starts a child and keeps it. A name that is there already keeps its process; its new spec holds from its next start. */
  start(spec: ChildSpec): void {
    if (this.#stopping) return;
    const known = this.#children.get(spec.name);
    if (known !== undefined) {
      known.spec = spec;
      return;
    }
    const child: Child = {
      spec,
      process: undefined,
      identity: undefined,
      startedAtMs: 0,
      delayMs: this.#options.firstRestartDelayMs,
      restarts: -1,
      timer: undefined,
      wanted: true,
      gone: Promise.withResolvers(),
    };
    this.#children.set(spec.name, child);
    this.#spawn(child);
  }

  /** Stops one child; settles when it is gone. */
  async stop(name: string): Promise<void> {
    const child = this.#children.get(name);
    if (child === undefined) return;
    await this.#end(child);
    this.#children.delete(name);
    this.#book();
  }

  /** Stops all, stage by stage. Nothing starts any more. */
  async stopAll(): Promise<void> {
    this.#stopping = true;
    const byStage = Map.groupBy(this.#children.values(), (child) => child.spec.stopStage);
    for (const stage of [...byStage.keys()].sort((a, b) => a - b)) {
      await Promise.all((byStage.get(stage) ?? []).map((child) => this.#end(child)));
    }
    this.#children.clear();
    this.#book();
  }

  /** Kills all, whatever they do. Nothing starts any more. */
  killAll(): void {
    this.#stopping = true;
    for (const child of this.#children.values()) {
      child.wanted = false;
      clearTimeout(child.timer);
      if (child.identity !== undefined) signalProcess(child.identity, "SIGKILL", true);
    }
  }

  #spawn(child: Child): void {
    child.timer = undefined;
    child.restarts++;
    child.startedAtMs = performance.now();
    const { command, args, env, logFile, name } = child.spec;
    let log: number | undefined;
    try {
      log = openSync(logFile, "a", 0o600);
      const started = spawn(command, args, { env, stdio: ["ignore", log, log], detached: true });
      child.process = started;
      started.once("error", (error) => this.#notStarted(child, error));
      started.once("exit", (code, signal) => this.#died(child, code, signal ?? `exit code ${code}`));
      if (started.pid === undefined) return;
      const identity = identifyProcess(started.pid);
      child.identity = identity && { ...identity, name, restarts: child.restarts };
      this.#book();
      this.#options.onEvent({ kind: "started", name, pid: started.pid, restarts: child.restarts });
    } catch (error) {
      this.#notStarted(child, error);
    } finally {
      if (log !== undefined) closeSync(log);
    }
  }

  #notStarted(child: Child, error: unknown): void {
    if (child.identity !== undefined) return;
    child.process = undefined;
    const why = error instanceof Error ? error.message : String(error);
    const restartInMs = this.#again(child);
    this.#options.onEvent({ kind: "not-started", name: child.spec.name, why, restartInMs });
  }

  #died(child: Child, code: number | null, how: string): void {
    // What it started itself (the group that it led) must not go on without it.
    if (child.identity !== undefined) killGroup(child.identity.pid);
    child.process = undefined;
    child.identity = undefined;
    const steady = performance.now() - child.startedAtMs >= this.#options.steadyAfterMs;
    if (steady) child.delayMs = this.#options.firstRestartDelayMs;
    this.#book();
    if (!child.wanted) {
      child.gone.resolve();
      return;
    }
    if (this.#options.isFinal(child.spec.name, code)) {
      child.wanted = false;
      this.#options.onEvent({ kind: "gave-up", name: child.spec.name, how });
      return;
    }
    const restartInMs = this.#again(child);
    this.#options.onEvent({ kind: "died", name: child.spec.name, how, restartInMs });
  }

  #again(child: Child): number {
    if (!child.wanted) {
      child.gone.resolve();
      return 0;
    }
    const delay = child.delayMs;
    child.delayMs = Math.min(delay * 2, this.#options.maxRestartDelayMs);
    child.timer = setTimeout(() => this.#spawn(child), delay);
    return delay;
  }

  async #end(child: Child): Promise<void> {
    child.wanted = false;
    clearTimeout(child.timer);
    const { identity } = child;
    if (child.process === undefined || identity === undefined) return;
    signalProcess(identity, "SIGTERM", true);
    const kill = setTimeout(() => signalProcess(identity, "SIGKILL", true), this.#options.stopGraceMs);
    await child.gone.promise;
    clearTimeout(kill);
  }

  #book(): void {
    this.#options.onChange([...this.#children.values()].flatMap(({ identity }) => identity ?? []));
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // ESRCH: nobody was left in it.
  }
}
