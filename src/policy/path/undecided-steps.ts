/** What is said of a hop that no proxy of the mesh decides on. */
import type { Workload } from "../../model/mesh.ts";
import { type Flight, type Sender, type Step, speaksHttp, unknownStep } from "./journey.ts";

/** The client's sidecar never sees it. */
export function uncaptured({ key }: Workload, flight: Flight, annotation: string): Step {
  return {
    hop: key,
    side: "client",
    allowed: true,
    code: speaksHttp(flight) ? 200 : 0,
    reason: "passthrough",
    cause: "not-captured",
    layer: "client-route",
    policy: null,
    rule: null,
    answersHttp: false,
    tls: "plaintext",
    explain: () => [
      `passes the client's own sidecar by, as its annotation \`${annotation}\` has it: no routes, no outbound policy and no mutual TLS of the mesh`,
    ],
  };
}

export function captureUnknown({ key }: Workload, flight: Flight): Step {
  const line =
    "unknown: annotations of the client leave some addresses to itself, and the address that is dialled is not known (give to.ip)";
  return unknownStep(key, "client", "address-unknown", speaksHttp(flight), line);
}

export function interceptionUnknown({ key }: Workload, side: "client" | "server", flight: Flight): Step {
  const line =
    "unknown: with interceptionMode NONE nothing leads connections to the sidecar, and which come to it is not decided";
  return unknownStep(key, side, "interception-unknown", speaksHttp(flight), line);
}

export function waypointAsClient({ key }: Workload, http: boolean): Step {
  const line =
    "unknown: a waypoint has no application whose requests could be asked about; ask with one of its clients";
  return unknownStep(key, "client", "waypoint-as-client", http, line);
}

export function loopStep({ hop }: Step, hops: number, flight: Flight): Step {
  const line = `unknown: more than ${hops} proxies one after another, as of a routing loop`;
  return unknownStep(hop, "gateway", "too-many-hops", speaksHttp(flight), line);
}

export function nobodyStep(step: Step, flight: Flight): Step {
  return {
    ...unknownStep(step.hop, step.side, "no-endpoint", speaksHttp(flight), "nothing serves the destination"),
    reason: "no-healthy-upstream",
    code: step.answersHttp ? 503 : 0,
  };
}

/** No proxy of the mesh stands anywhere on the way. */
export function noProxyStep(sender: Sender, flight: Flight, isServed: boolean): Step {
  const code = speaksHttp(flight) ? 200 : 0;
  const base = {
    hop: sender.name,
    side: "client",
    layer: "client-route",
    policy: null,
    rule: null,
    answersHttp: false,
  } as const;
  if (!isServed)
    return {
      ...base,
      allowed: false,
      code: 0,
      reason: "no-healthy-upstream",
      cause: "no-endpoint",
      explain: () => ["nothing serves the service at this port"],
    };
  return {
    ...base,
    allowed: true,
    code,
    reason: "passthrough",
    cause: "no-proxy",
    explain: () => ["allowed: no proxy of the mesh stands on the way, so nothing is checked"],
  };
}
