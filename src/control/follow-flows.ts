import type { FollowedFlows, StoredFlow } from "../telemetry/flow-query.ts";

const PAGE = 500;
const WAIT_MS = 5000;
const RETRY_MS = 300;

/**
 * Hands on flow records as they are stored, from now until `stopped`, over any way to ask control. While control is away it
 * waits; nothing is missed, since it goes on from the record that it had last.
 */
export async function followFlows(
  request: (method: string, params: unknown) => Promise<unknown>,
  filter: readonly string[],
  stopped: () => boolean,
  onFlows: (flows: readonly StoredFlow[]) => void,
): Promise<void> {
  let cursor: number | undefined;
  while (!stopped()) {
    try {
      cursor ??= Number(await request("flows.cursor", {}));
      const params = { filter, cursor, limit: PAGE, waitMs: WAIT_MS };
      const page = (await request("flows.follow", params)) as FollowedFlows;
      cursor = page.cursor;
      if (page.flows.length > 0 && !stopped()) onFlows(page.flows);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
