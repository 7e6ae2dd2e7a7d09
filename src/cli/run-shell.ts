import { spawn } from "node:child_process";
import { constants } from "node:os";
import { connectAdmin } from "../control/control-link.ts";
import { choosePod, simulatesExternal } from "../control/find-pod.ts";
import { capturedEnvironment } from "../control/netns/captured-environment.ts";
import { PodNetwork } from "../control/netns/pod-network.ts";
import type { StateFolder } from "../control/state-folder.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type Assignments, type PodAssignment, podKey } from "../substrate/assignment.ts";

/** What a person's terminal needs; nothing else of the machine's environment is the pod's. */
const KEPT_VARIABLES = ["TERM", "LANG", "LC_ALL", "COLUMNS", "LINES"];
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** As shells tell of a command that a signal ended. */
const SIGNALLED = 128;

/**
 * Runs a command, or a shell, in a pod, and waits for its end.
 * @returns its exit code.
 * @throws {BulwarkError} BW_CONTROL_UNREACHABLE, BW_CLI_INPUT.
 */
export async function runShell(
  state: StateFolder,
  name: string,
  words: readonly string[],
  { root = false, replica }: { readonly root?: boolean; readonly replica: number },
): Promise<number> {
  const { pod, assignments } = await findPodByName(state, name, replica);
  if (pod.network === undefined)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      "pods of the loopback substrate are no places to be in; bring the mesh up with --substrate netns, or act as the pod by `bulwark env`",
    );
  if (process.getuid?.() !== 0)
    throw new BulwarkError("BW_CLI_INPUT", "entering a pod needs root, as bringing it up did");
  const [command = "/bin/sh", ...args] = words.length > 0 ? words : [loginShell()];
  const network = new PodNetwork(state);
  const launch = network.launch(pod, root ? "root" : "application", command, args);
  const kept = KEPT_VARIABLES.map((variable) => [variable, process.env[variable]]);
  const env = {
    ...Object.fromEntries(kept.filter(([, value]) => value !== undefined)),
    PATH,
    PS1: `${podKey(pod)}${root ? "#" : "$"} `,
    ...capturedEnvironment(pod, simulatesExternal(assignments)),
    ...launch.env,
  };
  return await runToEnd(launch.command, launch.args, env);
}

async function findPodByName(
  state: StateFolder,
  name: string,
  replica: number,
): Promise<{ pod: PodAssignment; assignments: Assignments }> {
  const peer = await connectAdmin(state);
  try {
    const assignments = (await peer.request("pods", {}, 10_000)) as Assignments;
    const named = assignments.pods.find((pod) => podKey(pod) === name);
    return { pod: named ?? choosePod(assignments, name, replica), assignments };
  } finally {
    peer.close();
  }
}

function loginShell(): string {
  return process.platform === "linux" ? "/bin/bash" : "/bin/sh";
}

function runToEnd(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: "inherit" });
    // The terminal sends Ctrl-C to both; it is the command's to answer.
    const ignore = (): void => {};
    process.on("SIGINT", ignore).on("SIGQUIT", ignore);
    child.once("error", (cause) =>
      reject(new BulwarkError("BW_CLI_INPUT", `cannot run ${command}: ${cause.message}`, { cause })),
    );
    child.once("close", (code, signal) => {
      process.off("SIGINT", ignore).off("SIGQUIT", ignore);
      resolve(signal === null ? (code ?? 1) : SIGNALLED + constants.signals[signal]);
    });
  });
}
