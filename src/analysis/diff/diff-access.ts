/** Who may reach what after a change that could not before, and the other way round: computed, not sampled. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { AuthorizationCache } from "../../policy/authorization-cache.ts";
import { compileInbound, type Semantics } from "../../policy/inbound.ts";
import type { AccessRequest } from "../../policy/path/access-request.ts";
import { coverToJoin, type JoinedRegion, joinAlternatives } from "../space/alternatives.ts";
import { ambientServer } from "../space/ambient-server.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { Complexity } from "../space/complexity.ts";
import { describeJoined, type Saying } from "../space/describe.ts";
import { type Diagram, NO, type Operation, OR, type Outcome, YES } from "../space/diagram.ts";
import { ABSENT, unverifiedCell } from "../space/dimension.ts";
import { diagramOf, type Region, toldOnce } from "../space/regions.ts";
import { type AnalysedServer, ASKS, ServerSpace } from "../space/server-space.ts";
import { TooComplex } from "../space/too-complex.ts";
import { witnessOf } from "../space/witness.ts";
import { attachedCauses } from "./attached-causes.ts";
import { borrowedAccounts } from "./borrowed-accounts.ts";
import { type Cause, changedResources } from "./causes.ts";
import { type ClientChange, type ClientDiff, clientChanges, joinedChanges } from "./client/client-changes.ts";
import { ztunnelChanges } from "./client/ztunnel-changes.ts";
import { notComparedOf, otherClients } from "./compared-kinds.ts";
import { endpointChanges } from "./endpoint-changes.ts";
import { KnownCallers } from "./known-callers.ts";
import { type NetworkChange, networkChanges } from "./network-changes.ts";
import { NetworkSenders, type SendersTo } from "./network-senders.ts";
import { serverFacts } from "./server-facts.ts";
import { tokenKeyChanges } from "./token-keys.ts";
import { unreadChanges } from "./unread-fields.ts";
import { unreadMakers } from "./unread-makers.ts";
import { witnessRequest } from "./witness-request.ts";

/** What a change takes away that stood in the way before. */
export type Weakening =
  | "mutual TLS is no longer required"
  | "a token is no longer required"
  | "a token that does not verify is no longer refused"
  | "an external authorizer is no longer asked";

export interface AccessChange {
  readonly change: "widened" | "narrowed";
  /** The workloads for which it is so, `namespace/name`: all have the same policies before, and the same after. */
  readonly workloads: readonly string[];
  /** By whom and how, in words: what is not named is open. */
  readonly requests: readonly Saying[];
  /** Callers of the mesh that it concerns; others may be besides, see `requests`. */
  readonly callers: readonly string[];
  readonly weakens: readonly Weakening[];
  /** A request of the region, which `can` answers differently before and after; not where it is held back. */
  readonly witness: AccessRequest;
  /** True where no workload of that identity may connect at all, by network policies: the request does not get there. */
  readonly heldBack?: true;
  readonly causes: readonly Cause[];
}

export interface MeshDiff {
  readonly changes: readonly AccessChange[];
  /** Where clients' own sidecars, or their nodes' ztunnels, let them go that they did not, and the other way round: routes, egress, TLS. */
  readonly clients: readonly ClientChange[];
  /** What network policies let through that they did not before, and the other way round: connections, whatever is said on them. */
  readonly network: readonly NetworkChange[];
  /** Of which it could not be computed what changes, and why. */
  readonly notAnalysed: readonly NotAnalysed[];
  /** Workloads that are new, and that are no more. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Changes of kinds that are not compared: what they give or take is not told. */
  readonly notCompared: readonly Cause[];
}

export interface NotAnalysed {
  readonly workloads: readonly string[];
  readonly why: string;
  /** Present where the budget was used up. */
  readonly isTooComplex?: true;
}

export interface DiffOptions {
  readonly semantics: Semantics;
  /** How many regions of one class of workloads are told before it is said that there are more. */
  readonly regionLimit?: number;
  /** Somebody else compares gateways and waypoints. */
  readonly withoutProxies?: boolean;
}

/** A workload before and after; one of the two may not be. */
interface Pair {
  readonly before: Workload | undefined;
  readonly after: Workload | undefined;
}

