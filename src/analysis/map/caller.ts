/** As whom servers know a client of the map. */
import type { Workload } from "../../model/mesh.ts";
import { addressRange } from "../../policy/network/address-range.ts";
import type { MapNode } from "../../policy/network/map-nodes.ts";
import type { MeshWay } from "./mesh-way.ts";
import type { Caller } from "./server-access.ts";

type Callers = Readonly<Record<"named" | "anonymous", Caller>>;

const CALLERS = new WeakMap<MapNode, Callers>();

/** From its own addresses, where the files tell them; with its identity, unless it speaks in clear. */
export function callerAt(node: MapNode, way: MeshWay): Caller {
  const callers = CALLERS.get(node) ?? makeCallers(node);
  CALLERS.set(node, callers);
  return way === "clear" ? callers.anonymous : callers.named;
}

function makeCallers({ workloads }: MapNode): Callers {
  const [workload] = workloads;
  const known = workloads.map(({ addresses }) => addresses.flatMap((own) => addressRange(own) ?? []));
  const isKnown = known.every((own) => own.length > 0);
  const from = isKnown ? { addresses: known.flat() } : {};
  return {
    named: { principal: workload === undefined ? null : principalOf(workload), ...from },
    anonymous: { principal: null, ...from },
  };
}

/** As which it is known to a server; null: nobody shows a certificate for it. */
export function principalOf({ dataplane, spiffeId }: Workload): string | null {
  return dataplane === "none" ? null : spiffeId.slice("spiffe://".length);
}
