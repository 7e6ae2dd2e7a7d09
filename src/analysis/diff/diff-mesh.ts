/** All that a change gives and takes: at servers, for clients, in the network, and at the gateways and waypoints between them. */
import type { Mesh } from "../../model/mesh.ts";
import { GATEWAY_API_GROUP } from "../../policy/gateway-api/shapes.ts";
import type { Semantics } from "../../policy/inbound.ts";
import { gatewaysAt } from "../../policy/outbound/gateway-servers.ts";
import { isWaypointClass, waypointOfService, waypointOfWorkload } from "../../policy/waypoint/waypoints.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { attachedCauses } from "./attached-causes.ts";
import { type Cause, changedResources } from "./causes.ts";
import { withFlippingWitness } from "./client/flipping-witness.ts";
import { type DiffOptions, diffAccess, type MeshDiff, type NotAnalysed } from "./diff-access.ts";
import { withWitnesses } from "./network-witness.ts";
import { gatewaySide } from "./proxies/gateway-side.ts";
import { journeyContext } from "./proxies/passage.ts";
import { compareProxies, type ProxyChange } from "./proxies/proxy-changes.ts";
import type { ProxySide } from "./proxies/proxy-side.ts";
import { nameOfSubject, type Subject, type WaypointSide, waypointSide } from "./proxies/waypoint-side.ts";

export interface WholeDiff extends MeshDiff {
  /** What gateways let in, what waypoints let pass, and where they send it. */
  readonly proxies: readonly ProxyChange[];
}

/** Compares every server, every client, the network, and every gateway and waypoint. */
export async function diffMesh(before: Mesh, after: Mesh, options: DiffOptions): Promise<WholeDiff> {
  const diff = diffAccess(before, after, { ...options, withoutProxies: true });
  const { changes, notAnalysed, notCompared } = await diffProxies(before, after, options.semantics);
  return {
    ...diff,
    clients: await withFlippingWitness([before, after], options.semantics, diff.clients),
    network: await withWitnesses([before, after], options.semantics, diff.network),
    proxies: changes.toSorted((a, b) => weightOf(a) - weightOf(b)),
    notAnalysed: [...diff.notAnalysed, ...notAnalysed],
    notCompared: [...diff.notCompared, ...notCompared],
  };
}

/** What changes at gateways and waypoints alone. */
export function diffProxies(before: Mesh, after: Mesh, semantics: Semantics): Promise<ProxyDifference> {
  return new ProxyDiff(before, after, semantics).compute();
}

export interface ProxyDifference {
  readonly changes: readonly ProxyChange[];
  readonly notAnalysed: readonly NotAnalysed[];
  readonly notCompared: readonly Cause[];
}

function weightOf({ change, weakens, leaves }: ProxyChange): number {
  return (weakens.length > 0 ? 0 : leaves ? 1 : 2) + (change === "widened" ? 0 : 3);
}

/** Policies hold for some proxies; what else is here may bear on each. */
const POLICIES: ReadonlySet<string> = new Set([
  "AuthorizationPolicy",
  "RequestAuthentication",
  "PeerAuthentication",
]);
/** Kinds that no proxy on the way hangs on. */
const BESIDE: ReadonlySet<string> = new Set([
  "NetworkPolicy",
  "AdminNetworkPolicy",
  "BaselineAdminNetworkPolicy",
  "AccessInvariant",
  "ServiceAccount",
  "Sidecar",
]);

class ProxyDiff {
  readonly #meshes: readonly [before: Mesh, after: Mesh];
  readonly #semantics: Semantics;
  readonly #changed: readonly Cause[];
  readonly #read = new Set<string>();
  readonly #changes: ProxyChange[] = [];
  readonly #notAnalysed: NotAnalysed[] = [];
  readonly #notCompared: Cause[] = [];

  constructor(before: Mesh, after: Mesh, semantics: Semantics) {
    this.#meshes = [before, after];
    this.#semantics = semantics;
    const bearing = ({ resources }: Mesh): readonly Resource[] =>
      resources.filter(({ kind }) => !BESIDE.has(kind));
    this.#changed = changedResources(bearing(before), bearing(after));
  }

