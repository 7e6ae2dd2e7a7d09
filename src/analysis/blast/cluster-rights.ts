/** What rights over objects of no namespace yield: each is of the whole cluster, and names of objects rarely make it less. */
import { API_SERVER, EVERY_NODE, EVERYWHERE, type HoldingId } from "./component.ts";
import type { GainGraph } from "./gains.ts";
import type { Right } from "./rbac-rights.ts";

const ACCOUNT_USER = "system:serviceaccount:";

/** Undefined: a right over what stands in namespaces. */
export function clusterRightTargets(graph: GainGraph, right: Right): readonly HoldingId[] | undefined {
  const { names } = right.scope;
  switch (right.kind) {
    case "write-webhooks":
    case "approve-certificates":
      return [API_SERVER];
    case "impersonate-anybody":
      return isCluster(names) ? [API_SERVER] : accountsAsUsers(names);
    case "read-admitted":
      return [`secrets/${EVERYWHERE}`];
    case "kubelet-api":
      // A kubelet runs commands in every pod of its node, also in privileged ones.
      return names.length === 0 ? [EVERY_NODE] : names.map((node) => `node/${node}`);
    case "write-api-services":
      return names.length === 0 ? [API_SERVER] : unique(names.flatMap((name) => ofGroup(groupOf(name))));
    case "write-definitions":
      return unique((names.length === 0 ? [...BY_DEFINITION.keys()] : names).flatMap(ofDefinition));
    case "delete-definitions":
      return names.length === 0 || names.some((name) => POLICY_DEFINITIONS.includes(name))
        ? [`policies/${EVERYWHERE}`]
        : [];
    case "stop-injection":
      return names.length === 0 || names.some((name) => INJECTORS.test(name)) ? withoutSidecars(graph) : [];
    case "make-volumes":
      return [`volumes/${EVERYWHERE}`];
    case "steer-pods":
      return [`placement/${EVERYWHERE}`];
    default:
      return undefined;
  }
}

/** Named users and groups amount to the cluster where one of them is the cluster's own. */
function isCluster(names: readonly string[]): boolean {
  return names.length === 0 || names.some((name) => CLUSTERS_OWN.some((own) => name.startsWith(own)));
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

/** APIServices are named `version.group`; the core group has none. */
function groupOf(name: string): string {
  return name.slice(name.indexOf(".") + 1);
}

/** What who answers for a group of the API has. Metrics lead to nothing here. */
function ofGroup(group: string): readonly HoldingId[] {
  if (group === "security.istio.io") return [`policies/${EVERYWHERE}`];
  if (group === "extensions.istio.io") return [`proxies/${EVERYWHERE}`];
  if (group === "networking.istio.io") return [`proxies/${EVERYWHERE}`, `traffic/${EVERYWHERE}`];
  const isClusters = !group.includes(".") || (group.endsWith(".k8s.io") && !group.endsWith("metrics.k8s.io"));
  return isClusters ? [API_SERVER] : [];
}

const POLICY_DEFINITIONS: readonly string[] = [
  "authorizationpolicies.security.istio.io",
  "peerauthentications.security.istio.io",
  "requestauthentications.security.istio.io",
];

/** What custom resources decide that istiod reads. */
const BY_DEFINITION: ReadonlyMap<string, HoldingId> = new Map([
  ...POLICY_DEFINITIONS.map((name) => [name, `policies/${EVERYWHERE}`] as const),
  ...[
    "envoyfilters.networking.istio.io",
    "proxyconfigs.networking.istio.io",
    "wasmplugins.extensions.istio.io",
  ].map((name) => [name, `proxies/${EVERYWHERE}`] as const),
  ...["virtualservices", "serviceentries", "workloadentries", "sidecars"].map(
    (name) => [`${name}.networking.istio.io`, `traffic/${EVERYWHERE}`] as const,
  ),
]);

function ofDefinition(name: string): readonly HoldingId[] {
  const own = BY_DEFINITION.get(name);
  return own === undefined ? [] : [own];
}

const INJECTORS = /^istio-(sidecar-injector|revision-tag)/;

/** Namespaces with pods behind sidecars: once made anew, these have none. */
function withoutSidecars({ mesh }: GainGraph): readonly HoldingId[] {
  const behind = mesh.workloads.filter(
    ({ dataplane, kind }) => dataplane === "sidecar" && kind !== "WorkloadEntry",
  );
  return unique(behind.map(({ namespace }) => `policies/${namespace}`));
}

function unique(ids: readonly HoldingId[]): readonly HoldingId[] {
  return [...new Set(ids)];
}
