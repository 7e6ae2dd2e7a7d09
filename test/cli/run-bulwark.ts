import { type ChildProcess, fork, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import type { Asked } from "./warm-program.ts";

/** The program as users start it. */
export const BULWARK = resolve(import.meta.dirname, "../../bin/bulwark");
const WARM = resolve(import.meta.dirname, "warm-program.ts");
/** They read files, answer, and end. */
const ANSWERING: ReadonlySet<string> = new Set([
  ...["can", "map", "diff", "verify", "audit", "explain", "blast", "tighten", "firewall"],
]);

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a command to its end: in a process of its own, as users do, where it is about a mesh that runs; those that only answer, and every
 * help, one after the other in one process (see warm-program.ts).
 */
export function bulwark(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd: string = process.cwd(),
): Promise<Finished> {
  const isAnswering = ANSWERING.has(args[0] ?? "") || args.includes("--help");
  return isAnswering ? asked({ args, env, cwd }) : startedAnew(args, env);
}

/** In a process of its own, whatever the command. */
export function startedAnew(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  return finished(spawn(BULWARK, args, { env: environment(env) }));
}

function environment(env: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { BULWARK_SUBSTRATE: "loopback", ...process.env, NO_COLOR: "1", ...env };
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

let warm: ChildProcess | undefined;
let last: Promise<unknown> = Promise.resolve();

function asked(request: Omit<Asked, "end">): Promise<Finished> {
  const answer = last.then(() => {
    warm ??= started();
    return answered(warm, request);
  });
  last = answer;
  return answer;
}

function started(): ChildProcess {
  const options = { silent: true, env: environment({}), execArgv: ["--disable-warning=ExperimentalWarning"] };
  return fork(WARM, options);
}

/** Only while it is asked does it keep the tests' process from ending. */
function hold(child: ChildProcess, isHeld: boolean): void {
  const parts = [child, child.channel, child.stdout, child.stderr] as const;
  for (const part of parts as readonly (Partial<NodeJS.RefCounted> | null | undefined)[])
    if (isHeld) part?.ref?.();
    else part?.unref?.();
}

async function answered(child: ChildProcess, request: Omit<Asked, "end">): Promise<Finished> {
  hold(child, true);
  const end = randomUUID();
  const outputs = Promise.all([until(child.stdout, end), until(child.stderr, end)]);
  const code = new Promise<number | null>((settle) => child.once("message", settle).once("exit", settle));
  child.send({ ...request, end } satisfies Asked);
  const [[stdout, stderr], ended] = await Promise.all([outputs, code]);
  child.removeAllListeners("message").removeAllListeners("exit");
  if (child.exitCode !== null || child.signalCode !== null) warm = undefined;
  else hold(child, false);
  return { code: ended, stdout, stderr };
}

/** What comes before the end's mark, or before the end of the process. */
function until(output: NodeJS.ReadableStream | null, end: string): Promise<string> {
  return new Promise((settle) => {
    if (output === null) return settle("");
    const chunks: Buffer[] = [];
    let tail = "";
    const settled = (text: string): void => {
      output.removeListener("data", read).removeListener("end", closed);
      settle(text);
    };
    const closed = (): void => settled(Buffer.concat(chunks).toString());
    function read(chunk: Buffer): void {
      chunks.push(chunk);
      tail = `${tail}${chunk.toString("latin1")}`.slice(-end.length);
      if (tail === end) settled(Buffer.concat(chunks).subarray(0, -end.length).toString());
    }
    output.on("data", read).on("end", closed);
  });
}
