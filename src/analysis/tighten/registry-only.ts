/** Namespaces whose clients asked for registered hosts alone are closed to all others: a Sidecar of the namespace with `REGISTRY_ONLY`. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { type SidecarShape, shapeOf } from "../../policy/outbound/resource-shapes.ts";
import { selectSidecar } from "../../policy/outbound/sidecar-scope.ts";
import { meshDirectory } from "../../policy/path/compiled-policies.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { clientChanges } from "../diff/client/client-changes.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import type { Evidence } from "./evidence.ts";
import { meshWith, type ResourceChange, TIGHTENED } from "./manifest.ts";
import { withoutApplied } from "./policy-manifest.ts";
import { isSameWay } from "./same-way.ts";
import type { ExtraProposal } from "./sidecars.ts";

interface RegistryPlan {
  readonly namespace: string;
  readonly clients: readonly Workload[];
  readonly change: ResourceChange;
}

const WHY = "every host that was asked for is registered: others are closed";

export async function proposeRegistryOnly(
  mesh: Mesh,
  evidence: Evidence,
  inactive: "keep" | "close",
): Promise<ExtraProposal> {
  const untouched: { workloads: readonly string[]; why: string }[] = [];
  const leave = (clients: readonly Workload[], why: string): void =>
    void untouched.push({ workloads: clients.map(({ key }) => key), why: `no REGISTRY_ONLY: ${why}` });
  let plans: readonly RegistryPlan[] = [...clientsByNamespace(mesh)].flatMap(([namespace, clients]) => {
    const planned = planFor(mesh, evidence, namespace, clients, inactive);
    if (typeof planned === "string") leave(clients, planned);
    return planned === undefined || typeof planned === "string" ? [] : [planned];
  });
  while (plans.length > 0) {
    const bad = await problemsOf(mesh, evidence, plans);
    if (bad.size === 0) break;
    for (const [{ clients }, why] of bad) leave(clients, why);
    plans = plans.filter((plan) => !bad.has(plan));
  }
  return { changes: plans.map(({ change }) => change), untouched };
}

/** Of applications behind sidecars, whom a Sidecar of the namespace holds for. */
function clientsByNamespace(mesh: Mesh): ReadonlyMap<string, readonly Workload[]> {
  const clients = mesh.workloads.filter(
    ({ role, dataplane }) => role === "application" && dataplane === "sidecar",
  );
  return Map.groupBy(clients, ({ namespace }) => namespace);
}

/** Undefined: it is closed already, or nothing was seen. A text: why not. */
function planFor(
  mesh: Mesh,
  evidence: Evidence,
  namespace: string,
  clients: readonly Workload[],
  inactive: "keep" | "close",
): RegistryPlan | string | undefined {
  const isSeen = ({ key }: Workload): boolean => evidence.clients.has(key);
  if (!clients.some(isSeen)) return undefined;
  const today = selectSidecar(mesh, namespace, {});
  const shape: SidecarShape = today === undefined ? {} : shapeOf<SidecarShape>(today);
  const { mode = today === undefined ? mesh.config.outboundTrafficPolicy : undefined, egressProxy } =
    shape.outboundTrafficPolicy ?? {};
  if ((mode ?? mesh.config.outboundTrafficPolicy) === "REGISTRY_ONLY") return undefined;
  if (egressProxy !== undefined) return "the Sidecar that holds for it sends unregistered hosts to a proxy";
  if (today !== undefined && today.namespace !== namespace)
    return `${resourceName(today)} holds for it: set REGISTRY_ONLY there, or for the whole mesh`;
  const untold = clients.find(({ key }) => evidence.untold.has(key) || evidence.tooVaried.has(key));
  if (untold !== undefined) return `not all records of ${untold.key} as a client tell a host`;
  const unseen = clients.find((client) => !isSeen(client));
  if (unseen !== undefined && inactive === "keep")
    return `nothing was seen of ${unseen.key} as a client (--inactive close closes it all the same)`;
  return { namespace, clients, change: changeFor(mesh, namespace, today) };
}

function changeFor(mesh: Mesh, namespace: string, today: Resource | undefined): ResourceChange {
  const taken = new Set(mesh.sidecars.filter((own) => own.namespace === namespace).map(({ name }) => name));
  const fresh = ["default", "registry-only", "registered-hosts"].find((name) => !taken.has(name));
  const spec = { egress: [{ hosts: ["*/*"] }], ...(today?.spec as object | undefined) };
  return {
    action: today === undefined ? "add" : "replace",
    manifest: {
      apiVersion: today?.apiVersion ?? "networking.istio.io/v1",
      kind: "Sidecar",
      metadata: {
        name: today?.name ?? fresh ?? "registered-hosts-as-seen",
        namespace,
        ...(today === undefined || Object.keys(today.labels).length === 0 ? {} : { labels: today.labels }),
        annotations: { ...withoutApplied(today?.annotations ?? {}), [TIGHTENED]: WHY },
      },
      spec: { ...spec, outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } },
    },
    why: WHY,
  };
}

/** What is wider than today (by diff), or sends what was seen elsewhere. */
async function problemsOf(
  mesh: Mesh,
  evidence: Evidence,
  plans: readonly RegistryPlan[],
): Promise<ReadonlyMap<RegistryPlan, string>> {
  const after = await meshWith(
    mesh,
    plans.map(({ change }) => change),
  );
  const found = new Map<RegistryPlan, string>();
  const planOf = new Map(plans.flatMap((plan) => plan.clients.map(({ key }) => [key, plan] as const)));
  const blame = (keys: readonly string[], why: string): void => {
    for (const key of keys) {
      const plan = planOf.get(key);
      if (plan !== undefined && !found.has(plan)) found.set(plan, why);
    }
  };
  try {
    const { changes, notAnalysed } = clientChanges(mesh, after, { widenedOnly: true });
    for (const { change, clients, witness } of changes)
      if (change === "widened")
        blame(clients, `it would open a way that is closed today: ${JSON.stringify(witness)}`);
    for (const { workloads, why } of notAnalysed)
      blame(workloads, `it is not proven to be no wider than today: ${why}`);
  } catch (error) {
    if (!(error instanceof AnalysisLimit)) throw error;
    for (const plan of plans) found.set(plan, `it is not proven to be no wider than today: ${error.message}`);
  }
  const [before, then] = [mesh, after].map((own) => meshDirectory(own).workloads);
  for (const [key, flows] of evidence.clients)
    for (const flow of flows.values()) {
      const [old, now] = [before?.get(key), then?.get(key)];
      if (old === undefined || now === undefined || !planOf.has(key)) continue;
      if (flow.isPassedOn === true || !isSameWay(mesh, old, after, now, flow))
        blame(
          [key],
          flow.isPassedOn === true
            ? `${key} reached ${flow.host} (port ${flow.port}) by an address that is no service's: register it with a ServiceEntry`
            : `no service has the host ${flow.host} (port ${flow.port}), which ${key} asks for: register it with a ServiceEntry`,
        );
    }
  return found;
}
