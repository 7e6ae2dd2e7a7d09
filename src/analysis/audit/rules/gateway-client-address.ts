import { load } from "js-yaml";
import type { Workload } from "../../../model/mesh.ts";
import { matchesLabels } from "../../../model/selector.ts";
import type { FieldPath } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type EnforcedRule, enforcedRules } from "../facts/enforced-rules.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const gatewayClientAddress: AuditRule = {
  id: "BW0962",
  title: "Clients' addresses at a gateway that never sees them",
  severity: "high",
  attacks: ["M4"],
  what:
    "Rules with `ipBlocks`, `remoteIpBlocks`, `source.ip` or `remote.ip` at a gateway whose Service is of type LoadBalancer or NodePort with `externalTrafficPolicy: Cluster` (the default), where neither trusted proxies (`numTrustedProxies`, of the mesh or of the pod) nor PROXY protocol tell the client's address: " +
    "Kubernetes writes a node's address in its place. Services with annotations of a cloud's load balancer, which may keep addresses, are not judged.",
  why: "A DENY of blocks outside matches nobody. An ALLOW of blocks matches nobody, or, where it has the nodes' own, everybody.",
  fix: "Set `externalTrafficPolicy: Local` on the Service; behind a load balancer that ends connections, `numTrustedProxies` and `remoteIpBlocks`, or PROXY protocol.",
  claims: ["policies-hold"],
  check: hidden,
};

interface ServiceSpec {
  readonly type?: string;
  readonly externalTrafficPolicy?: string;
  readonly selector?: Readonly<Record<string, string>>;
}

function* hidden(audit: AuditContext): Iterable<Hit> {
  const { mesh } = audit;
  for (const rule of audit.fact(enforcedRules)) {
    const path = addressField(rule);
    if (path === undefined) continue;
    for (const server of rule.classes) {
      const { workload } = server;
      if (
        workload.role !== "gateway" ||
        tellsClients(mesh.config.raw.defaultConfig) ||
        tellsClients(annotated(workload))
      )
        continue;
      const service = audit
        .of<ServiceSpec>("", "Service")
        .find(
          ({ namespace, annotations, spec }) =>
            namespace === workload.namespace &&
            (spec?.type === "LoadBalancer" || spec?.type === "NodePort") &&
            Object.keys(spec.selector ?? {}).length > 0 &&
            matchesLabels(spec.selector ?? {}, workload.labels) &&
            spec.externalTrafficPolicy !== "Local" &&
            !Object.keys(annotations).some((name) => name.includes("load-balancer")),
        );
      if (service === undefined) continue;
      yield {
        resource: rule.policy,
        path,
        title: `\`${workload.key}\` sees nodes' addresses, not clients': Service \`${service.name}\` has no \`externalTrafficPolicy: Local\``,
        ...(rule.action === "DENY" ? {} : { severity: "medium" }),
      };
      break;
    }
  }
}

function addressField({ index, spec: { from = [], when = [] } }: EnforcedRule): FieldPath | undefined {
  for (const [at, { source = {} }] of from.entries())
    for (const field of ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"] as const)
      if ((source[field]?.length ?? 0) > 0) return ["spec", "rules", index, "from", at, "source", field];
  const at = when.findIndex(({ key }) => key === "source.ip" || key === "remote.ip");
  return at < 0 ? undefined : ["spec", "rules", index, "when", at, "key"];
}

/** @param proxyConfig a ProxyConfig, of the mesh or of the pod */
function tellsClients(proxyConfig: unknown): boolean {
  const topology = (
    proxyConfig as { gatewayTopology?: { numTrustedProxies?: unknown; proxyProtocol?: unknown } } | undefined
  )?.gatewayTopology;
  return (
    (typeof topology?.numTrustedProxies === "number" && topology.numTrustedProxies > 0) ||
    topology?.proxyProtocol !== undefined
  );
}

function annotated({ annotations }: Workload): unknown {
  const text = annotations["proxy.istio.io/config"];
  if (text === undefined) return undefined;
  try {
    return load(text) ?? undefined;
  } catch {
    return undefined;
  }
}
