/** What an account's rights at the API server yield. Rights over the whole cluster, or over the control plane's namespaces, amount to more. */
import { API_SERVER, CA, EVERY_NODE, type HoldingId, ISTIOD, namesOf } from "./component.ts";
import type { Evidence, Gain, GainGraph } from "./gains.ts";
import type { Grant } from "./rbac.ts";
import { type Right, type RightKind, rightsOf } from "./rbac-rights.ts";

export function accountGains(graph: GainGraph, id: HoldingId): readonly Gain[] {
  const [namespace, account] = namesOf(id);
  const rights = rightsOf(graph.rbac.grantsOf(namespace, account));
  const labels = rights.filter(({ kind }) => kind === "label-namespaces");
  return rights.flatMap((right) => [
    ...targetsOf(graph, right).map((to) => gainBy(right, to)),
    ...(right.kind === "create-pods" ? relabelled(right, labels) : []),
  ]);
}

function gainBy(right: Right, to: HoldingId): Gain {
  return { to, why: `it may ${right.text}${scopeText(right)}`, evidence: evidenceOf(right.grants), right };
}

/** Pod Security holds by a label of the namespace: who may change that makes privileged pods. */
function relabelled(right: Right, labels: readonly Right[]): readonly Gain[] {
  const { namespace } = right.scope;
  const label = labels.find(
    ({ scope }) =>
      namespace !== null &&
      (scope.namespace === null || scope.namespace === namespace) &&
      (scope.names.length === 0 || scope.names.includes(namespace)),
  );
  if (label === undefined) return [];
  const grants: Right["grants"] = [...right.grants, ...label.grants];
  return [
    {
      to: EVERY_NODE,
      why: `it may ${right.text}${scopeText(right)}, and change the namespace's Pod Security label`,
      evidence: evidenceOf(grants),
      right: { ...right, grants },
    },
  ];
}

function scopeText({ scope: { namespace, names } }: Right): string {
  const where = namespace === null ? " anywhere" : ` in ${namespace}`;
  return names.length === 0 ? where : `${where} (${names.join(", ")})`;
}

function evidenceOf(grants: readonly Grant[]): readonly Evidence[] {
  return grants.flatMap(({ role, rule, binding }) => [
    ...(role === null ? [] : [{ resource: role, path: ["rules", rule] }]),
    { resource: binding, path: ["subjects"] },
  ]);
}

/** Whoever has these everywhere, or where the cluster's own controllers run, has the cluster. */
const AMOUNTS_TO_CLUSTER: ReadonlySet<RightKind> = new Set([
  "cluster-admin",
  "exec",
  "change-pods",
  "create-pods",
  "mint-tokens",
  "impersonate-accounts",
  "grant-roles",
]);
const ACCOUNT_USER = "system:serviceaccount:";
const ALWAYS_CLUSTER: ReadonlySet<RightKind> = new Set([
  "impersonate-anybody",
  "write-webhooks",
  "approve-certificates",
]);

function targetsOf(graph: GainGraph, right: Right): readonly HoldingId[] {
  const { kind, scope } = right;
  const { namespace, names } = scope;
  const { rootNamespace } = graph.mesh.config;
  if (ALWAYS_CLUSTER.has(kind)) return impersonates(right) ? [API_SERVER] : accountsAsUsers(names);
  const isWide = names.length === 0;
  if (AMOUNTS_TO_CLUSTER.has(kind) && isWide) {
    if (namespace === null || namespace === "kube-system") return [API_SERVER];
    if (namespace === rootNamespace) return [ISTIOD, ...within(graph, right, namespace)];
  }
  if (kind === "kubelet-api") return kubeletTargets(graph, names);
  if (namespace === null) return clusterWide(graph, right);
  return within(graph, right, namespace);
}

/** Named users and groups amount to the cluster where one of them is the cluster's own. */
function impersonates({ kind, scope: { names } }: Right): boolean {
  if (kind !== "impersonate-anybody" || names.length === 0) return true;
  return names.some((name) => CLUSTERS_OWN.some((own) => name.startsWith(own)));
}

/** Of the cluster's components and controllers, some of which may give any right. */
const CLUSTERS_OWN: readonly string[] = [
  "system:masters",
  "system:kube-",
  `${ACCOUNT_USER}kube-system:`,
  "system:serviceaccounts:kube-system",
];

