import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { IdentityFiles } from "./subject.ts";

/** One closed-loop run; names and defaults as in load/drive.go. */
export interface LoadPlan {
  readonly job: "http1" | "http2" | "tcp" | "connect";
  readonly large?: boolean;
  readonly connections: number;
  readonly streams?: number;
  readonly resume?: boolean;
  readonly postQuantum?: boolean;
}

export interface LoadFigures {
  readonly requests: number;
  readonly failed: number;
  readonly error?: string;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly resumed: number;
}

/** Builds the load program. @returns its path. @throws when Go is not there, saying so. */
export function buildLoad(cacheFolder: string): string {
  mkdirSync(cacheFolder, { recursive: true });
  const program = join(cacheFolder, "load");
  try {
    execFileSync("go", ["build", "-o", program, "."], {
      cwd: join(import.meta.dirname, "load"),
      env: { ...process.env, CGO_ENABLED: "0" },
      stdio: ["ignore", "inherit", "inherit"],
    });
  } catch (cause) {
    throw new Error("the load program cannot be built: Go 1.26 or newer is needed (https://go.dev/dl)", {
      cause,
    });
  }
  return program;
}

type LoadProcess = ChildProcessByStdio<Writable, Readable, null>;

/** A load program that has connected everything and waits for the word. */
export class Load {
  readonly #process: LoadProcess;
  readonly #lines: Interface;
  readonly #unread: string[] = [];
  readonly #readers: ((line: string) => void)[] = [];

  /** @param inside a command that starts the program elsewhere: `nsenter --net=… setpriv …`. */
  constructor(program: string, command: "drive" | "hold", plan: object, inside: readonly string[] = []) {
    const [first = program, ...others] = [...inside, program, command, JSON.stringify(plan)];
    this.#process = spawn(first, others, {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, GOMAXPROCS: "1" },
    });
    this.#lines = createInterface({ input: this.#process.stdout });
    this.#lines.on("line", (line) => {
      const reader = this.#readers.shift();
      if (reader === undefined) this.#unread.push(line);
      else reader(line);
    });
    this.#process.once("exit", () => {
      for (const reader of this.#readers.splice(0)) reader("");
    });
  }

  /** Resolves when everything is connected. */
  async ready(): Promise<void> {
    if ((await this.#line()) === "") throw new Error("the load program ended early");
  }

  /** Runs to the end. */
  async run(): Promise<LoadFigures> {
    this.#process.stdin.write("go\n");
    const line = await this.#line();
    if (line === "") throw new Error("the load program ended without figures");
    return JSON.parse(line) as LoadFigures;
  }

  async end(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const gone = new Promise((done) => this.#process.once("exit", done));
    this.#process.stdin.end();
    await gone;
  }

  #line(): Promise<string> {
    const line = this.#unread.shift();
    if (line !== undefined || this.#process.exitCode !== null) return Promise.resolve(line ?? "");
    return new Promise((resolve) => this.#readers.push(resolve));
  }
}

/** The whole of what the load program is told. */
export function loadPlan(
  plan: LoadPlan,
  addr: string,
  identity: IdentityFiles,
  more: { readonly seconds?: number; readonly status?: number } = {},
): object {
  return { ...plan, addr, cert: identity.cert, key: identity.key, ...more };
}
