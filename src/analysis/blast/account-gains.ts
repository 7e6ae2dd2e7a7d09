/** What an account's rights at the API server yield. Rights over the whole cluster, or over the control plane's namespaces, amount to more. */
import { clusterRightTargets } from "./cluster-rights.ts";
import {
  API_SERVER,
  CA,
  CA_SECRETS,
  EVERY_NODE,
  EVERYWHERE,
  type HoldingId,
  ISTIOD,
  NOBODYS_ACCOUNT,
  namesOf,
} from "./component.ts";
import type { Evidence, Gain, GainGraph } from "./gains.ts";
import type { Grant } from "./rbac.ts";
import { type Right, type RightKind, rightsOf } from "./rbac-rights.ts";

export function accountGains(graph: GainGraph, id: HoldingId): readonly Gain[] {
  const rights = rightsOf(grantsOf(graph, id));
  const helpers = rights.filter(({ kind }) => kind === "label-namespaces" || kind === "make-volumes");
  return rights.flatMap((right) => [
    ...targetsOf(graph, right).map((to) => gainBy(right, to)),
    ...(right.kind === "create-pods" && helpers.length > 0 ? pastPodSecurity(right, helpers) : []),
  ]);
}

function grantsOf({ rbac }: GainGraph, id: HoldingId): readonly Grant[] {
  if (id === NOBODYS_ACCOUNT) return rbac.grantsOfNobody();
  const [namespace, account] = namesOf(id);
  return rbac.grantsOf(namespace, account);
}

function gainBy(right: Right, to: HoldingId): Gain {
  return { to, why: `it may ${right.text}${scopeText(right)}`, evidence: evidenceOf(right.grants), right };
}

