import type { AuditContext } from "../audit-context.ts";
import { fieldsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const egressAnywhere: AuditRule = {
  id: "BW0821",
  title: "Workloads that their proxies let out to anywhere",
  severity: "medium",
  attacks: ["E1", "E3"],
  what: "`outboundTrafficPolicy` of the mesh that is not REGISTRY_ONLY, written or left at its default of ALLOW_ANY, with how many workloads no Sidecar takes back: told once, where the mesh's configuration is among the files. A Sidecar with `outboundTrafficPolicy` of ALLOW_ANY in a mesh of REGISTRY_ONLY.",
  why: "Whoever takes over a workload sends what it finds to any host, as an ordinary connection through the sidecar, and nobody asks.",
  fix: "Set `outboundTrafficPolicy: {mode: REGISTRY_ONLY}`, name external hosts by ServiceEntries, and have a NetworkPolicy below, since REGISTRY_ONLY alone is no boundary.",
  claims: ["egress-held"],
  check: anywhere,
};

function* anywhere(audit: AuditContext): Iterable<Hit> {
  const { mesh } = audit;
  const { rootNamespace, outboundTrafficPolicy } = mesh.config;
  if (outboundTrafficPolicy === "REGISTRY_ONLY") {
    for (const resource of mesh.sidecars) {
      const { mode } = fieldsOf(fieldsOf(resource.spec).outboundTrafficPolicy);
      if (mode === "ALLOW_ANY")
        yield {
          resource,
          path: ["spec", "outboundTrafficPolicy", "mode"],
          title: "`ALLOW_ANY` where the mesh is REGISTRY_ONLY",
        };
    }
    return;
  }
  const config = audit
    .of("", "ConfigMap")
    .find(({ name, namespace }) => name === "istio" && namespace === rootNamespace);
  if (config === undefined) return;
  const bounded = namespacesBounded(audit);
  const free = mesh.workloads.filter(
    ({ role, dataplane, namespace }) =>
      role === "application" &&
      dataplane === "sidecar" &&
      !bounded.has(namespace) &&
      !bounded.has(rootNamespace),
  );
  if (free.length > 0)
    yield {
      resource: config,
      path: ["data", "mesh"],
      title: `\`${outboundTrafficPolicy}\` lets ${free.length} workload${free.length === 1 ? "" : "s"} out to any host`,
    };
}

/** A Sidecar for some workloads of a namespace is taken to be for all: doubt is not told. */
function namespacesBounded({ mesh }: AuditContext): ReadonlySet<string> {
  const strict = mesh.sidecars.filter(
    ({ spec }) => fieldsOf(fieldsOf(spec).outboundTrafficPolicy).mode === "REGISTRY_ONLY",
  );
  return new Set(strict.map(({ namespace }) => namespace));
}