  async compute(): Promise<ProxyDifference> {
    const [before, after] = this.#meshes;
    const isSame =
      this.#changed.length === 0 && JSON.stringify(before.config) === JSON.stringify(after.config);
    if (!isSame) {
      await this.#gateways();
      await this.#waypoints();
      this.#unread();
    }
    return { changes: this.#changes, notAnalysed: this.#notAnalysed, notCompared: this.#notCompared };
  }

  async #gateways(): Promise<void> {
    const [before, after] = this.#meshes;
    const old = new Map(before.workloads.map((workload) => [workload.key, workload]));
    for (const workload of after.workloads) {
      const known = old.get(workload.key);
      if (known === undefined || ![known, workload].some(({ role }) => role === "gateway")) continue;
      const meshes = [before, after] as const;
      const sides = [known, workload].map((own, at) =>
        gatewaySide(journeyContext(meshes[at === 0 ? 0 : 1], this.#semantics), own),
      );
      const moved = changedResources([known.resource], [workload.resource]);
      await this.#compare("gateway", workload.key, sides, moved);
    }
  }

  async #waypoints(): Promise<void> {
    for (const [name, subjects] of this.#subjects()) {
      const sides: WaypointSide[] = [];
      for (const [at, subject] of subjects.entries()) {
        const side = waypointSide(journeyContext(this.#meshes[at === 0 ? 0 : 1], this.#semantics), subject);
        if (typeof side === "string") this.#notAnalysed.push({ workloads: [name], why: side });
        else sides.push(side);
      }
      const isAny = sides.some(({ waypoint }) => waypoint !== null);
      const [old, now] = subjects.map(resourceOf);
      const moved = changedResources(old ?? [], now ?? []);
      if (isAny && sides.length === 2) await this.#compare("waypoint", name, sides, moved);
    }
  }

  /** Services and workloads of both meshes before which a waypoint stands in one of them. */
  #subjects(): ReadonlyMap<string, readonly Subject[]> {
    const both = new Map<string, readonly Subject[]>();
    const [before, after] = this.#meshes;
    if (![before, after].some(({ resources }) => resources.some(isGateway))) return both;
    const old = subjectsOf(before);
    for (const [name, now] of subjectsOf(after)) {
      const known = old.get(name);
      if (known !== undefined && (isBound(before, known) || isBound(after, now)))
        both.set(name, [known, now]);
    }
    return both;
  }

  async #compare(
    role: ProxyChange["role"],
    name: string,
    [before, after]: readonly ProxySide[],
    moved: readonly Cause[],
  ): Promise<void> {
    if (before === undefined || after === undefined) return;
    const sides = [before, after] as const;
    for (const gateway of sides.flatMap(({ read }) => read)) this.#read.add(gateway);
    const own = attachedCauses(this.#meshes, [before.resources, after.resources], () => moved);
    const others = this.#changed.filter(({ resource }) => !POLICIES.has(resource.split(" ")[0] ?? ""));
    const { config } = this.#meshes[0];
    const isConfigured = JSON.stringify(config) !== JSON.stringify(this.#meshes[1].config);
    if (own.length + others.length === 0 && !isConfigured) return;
    for (const why of new Set(sides.flatMap(({ unclear }) => unclear)))
      this.#notAnalysed.push({ workloads: [name], why });
    const compared = { role, name, meshes: this.#meshes, sides, semantics: this.#semantics };
    try {
      const told = new Set(own.map(({ resource }) => resource));
      const causes = [...own, ...others.filter(({ resource }) => !told.has(resource))];
      this.#changes.push(...(await compareProxies({ ...compared, causes })));
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      this.#notAnalysed.push({ workloads: [name], why: error.message });
    }
  }

  /** Gateways whose pods are in none of the files, or in one mesh alone: nobody was asked what they do. */
  #unread(): void {
    const unread = new Map(
      this.#meshes
        .flatMap(({ resources }) => resources.filter(isGateway).filter((own) => !isIdle(resources, own)))
        .filter((own) => !this.#read.has(resourceName(own)))
        .map((own) => [resourceName(own), own]),
    );
    for (const [name, own] of unread) {
      const cause = this.#changed.find(({ resource }) => resource === name);
      if (cause !== undefined) this.#notCompared.push(cause);
      else if (this.#bearsOn(own)) this.#notAnalysed.push({ workloads: [name], why: this.#whyUnread(name) });
    }
  }

  /** Pods with ports of an application are one's, whatever a Gateway's labels say. */
  #whyUnread(name: string): string {
    const [before, after] = this.#meshes.map(
      (mesh) =>
        new Set(
          mesh.workloads
            .filter((workload) => gatewaysAt(mesh, workload).includes(name))
            .map(({ key }) => key),
        ),
    );
    const isInBoth = [...(before ?? [])].some((key) => after?.has(key));
    return `${isInBoth ? NO_GATEWAY : NO_PODS}; what it lets in is not compared`;
  }

  #bearsOn({ namespace }: Resource): boolean {
    const namespaces = new Set([namespace, ...this.#meshes.map(({ config }) => config.rootNamespace)]);
    return this.#changed.some(({ resource }) => {
      const [kind = "", name = ""] = resource.split(" ");
      return POLICIES.has(kind) ? namespaces.has(name.split("/")[0] ?? "") : OF_ROUTES.has(kind);
    });
  }
}

const NO_PODS = "it is not served by pods that are in the files of both";
const NO_GATEWAY =
  "the pods that it selects are taken for an application's (they declare ports, are not made from the template `gateway`, and run no `proxy router`)";

const OF_ROUTES: ReadonlySet<string> = new Set([
  "Gateway",
  "HTTPRoute",
  "GRPCRoute",
  "TCPRoute",
  "TLSRoute",
  "ReferenceGrant",
  "VirtualService",
]);

/** A waypoint that stands before nothing: whatever it stands before was compared. */
function isIdle(resources: readonly Resource[], { apiVersion, spec }: Resource): boolean {
  const { gatewayClassName = "" } = spec as { readonly gatewayClassName?: string };
  return apiVersion.startsWith(`${GATEWAY_API_GROUP}/`) && isWaypointClass(resources, gatewayClassName);
}

function isGateway({ kind, apiVersion }: Resource): boolean {
  return (
    kind === "Gateway" &&
    (apiVersion.startsWith(`${GATEWAY_API_GROUP}/`) || apiVersion.startsWith("networking.istio.io/"))
  );
}

function subjectsOf(mesh: Mesh): ReadonlyMap<string, Subject> {
  const subjects: Subject[] = [
    ...mesh.services.map((service): Subject => ({ kind: "service", service })),
    ...mesh.workloads
      .filter(({ role }) => role === "application")
      .map((workload): Subject => ({ kind: "workload", workload })),
  ];
  return new Map(subjects.map((subject) => [`${subject.kind} ${nameOfSubject(subject)}`, subject]));
}

function resourceOf(subject: Subject): readonly Resource[] {
  return [subject.kind === "service" ? subject.service.resource : subject.workload.resource];
}

/** Whether clients send by a waypoint to it, or it cannot be told. */
function isBound(mesh: Mesh, subject: Subject): boolean {
  const binding =
    subject.kind === "service"
      ? waypointOfService(mesh, subject.service)
      : waypointOfWorkload(mesh, subject.workload);
  return binding.kind !== "none";
}
