import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

/** The yardstick: a CA's loop over Go's crypto/x509, in a process of its own on one core. */
export class GoIssuer {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  /** @param args as go/main.go takes them. @throws when Go is not there, saying so. */
  constructor(args: readonly string[]) {
    this.#process = spawn(build(), args, {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, GOMAXPROCS: "1" },
    });
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** Issues so many certificates. @returns microseconds of processor time each. */
  async issue(count: number): Promise<number> {
    this.#process.stdin.write(`${count}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("the Go program ended early");
    return Number(value) / count / 1000;
  }

  async end(): Promise<void> {
    const gone = new Promise((done) => this.#process.once("exit", done));
    this.#process.stdin.end();
    await gone;
  }
}

function build(): string {
  const folder = resolve(import.meta.dirname, "../../.cache/bench");
  mkdirSync(folder, { recursive: true });
  const program = join(folder, "signing");
  try {
    execFileSync("go", ["build", "-o", program, "."], {
      cwd: join(import.meta.dirname, "go"),
      env: { ...process.env, CGO_ENABLED: "0" },
      stdio: ["ignore", "inherit", "inherit"],
    });
  } catch (cause) {
    throw new Error("the Go program cannot be built: Go 1.26 or newer is needed (https://go.dev/dl)", {
      cause,
    });
  }
  return program;
}
