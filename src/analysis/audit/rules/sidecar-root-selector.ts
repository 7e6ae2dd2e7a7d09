import type { AuditContext } from "../audit-context.ts";
import { isForAll } from "../facts/sidecars.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const sidecarRootSelector: AuditRule = {
  id: "BW0314",
  title: "A Sidecar for the whole mesh that selects pods",
  severity: "medium",
  same: { kiali: "KIA1006" },
  attacks: ["E1"],
  what: "Sidecars in the root namespace with a `workloadSelector` that has labels: such a Sidecar is for pods of that namespace alone, and not for the mesh.",
  why: "What it is to hold, REGISTRY_ONLY or a list of hosts, holds nowhere else: pods of other namespaces are let out to everything.",
  fix: "Take the `workloadSelector` away, so that it is the default of every namespace; or write a Sidecar in each namespace that is meant.",
  claims: ["egress-held", "configuration-in-force"],
  check: selecting,
};

function* selecting(audit: AuditContext): Iterable<Hit> {
  const { rootNamespace } = audit.mesh.config;
  for (const resource of audit.every("networking.istio.io", "Sidecar"))
    if (resource.namespace === rootNamespace && !isForAll(resource))
      yield {
        resource,
        path: ["spec", "workloadSelector"],
        title: `it is for pods of \`${rootNamespace}\` alone, not for the mesh`,
      };
}
