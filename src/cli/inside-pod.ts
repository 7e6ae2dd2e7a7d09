import { spawn } from "node:child_process";
import { findPod } from "../control/find-pod.ts";
import type { StateFolder } from "../control/state-folder.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { Assignments } from "../substrate/assignment.ts";
import { NETNS_FOLDER } from "../substrate/netns/names.ts";

/** Set in a command that is in the pod's network already. */
const VARIABLE = "BULWARK_INSIDE";

/**
 * Where pods are network namespaces, runs this very command again in the network of a pod: its proxy is reached from nowhere
 * else.
 * @returns its exit code; undefined where this process is in the right place.
 * @throws {BulwarkError} as findPod; BW_CLI_INPUT without the right to enter.
 */
export async function runInsidePod(
  state: StateFolder,
  workload: string,
  replica: number,
): Promise<number | undefined> {
  const { pod } = await findPod(state, workload, replica);
  const namespace = pod.network?.namespace;
  if (namespace === undefined || process.env[VARIABLE] === namespace) return undefined;
  if (process.getuid?.() !== 0)
    throw new BulwarkError("BW_CLI_INPUT", "calling from inside of a pod needs root, as bringing it up did");
  const args = [
    `--net=${NETNS_FOLDER}/${namespace}`,
    "--",
    process.execPath,
    ...process.execArgv,
    ...process.argv.slice(1),
  ];
  return new Promise((resolve, reject) => {
    const child = spawn("nsenter", args, {
      env: { ...process.env, [VARIABLE]: namespace },
      stdio: "inherit",
    });
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}

/**
 * Refuses what knows only pods on this machine's own addresses: from here nothing of a network namespace is reached, and
 * an attack that reaches nothing would be told as stopped.
 * @throws {BulwarkError} BW_CLI_INPUT
 */
export function refuseNetns({ substrate }: Assignments, what: string): void {
  if (substrate !== "netns") return;
  throw new BulwarkError(
    "BW_CLI_INPUT",
    `${what} does not know pods in network namespaces yet; use \`bulwark shell\`, or a mesh of --substrate loopback`,
  );
}
