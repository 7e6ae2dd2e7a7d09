/** What changes TLS at its server's end. */
import type { Cause } from "./causes.ts";
import { WORKLOAD_KINDS } from "./workload-kinds.ts";

/** Kinds that say what TLS servers speak. */
const OF_SERVERS: ReadonlySet<string> = new Set(["PeerAuthentication", "Namespace", ...WORKLOAD_KINDS]);

/** Whether servers alone speak TLS otherwise than they did, and clients follow. */
export function isOfServers(causes: readonly Cause[]): boolean {
  return causes.length > 0 && causes.every(({ resource }) => OF_SERVERS.has(resource.split(" ")[0] ?? ""));
}
