/**
 * NetworkPolicies for those who were seen to come, at the ports where they came. NetworkPolicies add up, so that one alone narrows nothing where
 * there is one already: only pods that none isolates today get any.
 */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { decideNetwork, selectingPolicies } from "../../policy/network/decide-network.ts";
import { networkPod } from "../../policy/network/network-pod.ts";
import { networkPolicies } from "../../policy/network/network-policies.ts";
import { networkChanges } from "../diff/network-changes.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { meshWith, type ResourceChange, TIGHTENED } from "./manifest.ts";
import type { TightenedServer } from "./propose.ts";
import { type SelectorGroup, selectorGroups } from "./selector-groups.ts";
import type { ExtraProposal } from "./sidecars.ts";

interface NetworkPlan {
  readonly group: SelectorGroup;
  /** Who may come to which port. */
  readonly entries: readonly (readonly [port: number, callers: readonly SelectorGroup[]])[];
  readonly change: ResourceChange;
}

/** @param servers those whose AuthorizationPolicies were narrowed: of others nothing is known. */
export async function proposeNetworkPolicies(
  mesh: Mesh,
  servers: readonly TightenedServer[],
): Promise<ExtraProposal> {
  const { groups } = selectorGroups(mesh);
  const callers = callersOf(mesh, groups);
  const serverOf = new Map(
    servers.flatMap((server) => server.workloads.map((key) => [key, server] as const)),
  );
  const untouched: { workloads: readonly string[]; why: string }[] = [];
  const leave = ({ workloads }: SelectorGroup, why: string): void =>
    void untouched.push({ workloads: workloads.map(({ key }) => key), why: `no NetworkPolicy: ${why}` });
  const plans = groups.flatMap((group): NetworkPlan[] => {
    const server = serverOf.get(group.workloads[0]?.key ?? "");
    if (server === undefined) return [];
    const planned = planFor(mesh, group, server, callers);
    if (typeof planned === "string") leave(group, planned);
    return typeof planned === "string" ? [] : [planned];
  });
  const why = await problemOf(mesh, plans);
  if (why === undefined) return { changes: plans.map(({ change }) => change), untouched };
  for (const { group } of plans) leave(group, why);
  return { changes: [], untouched };
}

type CallersFor = (principal: string) => readonly SelectorGroup[] | null;

/** All workloads of an identity, without `spiffe://`; null where there are none, or one of them cannot be selected. */
function callersOf(mesh: Mesh, groups: readonly SelectorGroup[]): CallersFor {
  const groupOf = new Map(
    groups.flatMap((group) => group.workloads.map((workload) => [workload, group] as const)),
  );
  const byPrincipal = new Map<string, Set<SelectorGroup> | null>();
  for (const workload of mesh.workloads) {
    const principal = workload.spiffeId.slice("spiffe://".length);
    const group = groupOf.get(workload);
    const known = byPrincipal.get(principal);
    if (group === undefined || known === null) byPrincipal.set(principal, null);
    else byPrincipal.set(principal, (known ?? new Set()).add(group));
  }
  return (principal) => {
    const found = byPrincipal.get(principal) ?? null;
    return found === null ? null : [...found];
  };
}

