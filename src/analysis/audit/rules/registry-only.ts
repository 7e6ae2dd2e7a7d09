import type { Workload } from "../../../model/mesh.ts";
import { matchesLabels } from "../../../model/selector.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { outboundModes } from "../facts/outbound-modes.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const registryOnly: AuditRule = {
  id: "BW0964",
  title: "REGISTRY_ONLY with nothing below it",
  severity: "medium",
  attacks: ["E1", "M12"],
  what:
    "A mesh, or a Sidecar, with `outboundTrafficPolicy: REGISTRY_ONLY` and workloads that no NetworkPolicy with egress selects: told once for the mesh and once for each such Sidecar, with how many there are. Istio itself says that REGISTRY_ONLY is no boundary. " +
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
  if (isHeldOtherwise(mesh.resources)) return;
  const policies = egressPolicies(audit);
  const { rootNamespace, outboundTrafficPolicy } = mesh.config;
  if (outboundTrafficPolicy === "REGISTRY_ONLY") {
    const free = mesh.workloads.filter(
      (workload) => isInside(workload, rootNamespace) && !isBound(workload, policies),
    );
    const config = mesh.resources.find(
      ({ kind, name, namespace }) => kind === "ConfigMap" && name === "istio" && namespace === rootNamespace,
    );
    yield* told(free, config === undefined ? {} : { resource: config, path: ["data", "mesh"] });
    return;
  }
  const strict = audit
    .fact(outboundModes)
    .filter(
      ({ workload, mode }) =>
        mode === "REGISTRY_ONLY" && isInside(workload, rootNamespace) && !isBound(workload, policies),
    );
  for (const [resource, held] of Map.groupBy(strict, ({ by }) => by))
    if (resource !== undefined)
      yield* told(
        held.map(({ workload }) => workload),
        { resource, path: ["spec", "outboundTrafficPolicy"] },
      );
}

function* told(free: readonly Workload[], at: Pick<Hit, "resource" | "path">): Iterable<Hit> {
  const [first] = free;
  if (first === undefined) return;
  const many = free.length > 1;
  yield {
    ...at,
    title: `${free.length} workload${many ? "s have" : " has"} no NetworkPolicy for what goes out: \`${first.key}\`${many ? " is the first" : ""}`,
  };
}

/** What other networks' policies hold is not read: doubt is not told. */
function isHeldOtherwise(resources: readonly Resource[]): boolean {
  return resources.some(
    ({ kind, apiVersion }) =>
      OTHERS.test(kind) || (kind === "NetworkPolicy" && apiVersion.includes("calico")),
  );
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
