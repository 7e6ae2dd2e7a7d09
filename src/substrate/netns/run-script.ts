import { spawn } from "node:child_process";
import { BulwarkError } from "../../resources/bulwark-error.ts";

/** What our scripts find of the environment: where programs are, and messages that can be read. */
const ENVIRONMENT = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin", LC_ALL: "C" };
const MAX_ERROR_TEXT = 2000;

/**
 * Runs a shell script of ours to its end.
 * @param what for the message when it fails: `the pods' namespaces could not be made`.
 * @returns what it wrote.
 * @throws {BulwarkError} BW_NETNS_FAILED, with what the failing command said.
 */
export async function runScript(script: string, what: string): Promise<string> {
  const { how, out, error } = await new Promise<{ how: string; out: string; error: string }>((resolve) => {
    const child = spawn("/bin/sh", ["-eu", "-s"], { env: ENVIRONMENT, stdio: ["pipe", "pipe", "pipe"] });
    let out = "";
    let error = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      error = `${error}${text}`.slice(-MAX_ERROR_TEXT);
    });
    child.on("error", (cause) => resolve({ how: "not started", out, error: cause.message }));
    // A Ctrl-C at the terminal is for the script, too.
    child.on("close", (code, signal) =>
      resolve({ how: signal === null ? `exit code ${code}` : `interrupted by ${signal}`, out, error }),
    );
    // EPIPE of a script that failed before it was read whole: its exit code tells.
    child.stdin.on("error", () => {});
    child.stdin.end(script);
  });
  if (how === "exit code 0") return out;
  throw new BulwarkError("BW_NETNS_FAILED", `${what}: ${error.trim() || how}`);
}
