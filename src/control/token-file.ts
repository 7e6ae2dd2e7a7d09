import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { StateFolder } from "./state-folder.ts";

/** Where a pod's proxy finds its service account token. Pod names hold no slash and no dot-dot: Kubernetes' names are checked. */
export function tokenFile(state: StateFolder, pod: string): string {
  return join(state.tokenFolder, `${pod.replace("/", ".")}.jwt`);
}

/**
 * A pod's token as it is now: the supervisor renews it.
 * @param pod `namespace/name`
 * @throws {BulwarkError} BW_TOKEN_UNREADABLE
 */
export function readToken(state: StateFolder, pod: string): string {
  const file = tokenFile(state, pod);
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw tokenUnreadable(state, file, cause);
  }
}

function tokenUnreadable({ root }: StateFolder, file: string, cause: unknown): BulwarkError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const message = existsSync(root)
    ? `the pod's token ${file} cannot be read: ${why}`
    : `the state folder ${root} is gone, and with it the keys and tokens of this mesh; stop the mesh and bring it up again`;
  return new BulwarkError("BW_TOKEN_UNREADABLE", message, { cause });
}