/** Compares the servers' side of every workload. Gateways and waypoints are not analysed here: {@link diffMesh} does. */
export function diffAccess(before: Mesh, after: Mesh, options: DiffOptions): MeshDiff {
  const isCompared = ({ role }: Workload): boolean =>
    role === "application" || options.withoutProxies !== true;
  const classes = changedClasses(before, after, isCompared);
  const callers = new KnownCallers([before, after]);
  const caches = [new AuthorizationCache(), new AuthorizationCache()] as const;
  const changes: AccessChange[] = [];
  const notAnalysed: NotAnalysed[] = [];
  const complexity = new Complexity();
  for (const pairs of classes) {
    const workloads = pairs.map(keyOf);
    const [pair] = pairs;
    if (pair === undefined) continue;
    try {
      const compiled = [
        compile(before, pair.before, options.semantics, caches[0]),
        compile(after, pair.after, options.semantics, caches[1]),
      ] as const;
      const causes = causesOf(before, after, pair);
      const senders = [sendersTo(before, pair.before), sendersTo(after, pair.after)] as const;
      const limit = options.regionLimit ?? 20;
      const sides = compiled.filter((side) => side !== undefined);
      const facts = { workloads, causes, callers, senders, limit };
      changes.push(...complexity.of(sides, () => compare(compiled, facts)));
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      notAnalysed.push({
        workloads,
        why: error.message,
        ...(error instanceof TooComplex ? { isTooComplex: true } : {}),
      });
    }
  }
  const network = orNotAnalysed(() => networkChanges(before, after), [], after, notAnalysed);
  const clients = orNotAnalysed(
    () => clientChanges(before, after, { semantics: options.semantics }),
    NO_CLIENTS,
    after,
    notAnalysed,
  );
  const ambient = orNotAnalysed(() => ztunnelChanges(before, after), NO_CLIENTS, after, notAnalysed);
  notAnalysed.push(
    ...clients.notAnalysed,
    ...ambient.notAnalysed,
    ...otherClients(before, after, isCompared),
    ...unreadMakers(before, after),
  );
  const joined = joinedChanges([...clients.changes, ...ambient.changes]);
  const keys = (from: Mesh, other: Mesh): string[] => {
    const others = new Set(other.workloads.map(({ key }) => key));
    return from.workloads.map(({ key }) => key).filter((key) => !others.has(key));
  };
  return {
    changes: changes.toSorted(byWeight),
    clients: joined,
    network,
    notAnalysed,
    added: keys(after, before),
    removed: keys(before, after),
    notCompared: [
      ...changedResources(...notComparedOf([before, after], options)),
      ...unreadChanges(before, after),
      ...tokenKeyChanges(before, after),
      ...endpointChanges(before, after, new Set(joined.flatMap(({ dialled }) => dialled))),
      ...borrowedAccounts(before, after),
    ],
  };
}

const NO_CLIENTS: ClientDiff = { changes: [], notAnalysed: [] };

function orNotAnalysed<T>(
  compute: () => T,
  otherwise: T,
  { workloads }: Mesh,
  notAnalysed: NotAnalysed[],
): T {
  try {
    return compute();
  } catch (error) {
    if (!(error instanceof AnalysisLimit)) throw error;
    notAnalysed.push({ workloads: workloads.map(({ key }) => key), why: error.message });
    return otherwise;
  }
}

/** Weakened authentication first, then what is wider, then what is narrower. */
function byWeight(a: AccessChange, b: AccessChange): number {
  const weight = ({ change, weakens }: AccessChange): number =>
    (weakens.length > 0 ? 0 : 1) + (change === "widened" ? 0 : 2);
  return weight(a) - weight(b);
}

function keyOf({ before, after }: Pair): string {
  return (after ?? before)?.key ?? "";
}

/** Workloads that differ, those together that differ alike. */
function changedClasses(
  before: Mesh,
  after: Mesh,
  isCompared: (workload: Workload) => boolean,
): readonly (readonly Pair[])[] {
  const pairs = new Map<string, { before: Workload | undefined; after: Workload | undefined }>();
  for (const workload of before.workloads) pairs.set(workload.key, { before: workload, after: undefined });
  for (const workload of after.workloads) {
    pairs.set(workload.key, { before: pairs.get(workload.key)?.before, after: workload });
  }
  const classes = new Map<string, Pair[]>();
  for (const pair of pairs.values()) {
    if ([pair.before, pair.after].every((own) => own === undefined || !isCompared(own))) continue;
    const old = pair.before === undefined ? "" : serverFacts(before, pair.before).text;
    const now = pair.after === undefined ? "" : serverFacts(after, pair.after).text;
    if (old === now) continue;
    const key = `${old}\n\n${now}`;
    const known = classes.get(key);
    if (known === undefined) classes.set(key, [pair]);
    else known.push(pair);
  }
  return [...classes.values()];
}

