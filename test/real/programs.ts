/** Programs that are not of npm: found, or the test that needs them fails and says which is missing. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import type { Finished } from "../cli/run-bulwark.ts";

/** Where CI puts Python's packages. */
const VENV_BIN = resolve(import.meta.dirname, "../../.cache/venv/bin");

/** The path of a program; fails the test where it is not installed: a scanner that is absent has found nothing out. */
export function program(name: string): string {
  const folders = [VENV_BIN, ...(process.env.PATH ?? "").split(delimiter)];
  const found = folders.map((folder) => join(folder, name)).find(isExecutable);
  return found ?? assert.fail(`\`${name}\` is not installed; .ci/run installs all that these tests need`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface RunOptions {
  readonly cwd?: string;
  readonly input?: string | Buffer;
  /** Leaves standard input open for so long after the input, for programs that end with it. */
  readonly inputOpenMs?: number;
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a program to its end; what takes too long is killed, and its code is null. */
export function run(path: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { cwd, input = "", inputOpenMs = 0, timeoutMs = 60_000, env } = options;
  const child = spawn(path, args, {
    timeout: timeoutMs,
    killSignal: "SIGKILL",
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
  });
  // A program that ends first closes the pipe.
  child.stdin.on("error", () => {});
  child.stdin.write(input);
  setTimeout(() => child.stdin.end(), inputOpenMs);
  return new Promise((settle, reject) => {
    child.on("error", reject);
    child.on("close", (code) => settle({ code, stdout, stderr }));
  });
}
