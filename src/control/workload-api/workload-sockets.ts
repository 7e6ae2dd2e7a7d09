import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { StateFolder } from "../state-folder.ts";

/** See state-folder.ts: what fits into the path of a Unix socket. */
const MAX_SOCKET_PATH_BYTES = 103;

/**
 * The Unix socket on which a pod's applications find the Workload API. Whoever can open it is taken for that pod, so that it is as much
 * worth as the pod's token: the folder is 0700.
 */
export function workloadSocket(
  state: StateFolder,
  pod: { readonly namespace: string; readonly name: string },
): string {
  const folder = workloadSocketFolder(state);
  const readable = join(folder, `${pod.namespace}.${pod.name}.sock`);
  if (Buffer.byteLength(readable) <= MAX_SOCKET_PATH_BYTES) return readable;
  const digest = createHash("sha256").update(`${pod.namespace}/${pod.name}`).digest("hex");
  return join(folder, `${digest.slice(0, 16)}.sock`);
}

/** Beside the control plane's socket, whose folder is short enough. */
export function workloadSocketFolder(state: StateFolder): string {
  return join(dirname(state.controlSocket), "workloads");
}

/** Makes the folder, without the sockets that a killed process left in it. */
export function emptySocketFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder))
    if (name.endsWith(".sock")) rmSync(join(folder, name), { force: true });
}