function compile(
  mesh: Mesh,
  workload: Workload | undefined,
  semantics: Semantics,
  cache: AuthorizationCache,
): AnalysedServer | undefined {
  if (workload === undefined) return undefined;
  if (workload.role !== "application")
    throw new AnalysisLimit(`a ${workload.role}'s own listeners are not analysed`);
  if (workload.dataplane === "ambient") return ambientServer(mesh, workload, semantics);
  return compileInbound(mesh, workload, { semantics, cache });
}

function sendersTo(mesh: Mesh, server: Workload | undefined): SendersTo | null {
  return server === undefined ? null : new NetworkSenders(mesh).to(server);
}

interface ClassFacts {
  readonly workloads: readonly string[];
  readonly causes: readonly Cause[];
  readonly callers: KnownCallers;
  /** Of the old and the new mesh; null: anybody may connect. */
  readonly senders: readonly [before: SendersTo | null, after: SendersTo | null];
  readonly limit: number;
}

type Sides = readonly [before: AnalysedServer | undefined, after: AnalysedServer | undefined];

function compare(sides: Sides, facts: ClassFacts): readonly AccessChange[] {
  const space = new ServerSpace(sides.filter((side) => side !== undefined));
  const [before, after] = sides.map((side) => (side === undefined ? NO : space.outcomes(side))) as [
    Diagram,
    Diagram,
  ];
  return [
    ...changesIn(space, "widened", before, after, facts),
    ...changesIn(space, "narrowed", after, before, facts),
  ];
}

/** Dimensions of which what one region has told is taken out of the next. */
const CONNECTION = ["port", "protocol", "identity"] as const;

/** What `wider` lets through, or lets an authorizer decide on, that `narrower` does not. */
function changesIn(
  space: ServerSpace,
  change: AccessChange["change"],
  narrower: Diagram,
  wider: Diagram,
  { workloads, causes, callers, senders, limit }: ClassFacts,
): readonly AccessChange[] {
  const { diagrams, dimensions } = space;
  const set = diagrams.apply(WIDENS, wider, narrower);
  const { regions, rest } = coverToJoin(diagrams, dimensions, set, { requests: space.requests, limit });
  const connection = new Set(CONNECTION.flatMap((id) => space.placeOf(id) ?? []));
  const joined = joinAlternatives(dimensions, toldOnce(diagrams, regions, connection));
  if (rest !== NO || joined.length > limit)
    throw new AnalysisLimit(`more than ${limit} regions ${change === "widened" ? "wider" : "narrower"}`);
  return joined.map((told): AccessChange => {
    const { region } = told;
    const parts = told.of.map((part) => diagrams.and(set, diagramOf(diagrams, part)));
    const own = diagrams.all(OR, parts, NO);
    const point = witnessOf(diagrams, dimensions, own);
    if (point === undefined) throw new Error("BUG: a region without any request");
    const sample = callers.settle(dimensions, point);
    const wider = senders[change === "widened" ? 1 : 0];
    const sender = wider?.first(sample.principal, sample.port);
    return {
      change,
      workloads,
      requests: describeJoined(dimensions, told),
      callers: callers.in(dimensions, region),
      weakens: change === "widened" ? weakeningsOf(space, narrower, parts, told) : [],
      witness: witnessRequest(dimensions, sample, workloads[0] ?? "", sender),
      ...(wider !== null && sender === undefined ? { heldBack: true } : {}),
      causes,
    };
  });
}

/** Whether the first lets through more than the second: an answer that hangs on an authorizer is between yes and no. */
const WIDENS: Operation = {
  name: "widens",
  of: (wider, narrower) => (rank(wider) > rank(narrower) ? YES : NO),
};

function rank(outcome: Outcome): number {
  return outcome === YES ? 2 : outcome === ASKS ? 1 : 0;
}

