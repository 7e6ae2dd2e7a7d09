import type { AuditContext } from "../audit-context.ts";
import { INJECT_LABEL, injectorTakesAll, unlabelledNamespaces } from "../facts/injection-labels.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const namespaceOutside: AuditRule = {
  id: "BW0102",
  title: "A namespace whose pods are not in the mesh",
  severity: "info",
  same: { istio: "IST0102" },
  attacks: ["M12"],
  what: "A namespace with neither `istio-injection`, nor `istio.io/rev`, nor `istio.io/dataplane-mode`, where the injector takes nobody by default. Where nothing in the files asks for a proxy at all, the other rules take it that all pods get one, and the title says so. Kubernetes' own namespaces and the root namespace are left out.",
  why: "Pods there have no identity, speak in clear, and no AuthorizationPolicy of theirs is enforced by anybody.",
  fix: "Label it `istio-injection: enabled` or `istio.io/dataplane-mode: ambient`; or `istio-injection: disabled`, to say that it is meant.",
  claims: ["all-in-mesh"],
  check: outside,
};

function* outside(audit: AuditContext): Iterable<Hit> {
  if (audit.fact(injectorTakesAll)) return;
  const inhabited = new Set(
    audit.mesh.workloads
      .filter(({ dataplane, labels }) => dataplane === "sidecar" && labels[INJECT_LABEL] === undefined)
      .map(({ namespace }) => namespace),
  );
  for (const resource of audit.fact(unlabelledNamespaces))
    yield {
      resource,
      title: inhabited.has(resource.name)
        ? "no label has its pods get a sidecar or a ztunnel; as nothing in the files asks for one, they are taken to have sidecars"
        : "its pods get neither a sidecar nor a ztunnel",
    };
}
