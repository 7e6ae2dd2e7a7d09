import { type ChildProcess, spawn } from "node:child_process";
import { resolve } from "node:path";

/** The program as users start it. */
export const BULWARK = resolve(import.meta.dirname, "../../bin/bulwark");

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real program to its end. */
export function bulwark(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  return finished(
    spawn(BULWARK, args, { env: { BULWARK_SUBSTRATE: "loopback", ...process.env, NO_COLOR: "1", ...env } }),
  );
}

function finished(child: ChildProcess): Promise<Finished> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk) => {
    stdout += String(chunk);
  });
  child.stderr?.on("data", (chunk) => {
    stderr += String(chunk);
  });
  return new Promise((settle) => child.on("close", (code) => settle({ code, stdout, stderr })));
}