/** Those of each of the regions that are told as one. */
function weakeningsOf(
  space: ServerSpace,
  before: Diagram,
  parts: readonly Diagram[],
  { of }: JoinedRegion,
): readonly Weakening[] {
  const found = of.flatMap((region, at) => weakenings(space, before, parts[at] ?? NO, region));
  return [...new Set(found)];
}

/** Where before the same was let through with an identity, a token or an authorizer's word alone. */
function weakenings(space: ServerSpace, before: Diagram, set: Diagram, region: Region): readonly Weakening[] {
  const { diagrams, dimensions } = space;
  const found: Weakening[] = [];
  const wasLet = diagrams.apply(ANY, before, NO);
  const lacks = (id: string, also: (id: string) => boolean): boolean => {
    const place = space.placeOf(id);
    if (place === undefined) return false;
    const without = diagrams.within(place, [ABSENT]);
    if (diagrams.and(set, without) === NO) return false;
    const others = new Map([...region].filter(([at]) => at !== place && !also(dimensions[at]?.id ?? "")));
    const elsewhere = diagrams.and(wasLet, diagramOf(diagrams, others));
    return diagrams.and(elsewhere, without) === NO && diagrams.minus(elsewhere, without) !== NO;
  };
  if (lacks("identity", (id) => id === "sni")) found.push("mutual TLS is no longer required");
  if (lacks("token", (id) => id.startsWith("claim "))) found.push("a token is no longer required");
  if (isBadTokenLet(space, wasLet, set, region))
    found.push("a token that does not verify is no longer refused");
  const asked = diagrams.where(before, ASKS);
  if (diagrams.and(set, asked) !== NO) found.push("an external authorizer is no longer asked");
  return found;
}

/** Where before the same was let through without a token, or with a good one. */
function isBadTokenLet(space: ServerSpace, wasLet: Diagram, set: Diagram, region: Region): boolean {
  const { diagrams, dimensions } = space;
  const place = space.placeOf("token");
  const cell = place === undefined ? undefined : unverifiedCell(dimensions[place]);
  if (place === undefined || cell === undefined) return false;
  const bad = diagrams.within(place, [cell]);
  if (diagrams.and(set, bad) === NO) return false;
  const others = [...region].filter(
    ([at]) => at !== place && dimensions[at]?.id.startsWith("claim ") !== true,
  );
  const elsewhere = diagrams.and(wasLet, diagramOf(diagrams, new Map(others)));
  return elsewhere !== NO && diagrams.and(elsewhere, bad) === NO;
}

const ANY: Operation = { name: "any", of: (outcome) => (outcome === NO ? NO : YES) };

/** Why other policies hold than did, and what else it hangs on where that is not the same. */
function causesOf(before: Mesh, after: Mesh, pair: Pair): readonly Cause[] {
  const old = pair.before === undefined ? undefined : serverFacts(before, pair.before);
  const now = pair.after === undefined ? undefined : serverFacts(after, pair.after);
  const policies = [old?.resources ?? [], now?.resources ?? []] as const;
  const indirect = (): readonly Cause[] => indirectCauses(before, after, pair);
  const causes = attachedCauses([before, after], policies, indirect);
  if (causes.length > 0 && old?.own === now?.own) return causes;
  const told = new Set(causes.map(({ resource }) => resource));
  return [...indirect().filter(({ resource }) => !told.has(resource)), ...causes];
}

/** What says how a workload is served, beside its policies. */
const SERVING: ReadonlySet<string> = new Set(["ConfigMap", "Namespace", "Service", "Sidecar"]);

/** Beside policies: its own text, or else what its namespace and the mesh say. None is made up. */
function indirectCauses(before: Mesh, after: Mesh, pair: Pair): readonly Cause[] {
  const own = (workload: Workload | undefined) => (workload === undefined ? [] : [workload.resource]);
  const itself = changedResources(own(pair.before), own(pair.after));
  if (itself.length > 0) return itself;
  const namespace = (pair.after ?? pair.before)?.namespace;
  const of = ({ resources, config }: Mesh) =>
    resources.filter(
      (resource) =>
        SERVING.has(resource.kind) &&
        (resource.namespace === namespace ||
          resource.namespace === config.rootNamespace ||
          resource.name === namespace),
    );
  return changedResources(of(before), of(after));
}
