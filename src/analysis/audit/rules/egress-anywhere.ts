import type { AuditContext } from "../audit-context.ts";
import { modeOf, outboundModes } from "../facts/outbound-modes.ts";
import { fieldsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const egressAnywhere: AuditRule = {
  id: "BW0821",
  title: "Workloads that their proxies let out to anywhere",
  severity: "medium",
  attacks: ["E1", "E3"],
  what: "`outboundTrafficPolicy` of the mesh that is not REGISTRY_ONLY, written or left at its default of ALLOW_ANY, with how many workloads it holds for: those whose own Sidecar (their namespace's, or the root namespace's where that has none) says REGISTRY_ONLY are left out; a Sidecar that says nothing of it takes the mesh's. Told once, where the mesh's configuration is among the files. And a Sidecar with ALLOW_ANY (or ALLOW_ANY_DYNAMIC_DNS) where the mesh, or the root namespace's Sidecar, is REGISTRY_ONLY.",
  why: "Whoever takes over a workload sends what it finds to any host, as an ordinary connection through the sidecar, and nobody asks.",
  fix: "Set `outboundTrafficPolicy: {mode: REGISTRY_ONLY}`, name external hosts by ServiceEntries, and have a NetworkPolicy below, since REGISTRY_ONLY alone is no boundary.",
  claims: ["egress-held"],
  check: anywhere,
};

const OPEN = /^ALLOW_ANY/;

function* anywhere(audit: AuditContext): Iterable<Hit> {
  const { mesh } = audit;
  const { rootNamespace, outboundTrafficPolicy } = mesh.config;
  const root = mesh.sidecars.find(
    ({ namespace, spec }) => namespace === rootNamespace && fieldsOf(spec).workloadSelector === undefined,
  );
  const general = fieldsOf(root?.spec).outboundTrafficPolicy;
  const wanted = general === undefined ? outboundTrafficPolicy : modeOf(fieldsOf(general));
  if (wanted === "REGISTRY_ONLY")
    for (const resource of mesh.sidecars) {
      const mode = modeOf(fieldsOf(fieldsOf(resource.spec).outboundTrafficPolicy));
      if (OPEN.test(mode))
        yield {
          resource,
          path: ["spec", "outboundTrafficPolicy", "mode"],
          title: `\`${mode}\` where ${general === undefined ? "the mesh" : `Sidecar \`${rootNamespace}/${root?.name}\``} is REGISTRY_ONLY`,
        };
    }
  if (outboundTrafficPolicy === "REGISTRY_ONLY") return;
  const config = audit
    .of("", "ConfigMap")
    .find(({ name, namespace }) => name === "istio" && namespace === rootNamespace);
  if (config === undefined) return;
  const free = audit.fact(outboundModes).filter(({ mode, by }) => by === undefined && OPEN.test(mode));
  if (free.length > 0)
    yield {
      resource: config,
      path: ["data", "mesh"],
      title: `\`${outboundTrafficPolicy}\` lets ${free.length} workload${free.length === 1 ? "" : "s"} out to any host`,
    };
}
