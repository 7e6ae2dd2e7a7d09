/** Who uses a ServiceEntry, by what clients' own proxies logged and all that routes make of it. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { isWildcard } from "../../policy/outbound/host-name.ts";
import { meshDirectory } from "../../policy/path/compiled-policies.ts";
import type { Resource } from "../../resources/resource.ts";
import { ClientWays } from "./client-ways.ts";
import type { Evidence } from "./evidence.ts";
import { serviceNamed } from "./same-way.ts";

/** How many requests may have gone to an entry. */
export interface EntryUse {
  readonly byNamespace: ReadonlyMap<string, number>;
  /** By the host that was asked for. */
  readonly byHost: ReadonlyMap<string, number>;
}

export interface EntryUsers {
  of(entry: Resource): EntryUse;
  /** Workloads whose routes ask for what is not followed: what they use is not known. */
  readonly untold: ReadonlySet<string>;
}

const NOT_USED: EntryUse = { byNamespace: new Map(), byHost: new Map() };

export function entryUsers(mesh: Mesh, flows: Evidence["clients"]): EntryUsers {
  const uses = new Map<Resource, { byNamespace: Map<string, number>; byHost: Map<string, number> }>();
  const untold = new Set<string>();
  const known = new ClientWays(mesh);
  const { workloads } = meshDirectory(mesh);
  for (const [key, hosts] of flows) {
    const workload = workloads.get(key);
    if (workload === undefined) continue;
    const { namespace } = workload;
    for (const flow of hosts.values()) {
      const ways = isSidecarClient(workload) ? known.of(workload, flow) : NO_WAYS;
      if (typeof ways === "string") untold.add(key);
      const routed = typeof ways === "string" ? [] : ways.clusters.map(({ service }) => service.resource);
      const named = serviceNamed(mesh, flow.host, namespace)?.resource;
      for (const entry of new Set([...routed, ...(named === undefined ? [] : [named])])) {
        if (entry.kind !== "ServiceEntry") continue;
        const use = uses.get(entry) ?? { byNamespace: new Map(), byHost: new Map() };
        uses.set(entry, use);
        count(use.byNamespace, namespace, flow.requests);
        count(use.byHost, flow.host, flow.requests);
      }
    }
  }
  return { of: (entry) => uses.get(entry) ?? NOT_USED, untold };
}

const NO_WAYS = { clusters: [], isPassedOn: false } as const;

function count(counts: Map<string, number>, name: string, more: number): void {
  counts.set(name, (counts.get(name) ?? 0) + more);
}

/** One whose own sidecar decides where it goes. */
export function isSidecarClient({ role, dataplane }: Workload): boolean {
  return role === "application" && dataplane === "sidecar";
}

const SHOWN_HOSTS = 20;

/** What a person may want to know of an entry that is not narrowed by it: that nobody used it, or which hosts of its wildcard. */
export function noteOfUse({ spec }: Resource, { byHost }: EntryUse): string | undefined {
  if (byHost.size === 0) return "nobody was seen to use it";
  const { hosts = [] } = spec as { readonly hosts?: readonly string[] };
  const wide = hosts.filter(isWildcard);
  if (wide.length === 0) return undefined;
  const asked = [...byHost].toSorted(([, a], [, b]) => b - a);
  const shown = asked.slice(0, SHOWN_HOSTS).map(([host, requests]) => `${host} (${requests})`);
  const more = asked.length > SHOWN_HOSTS ? ` and ${asked.length - SHOWN_HOSTS} more` : "";
  return `all hosts of ${wide.join(", ")} stay open: asked for were ${shown.join(", ")}${more}; entries of their own in its place would close the others`;
}