/** Pod Security holds by a label of the namespace, and does not look at what is behind a claim of a volume. */
function pastPodSecurity(right: Right, helpers: readonly Right[]): readonly Gain[] {
  const { namespace } = right.scope;
  const helper = helpers.find(
    ({ kind, scope }) =>
      namespace !== null &&
      (kind === "make-volumes" ||
        ((scope.namespace === null || scope.namespace === namespace) &&
          (scope.names.length === 0 || scope.names.includes(namespace)))),
  );
  if (helper === undefined) return [];
  const grants: Right["grants"] = [...right.grants, ...helper.grants];
  return [
    {
      to: EVERY_NODE,
      why: `it may ${right.text}${scopeText(right)}, and ${helper.text}`,
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
const SYSTEM = "kube-system";
const AMOUNTS_TO_CLUSTER: ReadonlySet<RightKind> = new Set([
  "cluster-admin",
  "exec",
  "change-pods",
  "create-pods",
  "mint-tokens",
  "impersonate-accounts",
  "grant-roles",
]);

function targetsOf(graph: GainGraph, right: Right): readonly HoldingId[] {
  const { namespace, names } = right.scope;
  const ofCluster = clusterRightTargets(graph, right);
  if (ofCluster !== undefined) return ofCluster;
  const isWide = names.length === 0;
  if (AMOUNTS_TO_CLUSTER.has(right.kind) && isWide) {
    if (namespace === null || namespace === SYSTEM) return [API_SERVER];
    if (graph.controlNamespaces.has(namespace)) return [ISTIOD, ...within(graph, right, namespace)];
  }
  return namespace === null ? clusterWide(graph, right) : within(graph, right, namespace);
}

/** Rights of the whole cluster that are limited to some objects, or do not amount to it. */
function clusterWide(graph: GainGraph, right: Right): readonly HoldingId[] {
  const { kind, scope } = right;
  if (scope.names.length > 0)
    return namespacesOf(graph).flatMap((namespace) => within(graph, right, namespace));
  switch (kind) {
    case "read-secrets":
      return [`secrets/${EVERYWHERE}`];
    case "write-secrets":
    case "write-mesh-config":
      return [CA, API_SERVER];
    case "label-namespaces":
      return [`labels/${EVERYWHERE}`];
    case "gateway-identities":
      return namespacesOf(graph).flatMap((namespace) => within(graph, right, namespace));
    default:
      return LOOSENED.get(kind)?.map((own) => `${own}/${EVERYWHERE}`) ?? [];
  }
}

/** What is then as the attacker wants it, in the namespace or everywhere. */
const LOOSENED: ReadonlyMap<RightKind, readonly string[]> = new Map<RightKind, readonly string[]>([
  ["write-mesh-policies", ["policies"]],
  ["write-proxies", ["proxies"]],
  ["write-network-policies", ["network-policies"]],
  ["forward-ports", ["inside"]],
  ["proxy-to-pods", ["proxied"]],
  ["relabel-pods", ["policies", "network-policies", "traffic"]],
  ["steer-services", ["traffic"]],
  ["steer-mesh", ["traffic"]],
]);

function within(graph: GainGraph, right: Right, namespace: string): readonly HoldingId[] {
  const { kind, scope } = right;
  const isNamed = (name: string): boolean => scope.names.length === 0 || scope.names.includes(name);
  const accounts = (): readonly string[] => graph.accountsIn(namespace).filter(isNamed);
  const isRoot = namespace === graph.mesh.config.rootNamespace;
  const isControl = graph.controlNamespaces.has(namespace);
  switch (kind) {
    case "read-secrets":
      return scope.names.length === 0
        ? [`secrets/${namespace}`]
        : scope.names
            .filter((name) => scope.namespace !== null || hasSecret(graph, namespace, name))
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
    case "gateway-identities":
      return graph.accountsIn(namespace).map((account) => graph.keyOf(namespace, account));
    case "write-mesh-policies":
      return [`policies/${isRoot ? EVERYWHERE : namespace}`];
    case "write-secrets":
      return [...(isControl ? [CA] : []), ...(namespace === SYSTEM ? [API_SERVER] : [])];
    case "write-mesh-config":
      if (namespace === SYSTEM) return isNamed("aws-auth") ? [API_SERVER] : systemSettings(isNamed);
      return isControl ? meshSettings(scope.names) : [];
    case "label-namespaces":
      return isNamed(namespace) ? [`labels/${namespace}`] : [];
    case "steer-mesh":
      return [`traffic/${EVERYWHERE}`];
    case "steer-services":
      // Of the root namespace Sidecars hold everywhere; in kube-system is the cluster's DNS.
      return [`traffic/${isRoot || namespace === SYSTEM ? EVERYWHERE : namespace}`];
    default:
      return LOOSENED.get(kind)?.map((own) => `${own}/${namespace}`) ?? [];
  }
}

/** `istio`, and of a revision `istio-NAME`, have the trusted roots; `istio-sidecar-injector` what stands in the pods of the mesh. */
function meshSettings(names: readonly string[]): readonly HoldingId[] {
  if (names.length === 0) return [CA];
  const own = names.filter((name) => /^istio(-|$)/.test(name) && name !== "istio-ca-root-cert");
  return own.map((name) => (name.startsWith("istio-sidecar-injector") ? `proxies/${EVERYWHERE}` : CA));
}

/** The cluster's DNS is told by a ConfigMap where names lead. */
function systemSettings(isNamed: (name: string) => boolean): readonly HoldingId[] {
  return isNamed("coredns") ? [`traffic/${EVERYWHERE}`] : [];
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

/** Files rarely have Secrets: a role of the namespace that names one is taken at its word, as is the CA's where it may be. */
function hasSecret(graph: GainGraph, namespace: string, name: string): boolean {
  if (graph.controlNamespaces.has(namespace) && CA_SECRETS.has(name)) return true;
  return graph.secretsIn(namespace).some((secret) => secret.name === name);
}

/** Those that files have, and istiod's. */
function namespacesOf({ mesh, controlNamespaces }: GainGraph): readonly string[] {
  return [...new Set([...mesh.namespaces.keys(), ...controlNamespaces])];
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
