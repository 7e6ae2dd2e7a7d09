/** Which entry points network policies let a pod connect to. */
import type { Workload } from "../../model/mesh.ts";
import { hasConnection } from "../../policy/network/connection-set.ts";
import { mapNodes } from "../../policy/network/map-nodes.ts";
import { NetworkMap } from "../../policy/network/network-map.ts";
import { hasNetworkPolicies, networkPolicies } from "../../policy/network/network-policies.ts";
import { allBits, type Bits, noBits, setBit } from "./bits.ts";
import type { EntryPoints } from "./entry-points.ts";
import type { GainGraph } from "./gains.ts";

export class NetworkRows {
  /** What is reached where nothing stands in the way. */
  readonly everything: Bits;
  readonly #entries: EntryPoints;
  readonly #map: NetworkMap | undefined;
  readonly #nodeOf = new Map<Workload, number>();
  readonly #workloadsAt: readonly (readonly number[])[];
  readonly #rows = new Map<string, Bits>();
  #outside: Bits | undefined;
  readonly #workloads: readonly Workload[];
  readonly #byPlace: (Bits | undefined)[] = [];

  constructor({ mesh }: GainGraph, entries: EntryPoints) {
    this.#entries = entries;
    this.#workloads = mesh.workloads;
    this.everything = allBits(entries.size);
    const policies = networkPolicies(mesh);
    const nodes = hasNetworkPolicies(policies) ? mapNodes(mesh) : [];
    this.#map =
      nodes.length === 0
        ? undefined
        : new NetworkMap(
            policies,
            nodes.map(({ pod }) => pod),
            { families: [4], blocks: "outside" },
          );
    const places = new Map(mesh.workloads.map((workload, at) => [workload, at]));
    this.#workloadsAt = nodes.map(({ workloads }) => workloads.flatMap((own) => places.get(own) ?? []));
    for (const [at, { workloads }] of nodes.entries())
      for (const workload of workloads) this.#nodeOf.set(workload, at);
  }

  /** As {@link from}, by the place in the mesh's list. */
  fromPlace(at: number): Bits {
    let row = this.#byPlace[at];
    if (row === undefined) {
      const workload = this.#workloads[at];
      row = workload === undefined ? this.everything : this.from(workload);
      this.#byPlace[at] = row;
    }
    return row;
  }

  /** Equal rows are one object. What is no pod has no policies of its own: it counts as anywhere. */
  from(workload: Workload): Bits {
    const at = this.#nodeOf.get(workload);
    if (this.#map === undefined || at === undefined) return this.everything;
    const profile = this.#map.profileOf(at);
    let row = this.#rows.get(profile);
    if (row === undefined) {
      row = this.#row(this.#map, at);
      this.#rows.set(profile, row);
    }
    return row;
  }

  /** Pods of one profile are treated alike: with the pod itself in it, the row is all of theirs. */
  #row(map: NetworkMap, from: number): Bits {
    const row = this.#elsewhere().slice();
    const add = (to: number, connections: ReturnType<NetworkMap["between"]>): void => {
      const isAll = connections === map.algebra.all;
      for (const end of this.#workloadsAt[to] ?? [])
        for (const at of this.#entries.byEnd.get(end) ?? [])
          if (isAll || hasConnection(connections, "TCP", this.#entries.all[at]?.endPort ?? 0))
            setBit(row, at);
    };
    for (const { to, connections } of map.toPods(from)) add(to, connections);
    add(from, map.between(from, from));
    return row;
  }

  /** What is no pod is met by addresses that no file tells apart from others'. */
  #elsewhere(): Bits {
    if (this.#outside !== undefined) return this.#outside;
    const pods = new Set(this.#workloadsAt.flat());
    const bits = noBits(this.#entries.size);
    for (const [end, entries] of this.#entries.byEnd)
      if (!pods.has(end)) for (const at of entries) setBit(bits, at);
    this.#outside = bits;
    return bits;
  }
}
