/** ServiceEntries are exported to the namespaces that use them: what one team registered for itself is no way out for all others. */
import type { Mesh, Service } from "../../model/mesh.ts";
import { compileOutbound, sidecarOf } from "../../policy/outbound/compile-outbound.ts";
import { hostsOverlap, isWildcard } from "../../policy/outbound/host-name.ts";
import { effectiveExportTo, isVisible } from "../../policy/outbound/visibility.ts";
import { meshDirectory } from "../../policy/path/compiled-policies.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { clientChanges } from "../diff/client/client-changes.ts";
import { diffProxies } from "../diff/diff-mesh.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { entryUsers, isSidecarClient, noteOfUse } from "./entry-users.ts";
import type { Evidence } from "./evidence.ts";
import type { ClientFlow } from "./flow-reading.ts";
import { meshWith, type ResourceChange, TIGHTENED } from "./manifest.ts";
import { withoutApplied } from "./policy-manifest.ts";
import { isSameWay } from "./same-way.ts";
import type { ExtraProposal } from "./sidecars.ts";

interface ExportPlan {
  readonly entry: Resource;
  /** Who sees it today, and would not. */
  readonly losing: readonly string[];
  readonly change: ResourceChange;
}

type Flows = Evidence["clients"];

const OPEN =
  "its hosts would be reached past it, for unregistered hosts are open to those who would lose it (REGISTRY_ONLY closes them)";

/**
 * @param mesh as it is today.
 * @param closed with what else is proposed: a host that is hidden goes out all the same where unregistered ones do.
 */
export async function proposeExports(
  mesh: Mesh,
  closed: Mesh,
  evidence: Evidence,
  inactive: "keep" | "close",
): Promise<ExtraProposal> {
  const untouched: { workloads: readonly string[]; why: string }[] = [];
  const leave = (entry: Resource, why: string): void =>
    void untouched.push({ workloads: [resourceName(entry)], why: `exported as it is: ${why}` });
  if (evidence.clients.size === 0) return { changes: [], untouched };
  const users = entryUsers(mesh, evidence.clients);
  const kept = namespacesKept(mesh, evidence, users.untold, inactive);
  const open = openNamespaces(closed);
  const shared = new SharedHosts(mesh);
  let plans = entriesOf(mesh).flatMap((entry): readonly ExportPlan[] => {
    const use = users.of(entry);
    const planned = planFor(mesh, entry, { evidence, kept, open, shared, users: use.byNamespace });
    if (typeof planned === "string") leave(entry, planned);
    const note = typeof planned === "object" && use.byHost.size === 0 ? undefined : noteOfUse(entry, use);
    if (note !== undefined) untouched.push({ workloads: [resourceName(entry)], why: note });
    return planned === undefined || typeof planned === "string" ? [] : [planned];
  });
  while (plans.length > 0) {
    const bad = await problemsOf(closed, evidence.clients, plans);
    if (bad.size === 0) break;
    for (const [{ entry }, why] of bad) leave(entry, why);
    plans = plans.filter((plan) => !bad.has(plan));
  }
  return { changes: plans.map(({ change }) => change), untouched };
}

function entriesOf(mesh: Mesh): readonly Resource[] {
  return mesh.resources.filter(
    ({ kind, apiVersion }) => kind === "ServiceEntry" && apiVersion.startsWith("networking.istio.io/"),
  );
}

/**
 * Of whom too little is known to take anything away: gateways and waypoints, which send for others, who logs nothing as a client, and ambient mode,
 * whose ztunnels do not ask for whom an entry is.
 */
function namespacesKept(
  mesh: Mesh,
  evidence: Evidence,
  untold: ReadonlySet<string>,
  inactive: "keep" | "close",
): ReadonlySet<string> {
  const kept = new Set<string>();
  for (const [namespace, own] of Map.groupBy(mesh.workloads, (workload) => workload.namespace)) {
    const isUntold = own.some(({ key }) =>
      [evidence.untold, evidence.tooVaried, untold].some((all) => all.has(key)),
    );
    const sendsForOthers = own.some(
      ({ role, dataplane }) => role !== "application" || dataplane === "ambient",
    );
    const isSilent = own.some(({ key, dataplane }) => dataplane !== "none" && !evidence.clients.has(key));
    if (isUntold || sendsForOthers || (isSilent && inactive === "keep")) kept.add(namespace);
  }
  return kept;
}

