/** Sidecar resources, and those of them that are for pods without a sidecar. */
import type { Labels } from "../../../model/mesh.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { DATAPLANE_LABEL, INJECTION_LABEL, REVISION_LABEL } from "./injection-labels.ts";
import { podsSelected } from "./pods.ts";
import { fieldsOf, labelsOf } from "./written.ts";

const REDIRECTED = "ambient.istio.io/redirection";

export function sidecarSelector({ spec }: { readonly spec: unknown }): Labels {
  return labelsOf(fieldsOf(fieldsOf(spec).workloadSelector).labels);
}

export function isForAll(resource: Resource): boolean {
  return Object.keys(sidecarSelector(resource)).length === 0;
}

/** For a pod that ztunnel serves, or for all of a namespace that it does. */
export function ambientSidecars(audit: AuditContext): ReadonlySet<Resource> {
  const ambient = new Set(
    audit
      .every("", "Namespace")
      .filter(({ labels }) => {
        const isSidecar = labels[INJECTION_LABEL] === "enabled" || (labels[REVISION_LABEL] ?? "") !== "";
        return labels[DATAPLANE_LABEL] === "ambient" && !isSidecar;
      })
      .map(({ name }) => name),
  );
  return new Set(
    audit.every("networking.istio.io", "Sidecar").filter((resource) => {
      if (isForAll(resource)) return ambient.has(resource.namespace);
      return podsSelected(audit, sidecarSelector(resource), resource.namespace).some(
        ({ annotations }) => annotations[REDIRECTED] === "enabled",
      );
    }),
  );
}
