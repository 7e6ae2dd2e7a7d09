/** ServiceEntries are exported to the namespaces that use them: what one team registered for itself is no way out for all others. */
import type { Mesh } from "../../model/mesh.ts";
import { compileOutbound } from "../../policy/outbound/compile-outbound.ts";
import { effectiveExportTo, isVisible } from "../../policy/outbound/visibility.ts";
import { meshDirectory } from "../../policy/path/compiled-policies.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { clientChanges } from "../diff/client/client-changes.ts";
import { diffProxies } from "../diff/diff-mesh.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import type { Evidence } from "./evidence.ts";
import type { ClientFlow } from "./flow-reading.ts";
import { meshWith, type ResourceChange, TIGHTENED } from "./manifest.ts";
import { withoutApplied } from "./policy-manifest.ts";
import { isSameWay, serviceNamed } from "./same-way.ts";
import type { ExtraProposal } from "./sidecars.ts";

interface ExportPlan {
  readonly entry: Resource;
  /** Who sees it today, and would not. */
  readonly losing: readonly string[];
  readonly change: ResourceChange;
}

type Flows = Evidence["clients"];

const OPEN =
  "its hosts would be reached past it, for unregistered hosts are open to those who lose it (REGISTRY_ONLY closes them)";

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
  const kept = namespacesKept(mesh, evidence, inactive);
  const users = usersOf(mesh, evidence.clients);
  let plans = entriesOf(mesh).flatMap((entry) => planFor(mesh, entry, kept, users.get(entry) ?? new Map()));
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

/** Of whom too little is known to take anything away: gateways and waypoints, which send for others, and who logs nothing as a client. */
function namespacesKept(mesh: Mesh, evidence: Evidence, inactive: "keep" | "close"): ReadonlySet<string> {
  const kept = new Set<string>();
  for (const [namespace, own] of Map.groupBy(mesh.workloads, (workload) => workload.namespace)) {
    const isUntold = own.some(({ key }) => evidence.untold.has(key) || evidence.tooVaried.has(key));
    const sendsForOthers = own.some(({ role }) => role !== "application");
    const isSilent = own.some(({ key, dataplane }) => dataplane !== "none" && !evidence.clients.has(key));
    if (isUntold || sendsForOthers || (isSilent && inactive === "keep")) kept.add(namespace);
  }
  return kept;
}

/** By entry and namespace, how often its hosts were asked for. */
function usersOf(mesh: Mesh, flows: Flows): ReadonlyMap<Resource, ReadonlyMap<string, number>> {
  const users = new Map<Resource, Map<string, number>>();
  const note = (entry: Resource, namespace: string, requests: number): void => {
    const own = users.get(entry) ?? new Map<string, number>();
    users.set(entry, own.set(namespace, (own.get(namespace) ?? 0) + requests));
  };
  const { workloads } = meshDirectory(mesh);
  for (const [key, hosts] of flows) {
    const namespace = workloads.get(key)?.namespace;
    if (namespace === undefined) continue;
    for (const { host, requests } of hosts.values()) {
      const entry = serviceNamed(mesh, host, namespace)?.resource;
      if (entry?.kind === "ServiceEntry") note(entry, namespace, requests);
    }
  }
  return users;
}

function planFor(
  mesh: Mesh,
  entry: Resource,
  kept: ReadonlySet<string>,
  users: ReadonlyMap<string, number>,
): readonly ExportPlan[] {
  const { exportTo: declared } = entry.spec as { readonly exportTo?: readonly string[] };
  const today = effectiveExportTo(declared, mesh.config.defaultServiceExportTo);
  const namespaces = [...new Set(mesh.workloads.map(({ namespace }) => namespace))].sort();
  const seeing = namespaces.filter((namespace) => isVisible(today, entry.namespace, namespace));
  const staying = seeing.filter((namespace) => users.has(namespace) || kept.has(namespace));
  const losing = seeing.filter((namespace) => !staying.includes(namespace) && namespace !== entry.namespace);
  if (losing.length === 0) return [];
  const others = staying.filter((namespace) => namespace !== entry.namespace);
  const counts = [...users].map(([namespace, requests]) => `${namespace} (${requests} requests)`);
  const why =
    counts.length === 0
      ? "nobody was seen to use it: its own namespace, and those of which too little is known"
      : `the namespaces that use it: ${counts.join(", ")}`;
  return [{ entry, losing, change: changeFor(entry, [".", ...others], why) }];
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
    const { changes, notAnalysed } = clientChanges(mesh, after);
    const closing = new Set(changes.flatMap(({ causes }) => causes.map(({ resource }) => resource)));
    for (const plan of plans) if (!closing.has(resourceName(plan.entry))) found.set(plan, OPEN);
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
    if (was === undefined || is === undefined || was.role !== "application" || was.dataplane !== "sidecar")
      continue;
    // Clients of one namespace share what they are told, mostly.
    if (compileOutbound(before, was) === compileOutbound(after, is)) continue;
    for (const flow of hosts.values()) if (!isSameWay(before, was, after, is, flow)) yield flow;
  }
}