/** Namespaces with clients that reach unregistered hosts: to hide an entry from them closes nothing, and takes its rules (TLS that they originate) away. */
function openNamespaces(mesh: Mesh): ReadonlySet<string> {
  const open = mesh.workloads.filter(
    (workload) =>
      isSidecarClient(workload) &&
      sidecarOf(mesh, workload).view.scope.outboundTraffic.mode !== "REGISTRY_ONLY",
  );
  return new Set(open.map(({ namespace }) => namespace));
}

/** Hosts that several resources have: who loses one is led by another, which may lead elsewhere. */
class SharedHosts {
  readonly #exact: ReadonlyMap<string, readonly Service[]>;
  readonly #wildcards: readonly Service[];

  constructor({ services }: Mesh) {
    this.#exact = Map.groupBy(services, ({ hostname }) => hostname.toLowerCase());
    this.#wildcards = services.filter(({ hostname }) => isWildcard(hostname));
  }

  /** Another resource with the host, or one that covers it. */
  other(entry: Resource, host: string): Service | undefined {
    const name = host.toLowerCase();
    const isOther = ({ resource }: Service): boolean => resource !== entry;
    const covering = this.#wildcards.filter(({ hostname }) => hostsOverlap(name, hostname.toLowerCase()));
    const covered = isWildcard(name)
      ? [...this.#exact].filter(([own]) => hostsOverlap(own, name)).flatMap(([, all]) => all)
      : [];
    return [...(this.#exact.get(name) ?? []), ...covering, ...covered].find(isOther);
  }
}

interface Known {
  readonly evidence: Evidence;
  readonly kept: ReadonlySet<string>;
  readonly open: ReadonlySet<string>;
  readonly shared: SharedHosts;
  readonly users: ReadonlyMap<string, number>;
}

/** Undefined: nobody would lose it. A text: why it stays as it is. */
function planFor(
  mesh: Mesh,
  entry: Resource,
  { evidence, kept, open, shared, users }: Known,
): ExportPlan | string | undefined {
  const { exportTo: declared, hosts = [] } = entry.spec as {
    readonly exportTo?: readonly string[];
    readonly hosts?: readonly string[];
  };
  const today = effectiveExportTo(declared, mesh.config.defaultServiceExportTo);
  const namespaces = [...new Set(mesh.workloads.map(({ namespace }) => namespace))].sort();
  const seeing = namespaces.filter((namespace) => isVisible(today, entry.namespace, namespace));
  const unused = seeing.filter(
    (namespace) => !users.has(namespace) && !kept.has(namespace) && namespace !== entry.namespace,
  );
  const losing = unused.filter((namespace) => !open.has(namespace));
  if (losing.length === 0) return unused.length === 0 ? undefined : OPEN;
  const other = hosts.flatMap((host) => shared.other(entry, host) ?? [])[0];
  if (other !== undefined)
    return `${resourceName(other.resource)} has hosts of it as well, and may lead elsewhere`;
  // Who is named by hand, and has no workloads in the files, is not known not to use it.
  const named = today.filter((name) => ![".", "*", "~", entry.namespace, ...namespaces].includes(name));
  const others = [
    ...seeing.filter((namespace) => !losing.includes(namespace) && namespace !== entry.namespace),
    ...named,
  ];
  const itself = isVisible(today, entry.namespace, entry.namespace) ? ["."] : [];
  const exportTo = [...itself, ...others].length === 0 ? ["~"] : [...itself, ...others];
  const counts = [...users].map(([namespace, requests]) => `${namespace} (${requests} requests)`);
  const why =
    counts.length === 0
      ? "nobody was seen to use it: its own namespace, and those of which too little is known"
      : `the namespaces that use it: ${counts.join(", ")}`;
  const past = others.filter(
    (namespace) => open.has(namespace) && !users.has(namespace) && !kept.has(namespace),
  );
  const stays =
    past.length === 0 ? "" : `; ${past.join(", ")} would reach its hosts past it (REGISTRY_ONLY closes them)`;
  const lost = `; no more for ${losing.map((namespace) => nameOfLosing(mesh, evidence, namespace)).join(", ")}`;
  return { entry, losing, change: changeFor(entry, exportTo, `${why}${stays}${lost}`) };
}

/** With those of whom nothing is known, who may need it. */
function nameOfLosing(mesh: Mesh, { clients }: Evidence, namespace: string): string {
  const silent = mesh.workloads.filter((own) => own.namespace === namespace && !clients.has(own.key));
  return silent.length === 0
    ? namespace
    : `${namespace} (nothing is known of ${silent.map(({ key }) => key).join(", ")} as clients)`;
}

function changeFor(entry: Resource, exportTo: readonly string[], why: string): ResourceChange {
  const { apiVersion, kind, name, namespace, labels, annotations } = entry;
  return {
    action: "replace",
    manifest: {
      apiVersion,
      kind,
      metadata: {
        name,
        namespace,
        ...(Object.keys(labels).length === 0 ? {} : { labels }),
        annotations: { ...withoutApplied(annotations), [TIGHTENED]: why },
      },
      spec: { ...(entry.spec as object), exportTo },
    },
    why,
  };
}

/** What is wider than with all of them, or sends what was seen elsewhere. */
async function problemsOf(
  mesh: Mesh,
  flows: Flows,
  plans: readonly ExportPlan[],
): Promise<ReadonlyMap<ExportPlan, string>> {
  const after = await meshWith(
    mesh,
    plans.map(({ change }) => change),
  );
  const found = new Map<ExportPlan, string>();
  const blame = (resources: readonly string[], why: string): void => {
    const named = plans.filter(({ entry }) => resources.includes(resourceName(entry)));
    for (const plan of named.length > 0 ? named : plans) if (!found.has(plan)) found.set(plan, why);
  };
  try {
    const { changes, notAnalysed } = clientChanges(mesh, after, { widenedOnly: true });
    const proxies = await diffProxies(mesh, after, "istio");
    for (const { change, witness, causes } of [...changes, ...proxies.changes])
      if (change === "widened")
        blame(
          causes.map(({ resource }) => resource),
          `it would open a way that is closed today: ${JSON.stringify(witness)}`,
        );
    for (const { why } of [...notAnalysed, ...proxies.notAnalysed])
      blame([], `it is not proven to be no wider than today: ${why}`);
  } catch (error) {
    if (!(error instanceof AnalysisLimit)) throw error;
    blame([], `it is not proven to be no wider than today: ${error.message}`);
  }
  for (const flow of brokenFlows(mesh, after, flows)) {
    const { namespace = "" } = meshDirectory(mesh).workloads.get(flow.workload) ?? {};
    const hiding = plans.filter(({ losing }) => losing.includes(namespace));
    blame(
      hiding.map(({ entry }) => resourceName(entry)),
      `what was seen would go another way, or nowhere: ${flow.workload} to ${flow.host}:${flow.port}`,
    );
  }
  return found;
}

function* brokenFlows(before: Mesh, after: Mesh, flows: Flows): Generator<ClientFlow> {
  const [old, now] = [before, after].map((mesh) => meshDirectory(mesh).workloads);
  for (const [key, hosts] of flows) {
    const [was, is] = [old?.get(key), now?.get(key)];
    if (was === undefined || is === undefined || !isSidecarClient(was)) continue;
    // Clients of one namespace share what they are told, mostly.
    if (compileOutbound(before, was) === compileOutbound(after, is)) continue;
    for (const flow of hosts.values()) if (!isSameWay(before, was, after, is, flow)) yield flow;
  }
}
