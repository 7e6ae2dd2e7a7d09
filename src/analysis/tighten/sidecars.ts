/**
 * Sidecars that leave clients the hosts that they were seen to ask for, and REGISTRY_ONLY: without it hosts that a Sidecar leaves out are
 * reached all the same, and past mutual TLS.
 */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { sidecarOf } from "../../policy/outbound/compile-outbound.ts";
import { isHostSubset, isWildcard } from "../../policy/outbound/host-name.ts";
import { type SidecarShape, shapeOf } from "../../policy/outbound/resource-shapes.ts";
import { type SidecarScope, selectSidecar } from "../../policy/outbound/sidecar-scope.ts";
import { meshDirectory } from "../../policy/path/compiled-policies.ts";
import { clientChanges } from "../diff/client/client-changes.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import type { Evidence } from "./evidence.ts";
import type { ClientFlow } from "./flow-reading.ts";
import { meshWith, type ResourceChange, TIGHTENED } from "./manifest.ts";
import { isSameWay, serviceNamed } from "./same-way.ts";
import { type SelectorGroup, selectorGroups } from "./selector-groups.ts";

export interface ExtraProposal {
  readonly changes: readonly ResourceChange[];
  readonly untouched: readonly { readonly workloads: readonly string[]; readonly why: string }[];
}

interface SidecarPlan {
  readonly group: SelectorGroup;
  readonly flows: readonly ClientFlow[];
  readonly change: ResourceChange;
}

export async function proposeSidecars(mesh: Mesh, evidence: Evidence): Promise<ExtraProposal> {
  const untouched: { workloads: readonly string[]; why: string }[] = [];
  const leave = ({ workloads }: SelectorGroup, why: string): void =>
    void untouched.push({ workloads: workloads.map(({ key }) => key), why: `no Sidecar: ${why}` });
  const reached = reachedServers(evidence);
  let plans = selectorGroups(mesh).groups.flatMap((group): SidecarPlan[] => {
    const planned = planFor(mesh, evidence, group, reached);
    if (typeof planned === "string") leave(group, planned);
    return planned === undefined || typeof planned === "string" ? [] : [planned];
  });
  while (plans.length > 0) {
    const bad = await problemsOf(mesh, plans);
    if (bad.size === 0) break;
    for (const [{ group }, why] of bad) leave(group, why);
    plans = plans.filter((plan) => !bad.has(plan));
  }
  return { changes: plans.map(({ change }) => change), untouched };
}

/** By caller's identity, the workloads that say they were called: what clients' own records lack is seen by this. */
function reachedServers({ servers }: Evidence): ReadonlyMap<string, ReadonlySet<string>> {
  const reached = new Map<string, Set<string>>();
  for (const [server, ports] of servers)
    for (const { uses } of ports.values())
      for (const { principal } of uses) {
        const own = reached.get(principal) ?? new Set();
        reached.set(principal, own.add(server));
      }
  return reached;
}

/** Undefined: nothing was seen of it as a client. A text: why not. */
function planFor(
  mesh: Mesh,
  evidence: Evidence,
  group: SelectorGroup,
  reached: ReadonlyMap<string, ReadonlySet<string>>,
): SidecarPlan | string | undefined {
  const { workloads, namespace, selector } = group;
  const [first] = workloads;
  const flows = workloads.flatMap(({ key }) => [...(evidence.clients.get(key)?.values() ?? [])]);
  if (first === undefined || flows.length === 0) return undefined;
  if (workloads.some(({ role, dataplane }) => role !== "application" || dataplane !== "sidecar"))
    return undefined;
  const untold = workloads.find(({ key }) => evidence.untold.has(key) || evidence.tooVaried.has(key));
  if (untold !== undefined) return `not all records of ${untold.key} as a client tell a host`;
  const today = selectSidecar(mesh, namespace, first.labels);
  const shape: SidecarShape = today === undefined ? {} : shapeOf<SidecarShape>(today);
  if (shape.workloadSelector !== undefined) return "it has a Sidecar of its own";
  const { ingress } = (today?.spec ?? {}) as { readonly ingress?: unknown };
  const listens = (shape.egress ?? []).some(({ port, bind }) => port !== undefined || bind !== undefined);
  if (ingress !== undefined || listens || shape.outboundTrafficPolicy?.egressProxy !== undefined)
    return "the Sidecar that holds for it says more than hosts";
  const { scope } = sidecarOf(mesh, first).view;
  const hosts = new Set<string>();
  const led = new Set<string>();
  for (const { host, port, isPassedOn } of flows) {
    if (isPassedOn === true)
      return `${host} (port ${port}) was reached by an address that is no service's: register it with a ServiceEntry`;
    const entries = entriesFor(mesh, scope, namespace, host);
    if (entries === undefined)
      return `no service has the host ${host} (port ${port}): register it with a ServiceEntry`;
    for (const entry of entries) hosts.add(entry);
    const services = [serviceNamed(mesh, host, namespace) ?? []].flat();
    for (const { workload } of services.flatMap(({ endpoints }) => endpoints))
      if (workload !== undefined) led.add(workload.key);
  }
  const missing = workloads.flatMap(({ spiffeId }) => [
    ...(reached.get(spiffeId.slice("spiffe://".length)) ?? []),
  ]);
  const unnamed = missing.find((server) => !led.has(server) && !isGateway(mesh, server));
  if (unnamed !== undefined)
    return `${unnamed} was called by it, as its own records do not tell: they are not whole`;
  // Proxies themselves ask there: tracing, external authorizers.
  const { rootNamespace } = mesh.config;
  if ([...scope.services.values()].some((service) => service.namespace === rootNamespace))
    hosts.add(`${rootNamespace}/*`);
  return { group, flows, change: changeFor(mesh, first, namespace, selector, [...hosts].sort()) };
}

