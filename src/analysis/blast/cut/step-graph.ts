/** All that follows from one compromise, as a graph whose removable edges bear the change that removes them. */
import { bitsIn, hasBit } from "../bits.ts";
import { type HoldingId, kindOf, principalOf, restOf } from "../component.ts";
import type { BlastModel } from "../radius.ts";
import type { Change } from "./change.ts";
import { changeAgainstAnonymous, changeAgainstIdentity } from "./policy-changes.ts";
import { changeAgainst } from "./rights-changes.ts";

export interface StepEdge {
  readonly from: HoldingId;
  readonly to: HoldingId;
  /** Absent: nothing here takes it away. */
  readonly change?: Change;
  /** 1 where somebody is reached, who would have to be compromised in turn. */
  readonly hop: 0 | 1;
}

/** Whoever shows no identity. */
const NOBODY: HoldingId = "nobody";

export class StepGraph {
  readonly start: HoldingId;
  readonly edges: readonly StepEdge[];
  readonly changes: ReadonlyMap<string, Change>;

  /** Network policies count as far as something that follows gets there from some place that follows. */
  constructor(model: BlastModel, start: HoldingId) {
    this.start = start;
    const open = everythingOpen(model, start);
    const pending: HoldingId[] = [start];
    const seen = new Set(pending);
    const edges: StepEdge[] = [];
    for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
      const own = edgesOf(model, id, open);
      edges.push(...own);
      for (const { to } of own)
        if (!seen.has(to)) {
          seen.add(to);
          pending.push(to);
        }
    }
    this.edges = edges;
    this.changes = new Map(
      edges.flatMap(({ change }) => (change === undefined ? [] : [[change.id, change] as const])),
    );
  }
}

function everythingOpen(model: BlastModel, start: HoldingId): ReturnType<BlastModel["openTo"]> {
  const { controlled, reached, further } = model.radiusOf(start);
  const all = [controlled, reached, further].flatMap((bits) => [...bitsIn(bits)]);
  return model.openTo([model.holdings.of(start), ...all.flatMap((at) => model.heldAt(at))]);
}

function edgesOf(model: BlastModel, id: HoldingId, open: ReturnType<BlastModel["openTo"]>): StepEdge[] {
  const { graph } = model;
  const gains = graph.gainsOf(id).map((gain): StepEdge => {
    const change = changeAgainst(graph, id, gain);
    return { from: id, to: gain.to, hop: 0, ...(change === undefined ? {} : { change }) };
  });
  if (kindOf(id) === "key") return [...gains, ...edgesOfKey(model, id, open)];
  if (id === NOBODY) return edgesOfNobody(model, open);
  const workload = graph.byKey.get(restOf(id));
  if (workload === undefined || !POSITIONS.has(kindOf(id))) return gains;
  const nobody: StepEdge = { from: id, to: NOBODY, hop: 0 };
  if (workload.dataplane !== "ambient" || kindOf(id) !== "workload") return [...gains, nobody];
  return [...gains, nobody, ...edgesThroughZtunnel(model, id, open)];
}

const POSITIONS: ReadonlySet<string> = new Set(["workload", "sidecar", "waypoint", "gateway"]);

function edgesTo(
  model: BlastModel,
  from: HoldingId,
  at: number,
  change: Change | undefined,
): readonly StepEdge[] {
  const target = model.mesh.workloads[model.entries.all[at]?.target ?? -1];
  if (target === undefined) return [];
  return model.graph
    .componentsOf(target)
    .map((to) => ({ from, to, hop: 1, ...(change === undefined ? {} : { change }) }));
}

function edgesOfKey(
  model: BlastModel,
  id: HoldingId,
  open: ReturnType<BlastModel["openTo"]>,
): readonly StepEdge[] {
  const principal = restOf(id);
  return [...bitsIn(open)].flatMap((at) => {
    const entry = model.entries.all[at];
    if (entry === undefined || !model.entries.lets(at, principal)) return [];
    return edgesTo(model, id, at, changeAgainstIdentity(model, entry, principal));
  });
}

function edgesOfNobody(model: BlastModel, open: ReturnType<BlastModel["openTo"]>): StepEdge[] {
  return [...bitsIn(open)].flatMap((at) => {
    const entry = model.entries.all[at];
    if (entry === undefined || !model.entries.lets(at, null)) return [];
    return edgesTo(model, NOBODY, at, changeAgainstAnonymous(model, entry));
  });
}

/** As itself, while it is in its pod. */
function edgesThroughZtunnel(
  model: BlastModel,
  id: HoldingId,
  open: ReturnType<BlastModel["openTo"]>,
): readonly StepEdge[] {
  const workload = model.graph.byKey.get(restOf(id));
  if (workload === undefined) return [];
  const row = model.network.from(workload);
  const principal = principalOf(workload);
  return [...bitsIn(open)].flatMap((at) => {
    const entry = model.entries.all[at];
    const isWay = hasBit(model.entries.tunnels, at) && hasBit(row, at);
    if (entry === undefined || !isWay || !model.entries.lets(at, principal)) return [];
    return edgesTo(model, id, at, changeAgainstIdentity(model, entry, principal));
  });
}
