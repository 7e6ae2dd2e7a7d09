/** Which namespaces' pods get a sidecar, as labels and the injector's settings say it. */
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { SYSTEM_NAMESPACES } from "./pods.ts";
import { fieldsOf, textOf } from "./written.ts";

export const INJECTION_LABEL = "istio-injection";
export const REVISION_LABEL = "istio.io/rev";
export const DATAPLANE_LABEL = "istio.io/dataplane-mode";
export const INJECT_LABEL = "sidecar.istio.io/inject";

/** All but Istio's own. */
export function applicationNamespaces(audit: AuditContext): readonly Resource[] {
  return audit.every("", "Namespace").filter(({ name }) => name !== audit.mesh.config.rootNamespace);
}

/** Names of those whose pods are in the mesh by the namespace's labels. */
export function labelledNamespaces(audit: AuditContext): ReadonlySet<string> {
  const labelled = audit
    .of("", "Namespace")
    .filter(
      ({ labels }) =>
        labels[INJECTION_LABEL] === "enabled" ||
        (labels[REVISION_LABEL] ?? "") !== "" ||
        labels[DATAPLANE_LABEL] === "ambient",
    );
  return new Set(labelled.map(({ name }) => name));
}

/** Those that say nothing of how they are in the mesh. */
export function unlabelledNamespaces(audit: AuditContext): readonly Resource[] {
  return audit.fact(applicationNamespaces).filter(({ name, labels }) => {
    const isSaid = labels[DATAPLANE_LABEL] === "ambient" || (labels[INJECTION_LABEL] ?? "") !== "";
    return !isSaid && labels[REVISION_LABEL] === undefined && !SYSTEM_NAMESPACES.has(name);
  });
}

/** Whether the injector takes namespaces without a label: `enableNamespacesByDefault`. */
export function injectorTakesAll(audit: AuditContext): boolean {
  return audit
    .every("", "ConfigMap")
    .filter(({ name }) => name === "istio-sidecar-injector")
    .some(({ body }) => {
      const values = parsed(textOf(fieldsOf(body.data).values));
      return fieldsOf(fieldsOf(values).sidecarInjectorWebhook).enableNamespacesByDefault === true;
    });
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