function planFor(
  mesh: Mesh,
  group: SelectorGroup,
  { grants }: TightenedServer,
  callersFor: CallersFor,
): NetworkPlan | string {
  const odd = group.workloads.find(
    ({ role, hostNetwork, kind }) => role !== "application" || hostNetwork || kind === "WorkloadEntry",
  );
  if (odd !== undefined) return `who comes to ${odd.key} from outside the mesh, no record tells`;
  if (group.workloads.some(isAmbient)) return TUNNELLED;
  const policies = networkPolicies(mesh);
  const isolated = group.workloads.find(
    (workload) =>
      selectingPolicies(policies, { subject: networkPod(mesh, workload), direction: "ingress" }).length > 0,
  );
  if (isolated !== undefined) return "network policies select it already, and add up";
  const byPort = new Map<number, Set<SelectorGroup>>();
  for (const { principals, operations } of grants)
    for (const principal of principals) {
      const callers = callersFor(principal);
      if (
        callers === null ||
        callers.some(({ workloads }) => workloads.some(({ hostNetwork }) => hostNetwork))
      )
        return `no selector tells the pods of ${principal}`;
      if (callers.some(({ workloads }) => workloads.some(isAmbient))) return TUNNELLED;
      for (const { port } of operations) {
        const own = byPort.get(port) ?? new Set();
        for (const caller of callers) own.add(caller);
        byPort.set(port, own);
      }
    }
  const entries = [...byPort]
    .map(([port, callers]) => [port, [...callers]] as const)
    .toSorted(([a], [b]) => a - b);
  return { group, entries, change: changeFor(mesh, group, entries) };
}

function isAmbient({ dataplane, role }: Workload): boolean {
  return dataplane === "ambient" || role === "waypoint";
}

const TUNNELLED =
  "in ambient mode pods are reached through tunnels to port 15008, whatever port is asked for";

function changeFor(
  mesh: Mesh,
  { namespace, selector, workloads }: SelectorGroup,
  entries: NetworkPlan["entries"],
): ResourceChange {
  const why = "who was seen to come, at the ports where they came";
  const taken = new Set(
    mesh.resources
      .filter((own) => own.kind === "NetworkPolicy" && own.namespace === namespace)
      .map((own) => own.name),
  );
  const base = `${workloads[0]?.name ?? "workload"}-as-seen`;
  let name = base;
  for (let at = 2; taken.has(name); at++) name = `${base}-${at}`;
  const ingress = entries.map(([port, callers]) => ({
    from: callers.map((caller) => ({
      ...(caller.namespace === namespace
        ? {}
        : { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": caller.namespace } } }),
      podSelector: { matchLabels: caller.selector },
    })),
    ports: [{ protocol: "TCP", port }],
  }));
  return {
    action: "add",
    manifest: {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name, namespace, annotations: { [TIGHTENED]: why } },
      // Said even where it is empty: a policy without types isolates for ingress anyway.
      spec: {
        podSelector: { matchLabels: selector },
        policyTypes: ["Ingress"],
        ...(ingress.length === 0 ? {} : { ingress }),
      },
    },
    why,
  };
}

/** Why none may be written: something is wider, or who was seen to come could not. Undefined: neither. */
async function problemOf(mesh: Mesh, plans: readonly NetworkPlan[]): Promise<string | undefined> {
  if (plans.length === 0) return undefined;
  const after = await meshWith(
    mesh,
    plans.map(({ change }) => change),
  );
  try {
    const wider = networkChanges(mesh, after, { widenedOnly: true }).find(
      ({ change }) => change === "widened",
    );
    if (wider !== undefined)
      return `it would open a way that is closed today: ${JSON.stringify(wider.connection)}`;
  } catch (error) {
    if (!(error instanceof AnalysisLimit)) throw error;
    return `it is not proven to be no wider than today: ${error.message}`;
  }
  const closed = plans.flatMap((plan) => closedWay(after, plan) ?? [])[0];
  return closed === undefined ? undefined : `what was seen would be refused: ${closed}`;
}

function closedWay(after: Mesh, { group, entries }: NetworkPlan): string | undefined {
  const policies = networkPolicies(after);
  const podOf = (workload: Workload) => networkPod(after, workload);
  for (const server of group.workloads)
    for (const [port, callers] of entries)
      for (const caller of callers.flatMap(({ workloads }) => workloads)) {
        const question = { direction: "ingress", protocol: "TCP", port } as const;
        const verdict = decideNetwork(policies, {
          ...question,
          subject: podOf(server),
          other: { pod: podOf(caller) },
        });
        if (verdict.outcome !== "allow") return `${caller.key} to ${server.key}:${port}`;
      }
  return undefined;
}
