/** The request as a route sends it on. */
import type { ForwardDecision, HeaderOps, OutboundTarget } from "../outbound/types.ts";
import { type Flight, speaksHttp } from "./journey.ts";

export function flightTo(
  flight: Flight,
  decision: ForwardDecision,
  target: OutboundTarget | undefined,
): Flight {
  if (!speaksHttp(flight) || decision.http === undefined) return flight;
  const { requestHeaders } = decision.http;
  const authority = decision.authority ?? target?.authority ?? flight.authority;
  // Envoy goes from the most specific to the least: the target's operations first.
  let headers = target === undefined ? flight.headers : applyOps(flight.headers, target.requestHeaders);
  headers = applyOps(headers, requestHeaders);
  if (decision.originalPath !== undefined)
    headers = [...headers, "x-envoy-original-path", decision.originalPath];
  if (decision.originalAuthority !== undefined)
    headers = [...headers, "x-envoy-original-host", decision.originalAuthority];
  return { ...flight, path: decision.path ?? flight.path, authority, headers };
}

function applyOps(headers: readonly string[], { remove, set, add }: HeaderOps): readonly string[] {
  if (remove.length + set.length + add.length === 0) return headers;
  const gone = new Set([...remove, ...set.map(([name]) => name)]);
  return [...withoutHeaders(headers, gone), ...set.flat(), ...add.flat()];
}

export function withoutHeaders(headers: readonly string[], names: ReadonlySet<string>): readonly string[] {
  return headers.filter((_, index) => !names.has(headers[index - (index % 2)] ?? ""));
}