/** Gateways are where routes lead, and are named by none. */
function isGateway(mesh: Mesh, key: string): boolean {
  return meshDirectory(mesh).workloads.get(key)?.role === "gateway";
}

/** As `egress.hosts` has it: the service, and the VirtualService that routes it, which may be of another namespace. */
function entriesFor(
  mesh: Mesh,
  scope: SidecarScope,
  namespace: string,
  host: string,
): readonly string[] | undefined {
  const service =
    scope.services.get(serviceNamed(mesh, host, namespace)?.hostname ?? host) ?? wildcardFor(scope, host);
  if (service === undefined) return undefined;
  const routes = scope.listeners.flatMap(({ winner }) => winner.get(service.hostname)?.namespace ?? []);
  const namespaces = new Set([service.namespace, ...routes]);
  return [...namespaces].map((own) => `${own === namespace ? "." : own}/${service.hostname}`);
}

function wildcardFor(
  { services }: SidecarScope,
  host: string,
): { readonly hostname: string; readonly namespace: string } | undefined {
  const covering = [...services.values()].filter(
    ({ hostname }) => isWildcard(hostname) && isHostSubset(host, hostname),
  );
  return covering.toSorted((a, b) => b.hostname.length - a.hostname.length)[0];
}

function changeFor(
  mesh: Mesh,
  { name }: Workload,
  namespace: string,
  labels: SelectorGroup["selector"],
  hosts: readonly string[],
): ResourceChange {
  const why = "the hosts that it was seen to ask for, and no others";
  const taken = new Set(mesh.sidecars.filter((own) => own.namespace === namespace).map((own) => own.name));
  let free = `${name}-as-seen`;
  for (let at = 2; taken.has(free); at++) free = `${name}-as-seen-${at}`;
  return {
    action: "add",
    manifest: {
      apiVersion: "networking.istio.io/v1",
      kind: "Sidecar",
      metadata: { name: free, namespace, annotations: { [TIGHTENED]: why } },
      spec: {
        workloadSelector: { labels },
        egress: [{ hosts }],
        outboundTrafficPolicy: { mode: "REGISTRY_ONLY" },
      },
    },
    why,
  };
}

/** What is wider than today (by diff), or sends what was seen elsewhere. */
async function problemsOf(
  mesh: Mesh,
  plans: readonly SidecarPlan[],
): Promise<ReadonlyMap<SidecarPlan, string>> {
  const after = await meshWith(
    mesh,
    plans.map(({ change }) => change),
  );
  const found = new Map<SidecarPlan, string>();
  const planOf = new Map(
    plans.flatMap((plan) => plan.group.workloads.map(({ key }) => [key, plan] as const)),
  );
  const blame = (keys: readonly string[], why: string): void => {
    for (const key of keys) {
      const plan = planOf.get(key);
      if (plan !== undefined) found.set(plan, why);
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
  const workloads = meshDirectory(after).workloads;
  for (const plan of plans)
    for (const flow of plan.flows) {
      const now = workloads.get(flow.workload);
      const before = meshDirectory(mesh).workloads.get(flow.workload);
      if (now === undefined || before === undefined || !isSameWay(mesh, before, after, now, flow))
        found.set(plan, `what was seen would go another way, or nowhere: ${flow.host}:${flow.port}`);
    }
  return found;
}
