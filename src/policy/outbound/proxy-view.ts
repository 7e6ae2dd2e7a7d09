/** The mesh from the point of view of one kind of client: same namespace, same Sidecar, same labels that rules ask for. */
import type { Labels } from "../../model/mesh.ts";
import { buildClusterPlan, type ClusterRequest } from "./cluster-plan.ts";
import { type MergedRule, ruleForClient } from "./destination-rules.ts";
import { clusterName } from "./host-name.ts";
import type { MeshIndex } from "./mesh-index.ts";
import type { RegistryService } from "./registry.ts";
import type { SidecarScope } from "./sidecar-scope.ts";
import type { ClusterPlan } from "./types.ts";

export interface ProxyView {
  readonly index: MeshIndex;
  readonly scope: SidecarScope;
  readonly namespace: string;
  readonly labels: Labels;
  readonly forGateway: boolean;
  /** The service that a host name means to this client. */
  service(host: string): RegistryService | undefined;
  /** The cluster, if this client has it. */
  cluster(host: string, port: number, subset: string): ClusterPlan | undefined;
  clusters(): ReadonlyMap<string, ClusterPlan>;
}

export function createProxyView(
  index: MeshIndex,
  scope: SidecarScope,
  namespace: string,
  labels: Labels,
  forGateway: boolean,
): ProxyView {
  const rules = new Map<string, MergedRule | undefined>();
  const ruleFor = (service: RegistryService): MergedRule | undefined => {
    if (!rules.has(service.hostname)) {
      const candidates = index.destinationRules.candidates(scope.namespace, service);
      rules.set(service.hostname, ruleForClient(candidates, scope.namespace, labels));
    }
    return rules.get(service.hostname);
  };
  const find = (service: RegistryService, port: number, subset: string): ClusterPlan | undefined => {
    const servicePort = service.ports.find((candidate) => candidate.port === port);
    if (servicePort === undefined) return undefined;
    return sharedPlan(index, { service, port: servicePort, subset, rule: ruleFor(service), forGateway });
  };
  return {
    index,
    scope,
    namespace,
    labels,
    forGateway,
    service: (host) => scope.services.get(host),
    cluster(host, port, subset) {
      const service = scope.services.get(host);
      return service === undefined ? undefined : find(service, port, subset);
    },
    clusters: () => listClusters(scope, ruleFor, find),
  };
}

function listClusters(
  scope: SidecarScope,
  ruleFor: (service: RegistryService) => MergedRule | undefined,
  find: (service: RegistryService, port: number, subset: string) => ClusterPlan | undefined,
): ReadonlyMap<string, ClusterPlan> {
  const clusters = new Map<string, ClusterPlan>();
  for (const service of scope.services.values()) {
    const subsets = ["", ...(ruleFor(service)?.subsets ?? []).map((subset) => subset.name)];
    for (const { port } of service.ports)
      for (const subset of subsets) {
        const plan = find(service, port, subset);
        if (plan !== undefined) clusters.set(plan.name, plan);
      }
  }
  return clusters;
}

type PlanTable = Map<string, ClusterPlan | undefined>;

/** Plans by what shapes them: the service, the rule (or none), and the name. */
const PLANS = new WeakMap<MeshIndex, WeakMap<RegistryService, Map<MergedRule | undefined, PlanTable>>>();

function sharedPlan(index: MeshIndex, request: ClusterRequest): ClusterPlan | undefined {
  const table = planTable(index, request);
  const key = `${request.forGateway}|${clusterName(request.port.port, request.subset, "")}`;
  if (!table.has(key)) table.set(key, buildClusterPlan(index, request));
  return table.get(key);
}

function planTable(index: MeshIndex, { service, rule }: ClusterRequest): PlanTable {
  let byService = PLANS.get(index);
  if (byService === undefined) {
    byService = new WeakMap();
    PLANS.set(index, byService);
  }
  let byRule = byService.get(service);
  if (byRule === undefined) {
    byRule = new Map();
    byService.set(service, byRule);
  }
  let table = byRule.get(rule);
  if (table === undefined) {
    table = new Map();
    byRule.set(rule, table);
  }
  return table;
}
