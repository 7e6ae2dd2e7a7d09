import { matchesLabels } from "../../model/selector.ts";
import type { RouteClient } from "./http-match.ts";
import type { L4Match } from "./resource-shapes.ts";

/** Whether a TLS or TCP condition can hold for this client at all: gateway, source and port are known beforehand. */
export function l4Concerns(match: L4Match, client: RouteClient): boolean {
  const gateways = match.gateways ?? [];
  if (gateways.length > 0 && !gateways.includes(client.gateway)) return false;
  const port = match.port ?? 0;
  if (port !== 0 && port !== client.listenPort) return false;
  const namespace = match.sourceNamespace ?? "";
  if (namespace !== "" && namespace !== client.namespace) return false;
  return matchesLabels(match.sourceLabels ?? {}, client.labels);
}
