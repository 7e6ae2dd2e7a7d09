import { connectAdmin } from "../control/control-link.ts";
import type { StateFolder } from "../control/state-folder.ts";

/**
 * One question to the control plane. The connection is closed whatever the answer is: one that stays open keeps the command alive.
 * @throws {BulwarkError} as connectAdmin and RpcPeer.request.
 */
export async function askControl(
  state: StateFolder,
  method: string,
  params: unknown,
  timeoutMs = 30_000,
): Promise<unknown> {
  const peer = await connectAdmin(state);
  try {
    return await peer.request(method, params, timeoutMs);
  } finally {
    peer.close();
  }
}
