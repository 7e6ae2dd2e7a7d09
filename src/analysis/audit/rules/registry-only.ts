import type { Workload } from "../../../model/mesh.ts";
import { matchesLabels } from "../../../model/selector.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const registryOnly: AuditRule = {
  id: "BW0964",
  title: "REGISTRY_ONLY with nothing below it",
  severity: "medium",
  attacks: ["E1", "M12"],
  what:
    "A mesh with `outboundTrafficPolicy: REGISTRY_ONLY` and workloads that no NetworkPolicy with egress selects: told once, with how many there are. Istio itself says that REGISTRY_ONLY is no boundary. " +
    "Where policies of another network (Cilium, Calico, AdminNetworkPolicy …) are among the files, nothing is told; gateways and istiod's namespace are left out. A firewall outside of the cluster is not known.",
  why: "The application goes past its own sidecar (as the proxy's user, over UDP or ICMP, from an init container, by a port that is excluded) and reaches any host; REGISTRY_ONLY is asked of nobody then.",
  fix: "Add a NetworkPolicy to each namespace that lets out to DNS, istiod and the mesh alone; `bulwark map` shows what remains, and docs/network-policy.md has one that works.",
  claims: ["egress-held"],
  check: unbounded,
};

const OTHERS =
  /^(CiliumNetworkPolicy|CiliumClusterwideNetworkPolicy|GlobalNetworkPolicy|AdminNetworkPolicy|BaselineAdminNetworkPolicy|ClusterNetworkPolicy|EgressFirewall)$/;

function* unbounded(audit: AuditContext): Iterable<Hit> {
  const { mesh } = audit;
  if (mesh.config.outboundTrafficPolicy !== "REGISTRY_ONLY") return;
  if (
    mesh.resources.some(
      ({ kind, apiVersion }) =>
        OTHERS.test(kind) || (kind === "NetworkPolicy" && apiVersion.includes("calico")),
    )
  )
    return;
  const policies = egressPolicies(audit);
  const free = mesh.workloads.filter(
    (workload) => isInside(workload, mesh.config.rootNamespace) && !isBound(workload, policies),
  );
  const [first] = free;
  if (first === undefined) return;
  const config = mesh.resources.find(
    ({ kind, name, namespace }) =>
      kind === "ConfigMap" && name === "istio" && namespace === mesh.config.rootNamespace,
  );
  yield {
    ...(config === undefined ? {} : { resource: config, path: ["data", "mesh"] }),
    title: `${free.length} workload${free.length > 1 ? "s have" : " has"} no NetworkPolicy for what goes out: \`${first.key}\`${free.length > 1 ? " is the first" : ""}`,
  };
}

function isInside({ role, dataplane, namespace }: Workload, root: string): boolean {
  return role === "application" && dataplane !== "none" && namespace !== root;
}

interface NetworkPolicySpec {
  readonly podSelector?: {
    readonly matchLabels?: Readonly<Record<string, string>>;
    readonly matchExpressions?: readonly unknown[];
  };
  readonly policyTypes?: readonly string[];
  readonly egress?: readonly unknown[];
}

type Policies = ReadonlyMap<string, readonly Resource<NetworkPolicySpec>[]>;

function egressPolicies(audit: AuditContext): Policies {
  const all = audit.of<NetworkPolicySpec>("networking.k8s.io", "NetworkPolicy");
  return Map.groupBy(
    all.filter(({ spec }) => spec?.policyTypes?.includes("Egress") ?? spec?.egress !== undefined),
    ({ namespace }) => namespace,
  );
}

/** An expression is taken to select: doubt is not told. */
function isBound({ namespace, labels }: Workload, policies: Policies): boolean {
  return (policies.get(namespace) ?? []).some(({ spec }) =>
    matchesLabels(spec?.podSelector?.matchLabels ?? {}, labels),
  );
}