/** To the API server accounts are users, too. */
function accountsAsUsers(names: readonly string[]): readonly HoldingId[] {
  return names.flatMap((name): readonly HoldingId[] => {
    if (!name.startsWith(ACCOUNT_USER)) return [];
    const [namespace = "", account = ""] = name.slice(ACCOUNT_USER.length).split(":");
    return account === "" ? [] : [`account/${namespace}/${account}`];
  });
}

function kubeletTargets(graph: GainGraph, names: readonly string[]): readonly HoldingId[] {
  // A kubelet runs commands in every pod of its node, also in privileged ones.
  const nodes = names.length === 0 ? graph.placement.names : names;
  return names.length === 0 ? [EVERY_NODE] : nodes.map((node) => `node/${node}`);
}

/** Rights of the whole cluster that are limited to some objects, or do not amount to it. */
function clusterWide(graph: GainGraph, right: Right): readonly HoldingId[] {
  const { kind, scope } = right;
  if (scope.names.length > 0)
    return [...graph.mesh.namespaces.keys()].flatMap((namespace) => within(graph, right, namespace));
  switch (kind) {
    case "read-secrets":
    case "read-admitted":
      return ["secrets/*"];
    case "write-mesh-policies":
      return ["policies/*"];
    case "write-proxies":
      return ["proxies/*"];
    case "write-mesh-config":
      return [CA];
    case "write-network-policies":
      return ["network-policies/*"];
    case "forward-ports":
      return ["inside/*"];
    default:
      return [];
  }
}

function within(graph: GainGraph, right: Right, namespace: string): readonly HoldingId[] {
  const { kind, scope } = right;
  const isNamed = (name: string): boolean => scope.names.length === 0 || scope.names.includes(name);
  const accounts = (): readonly string[] => graph.accountsIn(namespace).filter(isNamed);
  switch (kind) {
    case "read-secrets":
      return scope.names.length === 0
        ? [`secrets/${namespace}`]
        : scope.names
            .filter((name) => hasSecret(graph, namespace, name))
            .map((name) => `secret/${namespace}/${name}`);
    case "exec":
    case "change-pods":
      return podsNamed(graph, namespace, scope.names);
    case "cluster-admin":
    case "create-pods":
    case "grant-roles":
      return namespaceRights(kind, namespace);
    case "mint-tokens":
      return accounts().map((account) => `token/${namespace}/${account}`);
    case "impersonate-accounts":
      return accounts().map((account) => `account/${namespace}/${account}`);
    case "write-mesh-policies":
      return [`policies/${namespace === graph.mesh.config.rootNamespace ? "*" : namespace}`];
    case "write-proxies":
      return [`proxies/${namespace}`];
    case "write-mesh-config":
      return namespace === graph.mesh.config.rootNamespace && isNamed("istio") ? [CA] : [];
    case "write-network-policies":
      return [`network-policies/${namespace}`];
    case "forward-ports":
      return [`inside/${namespace}`];
    default:
      return [];
  }
}

/** A namespace's administrator makes pods, reads Secrets and writes its policies. */
function namespaceRights(kind: RightKind, namespace: string): readonly HoldingId[] {
  const pods = `pods/${namespace}`;
  if (kind === "create-pods") return [pods];
  return [
    pods,
    `secrets/${namespace}`,
    `policies/${namespace}`,
    `proxies/${namespace}`,
    `network-policies/${namespace}`,
  ];
}

function hasSecret(graph: GainGraph, namespace: string, name: string): boolean {
  return graph.secretsIn(namespace).some((secret) => secret.name === name);
}

/** Pods have names of their own: those that begin with the workload's, or are given. */
function podsNamed(graph: GainGraph, namespace: string, names: readonly string[]): readonly HoldingId[] {
  const there = graph.byNamespace.get(namespace) ?? [];
  return there
    .filter(
      ({ name, kind }) =>
        kind !== "WorkloadEntry" &&
        (names.length === 0 || names.some((own) => own === name || own.startsWith(`${name}-`))),
    )
    .flatMap((workload) => graph.componentsOf(workload));
}
