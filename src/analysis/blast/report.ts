/** One compromise in full: everything that it yields and whom it reaches, step by step, each with its reason and a request that shows it. */
import { decide } from "../../policy/decide.ts";
import type { Semantics } from "../../policy/inbound.ts";
import type { AccessRequest } from "../../policy/path/access-request.ts";
import { representativeRequests } from "../../policy/path/representative-requests.ts";
import { resourceName } from "../../resources/resource.ts";
import { type Bits, bitsIn, hasBit } from "./bits.ts";
import { type HoldingId, kindOf, principalOf } from "./component.ts";
import { type ComponentFacts, componentFacts } from "./component-facts.ts";
import type { EntryPoint } from "./entry-points.ts";
import type { Evidence } from "./gains.ts";
import type { Holdings, Yield } from "./holdings.ts";
import type { BlastModel, RadiusCounts } from "./radius.ts";
import { scoreOf } from "./score.ts";
import { type Sender, Senders } from "./senders.ts";

/** What is had without anybody's leave. */
export interface GainStep {
  readonly kind: "gains";
  readonly from: HoldingId;
  readonly to: HoldingId;
  readonly why: string;
  /** `Role shop/x (mesh.yaml:12)` */
  readonly places: readonly string[];
}

/** What is let through. */
export interface ReachStep {
  readonly kind: "reaches";
  /** 1: from what is held at once. 2: if one of those is compromised in turn, and so on. */
  readonly hop: number;
  /** From whose pod, `namespace/name`; null: from anywhere. */
  readonly from: string | null;
  /** With whose identity, without `spiffe://`; null: with none. */
  readonly as: string | null;
  /** `namespace/name` */
  readonly to: string;
  /** Of whom is reached, without `spiffe://`: what later steps may show. */
  readonly identity: string;
  readonly port: number;
  readonly way: EntryPoint["way"];
  readonly why: string;
  /** A request of `bulwark can --requests`; absent where none can say it. */
  readonly witness?: AccessRequest;
  /** Whether `can` lets the witness through; `unknown`: no request of these was, or nobody can ask. */
  readonly confirmed: "yes" | "unknown";
}

export interface BlastReport extends ComponentFacts {
  readonly component: HoldingId;
  readonly score: number;
  readonly counts: RadiusCounts;
  readonly workloads: number;
  /** Everything that is had, by kind (`key`, `token`, `account`, `secret` …), without the component itself. */
  readonly gained: Readonly<Record<string, readonly string[]>>;
  /** Workloads that it controls, `namespace/name`. */
  readonly controls: readonly string[];
  readonly gains: readonly GainStep[];
  readonly reaches: readonly ReachStep[];
  readonly further: readonly ReachStep[];
}

export interface ReportOptions {
  readonly semantics: Semantics;
  /** For how many steps a request is looked for; the others have none. */
  readonly witnesses: number;
}

export async function blastReport(
  model: BlastModel,
  component: HoldingId,
  options: ReportOptions,
): Promise<BlastReport> {
  const own = model.holdings.of(component);
  const counts = model.countsOf(component);
  const steps = await reachSteps(model, component, options);
  return {
    component,
    score: scoreOf(counts, model.total),
    counts,
    workloads: model.total,
    ...componentFacts(model, component),
    gained: gainedOf(own, component),
    controls: namesIn(model, model.radiusOf(component).controlled),
    gains: own.yields.flatMap(gainStep),
    reaches: steps.filter(({ hop }) => hop === 1),
    further: steps.filter(({ hop }) => hop > 1),
  };
}

export function namesIn({ mesh }: BlastModel, workloads: Bits): readonly string[] {
  return [...bitsIn(workloads)].flatMap((at) => mesh.workloads[at]?.key ?? []).sort();
}

function gainedOf({ yields }: Holdings, component: HoldingId): BlastReport["gained"] {
  const byKind = new Map<string, string[]>();
  for (const { id } of yields) {
    if (id === component) continue;
    const kind = kindOf(id);
    const list = byKind.get(kind) ?? [];
    list.push(id === kind ? id : id.slice(kind.length + 1));
    byKind.set(kind, list);
  }
  return Object.fromEntries([...byKind].map(([kind, names]) => [kind, names.sort()]));
}

function gainStep({ id, from, gain }: Yield): readonly GainStep[] {
  if (from === undefined || gain === undefined) return [];
  return [{ kind: "gains", from, to: id, why: gain.why, places: gain.evidence.map(placeText) }];
}

/** What is read from no file (what `istioctl install` would bring) has no place. */
export function placeText({ resource, path }: Evidence): string {
  if (resource.file === undefined) return resourceName(resource);
  const { file, line } = resource.locate(path);
  return `${resourceName(resource)} (${file}:${line})`;
}

