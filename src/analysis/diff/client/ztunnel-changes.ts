/** Where ztunnels send for their pods after a change that they did not before: by services, endpoints and waypoints, whatever routes say. */
import type { Mesh, Workload } from "../../../model/mesh.ts";
import type { Resource } from "../../../resources/resource.ts";
import { type Cause, changedResources } from "../causes.ts";
import { WORKLOAD_KINDS } from "../workload-kinds.ts";
import type { ClientChange, ClientDiff } from "./client-changes.ts";
import { type DialledHost, dialledHosts } from "./dialled-hosts.ts";
import { hostCauses } from "./touched-hosts.ts";
import { compareWays, type Way } from "./ways.ts";
import { waysByZtunnel } from "./ztunnel-ways.ts";

/** Of a name and a port all ztunnels make the same. Those of both meshes are compared. */
export function ztunnelChanges(before: Mesh, after: Mesh): ClientDiff {
  const old = new Set(before.workloads.filter(isClient).map(({ key }) => key));
  const clients = after.workloads.filter((workload) => isClient(workload) && old.has(workload.key));
  const [client] = clients;
  if (client === undefined) return { changes: [], notAnalysed: [] };
  const others = changedResources(modes(before), modes(after));
  const hosts = hostCauses(before, after);
  if (hosts.isNothing && others.length === 0) return { changes: [], notAnalysed: [] };
  const asked = { meshes: [before, after], client, keys: clients.map(({ key }) => key) } as const;
  const unclear = new Set<string>();
  const changes = dialledHosts(before, after).flatMap((host) => {
    const own = host.named === null ? [] : hosts.of(host.named.toLowerCase());
    const causes = new Map((own.length > 0 ? own : others).map((cause) => [cause.resource, cause]));
    return changesOf(asked, host, [...causes.values()], unclear);
  });
  return {
    changes,
    notAnalysed: unclear.size === 0 ? [] : [{ workloads: asked.keys, why: [...unclear].join("; ") }],
  };
}

function isClient({ role, dataplane }: Workload): boolean {
  return role === "application" && dataplane === "ambient";
}

/** What says who is in ambient mode, and before whom waypoints stand. */
function modes({ resources }: Mesh): readonly Resource[] {
  return resources.filter(({ kind }) => MODES.has(kind));
}

const MODES: ReadonlySet<string> = new Set(["Namespace", "Gateway", "GatewayClass", ...WORKLOAD_KINDS]);

interface Asked {
  readonly meshes: readonly [before: Mesh, after: Mesh];
  readonly client: Workload;
  readonly keys: readonly string[];
}

function changesOf(
  { meshes, client, keys }: Asked,
  { host, named, ports }: DialledHost,
  causes: readonly Cause[],
  unclear: Set<string>,
): readonly ClientChange[] {
  return ports.flatMap(({ port, isOther }): readonly ClientChange[] => {
    const [before, after] = meshes.map((mesh) => waysByZtunnel(mesh, client, host, port));
    if (typeof before === "string" || typeof after === "string") {
      unclear.add(`where ztunnels send ${host}: ${[before, after].find((ways) => typeof ways === "string")}`);
      return [];
    }
    // Which TLS a ztunnel speaks hangs on the server's end alone, and waypoints are compared by themselves.
    const [was = [], is = []] = [before, after].map(withoutWaypoints);
    const changed = compareWays(was, is, { tlsFollows: true });
    if (changed === undefined) return [];
    const name = named ?? "hosts that no service has";
    return [
      {
        ...changed,
        change: changed.gained.length + changed.weakens.length > 0 ? "widened" : "narrowed",
        clients: keys,
        dialled: [isOther ? `${name}, any port that it does not declare` : `${name}:${port}`],
        protocols: ["http", "tls", "tcp"],
        requests: [],
        witness: { from: { workload: client.key }, to: { host, port }, protocol: "tcp" },
        causes,
      },
    ];
  });
}

function withoutWaypoints(ways: readonly Way[] | undefined): readonly Way[] {
  return (ways ?? []).map(({ byWaypoint: _, ...way }) => way);
}