/** Layer by layer, so that each workload stands at its least number of hops. */
async function reachSteps(
  model: BlastModel,
  component: HoldingId,
  { semantics, witnesses }: ReportOptions,
): Promise<readonly ReachStep[]> {
  const senders = new Senders(model);
  const held = model.growing();
  const hold = (own: Holdings): void => {
    held.add(own);
    senders.add(own);
  };
  hold(model.holdings.of(component));
  const controlled = model.radiusOf(component).controlled;
  const done = new Set<number>(bitsIn(controlled));
  const steps: ReachStep[] = [];
  for (let hop = 1; ; hop++) {
    const found = newTargets(model, held.open(), done);
    if (found.length === 0) return steps;
    for (const at of found) {
      const step = await stepTo(
        model,
        at,
        senders.to(at),
        hop,
        steps.length < witnesses ? semantics : undefined,
      );
      steps.push(step);
    }
    for (const at of found) {
      const target = model.entries.all[at]?.target ?? 0;
      done.add(target);
      for (const own of model.heldAt(target)) hold(own);
    }
  }
}

/** One entry point for each workload that is new; those that show an identity before others. */
function newTargets(model: BlastModel, open: Bits, done: ReadonlySet<number>): readonly number[] {
  const byTarget = new Map<number, number>();
  for (const at of bitsIn(open)) {
    const target = model.entries.all[at]?.target ?? 0;
    if (!done.has(target) && hasBit(model.counted, target) && !byTarget.has(target)) byTarget.set(target, at);
  }
  return [...byTarget.values()];
}

async function stepTo(
  model: BlastModel,
  at: number,
  sender: Sender,
  hop: number,
  semantics: Semantics | undefined,
): Promise<ReachStep> {
  const { mesh, entries } = model;
  const entry = entries.all[at];
  if (entry === undefined) throw new Error("BUG: no such entry point");
  const from = sender.from === null ? null : (mesh.workloads[sender.from]?.key ?? null);
  const target = mesh.workloads[entry.target];
  const base = {
    kind: "reaches",
    hop,
    from,
    as: sender.as,
    to: target?.key ?? "",
    identity: target === undefined ? "" : principalOf(target),
    port: entry.port,
    way: entry.way,
  } as const;
  if (sender.loosened !== undefined) return { ...base, why: sender.loosened, confirmed: "unknown" };
  const shown = semantics === undefined ? undefined : await showing(model, entry, sender, semantics);
  if (shown === undefined) return { ...base, why: whyBySets(model, entry, base.as), confirmed: "unknown" };
  return { ...base, why: shown.why, witness: shown.request, confirmed: "yes" };
}

function whyBySets({ mesh, graph }: BlastModel, { target }: EntryPoint, as: string | null): string {
  const workload = mesh.workloads[target];
  const part = workload === undefined ? undefined : graph.parts.get(workload);
  if (part === "gateway")
    return `the gateway lets ${as === null ? "in who shows no identity" : `${as} in`}; its routes are not asked about`;
  if (part === "waypoint") return "a waypoint takes tunnels from every identity of the mesh";
  return as === null ? "policies let in who shows no identity" : `policies let ${as} in`;
}

/** A request that `can` lets through; undefined where those that policies suggest are not, or it cannot be said in one. */
async function showing(
  { mesh }: BlastModel,
  entry: EntryPoint,
  { from, as, captured }: Sender,
  semantics: Semantics,
): Promise<{ readonly request: AccessRequest; readonly why: string } | undefined> {
  const target = mesh.workloads[entry.target];
  if (target === undefined) return undefined;
  const sender = from === null ? undefined : mesh.workloads[from];
  // As its own pod's ztunnel speaks for it: the same, whoever has the key.
  const asItself = captured || (sender?.dataplane === "ambient" && as === principalOf(sender));
  // Through a waypoint `can` follows the client's own proxy, which a thief of keys is not.
  if (entry.way === "waypoint" && !asItself) return undefined;
  const source = {
    ...(sender === undefined ? {} : { workload: sender.key }),
    ...(asItself ? {} : { principal: as }),
  };
  const to =
    entry.way === "waypoint" && entry.service !== undefined
      ? { service: entry.service.host, port: entry.service.port }
      : { workload: target.key, port: entry.port };
  const plain = [...representativeRequests(mesh, target, entry.port, true), { protocol: "tcp" as const }];
  const asked = plain.map((template) => ({ ...template, extAuthz: "allow" as const }));
  for (const template of [...plain, ...asked]) {
    const request = { ...template, from: source, to };
    const { allowed, policy, rule, cause } = await decide(mesh, request, { semantics, compareModes: false });
    if (allowed) return { request, why: reasonText(policy, rule, cause, mesh) };
  }
  return undefined;
}

function reasonText(
  policy: string | null,
  rule: number | null,
  cause: string,
  mesh: BlastModel["mesh"],
): string {
  if (policy === null) return `nothing keeps it out (${cause})`;
  const resource = mesh.resources.find((one) => resourceName(one) === policy);
  const path = rule === null ? ["spec"] : ["spec", "rules", rule];
  const place = resource?.file === undefined ? "" : ` (${resource.file}:${resource.locate(path).line})`;
  return `${policy}${rule === null ? "" : ` rule ${rule}`} lets it through${place}`;
}
