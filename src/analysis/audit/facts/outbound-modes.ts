/** What each workload's sidecar does with hosts that nobody registered: its Sidecar says it, otherwise the mesh. */
import type { Workload } from "../../../model/mesh.ts";
import { selectSidecar } from "../../../policy/outbound/sidecar-scope.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type Fields, fieldsOf, textOf } from "./written.ts";

export interface OutboundMode {
  readonly workload: Workload;
  /** `REGISTRY_ONLY`, `ALLOW_ANY`, `ALLOW_ANY_DYNAMIC_DNS` */
  readonly mode: string;
  /** Undefined where the mesh's own setting holds. */
  readonly by: Resource | undefined;
}

/** Of applications behind sidecars: gateways heed no Sidecar, and ztunnel knows no mode. */
export function outboundModes({ mesh }: AuditContext): readonly OutboundMode[] {
  const { rootNamespace, outboundTrafficPolicy } = mesh.config;
  const byNamespace = Map.groupBy(mesh.sidecars, ({ namespace }) => namespace);
  const root = byNamespace.get(rootNamespace) ?? [];
  const applications = mesh.workloads.filter(
    ({ role, dataplane }) => role === "application" && dataplane === "sidecar",
  );
  return applications.map((workload) => {
    const { namespace, labels } = workload;
    const own = namespace === rootNamespace ? [] : (byNamespace.get(namespace) ?? []);
    const sidecars = [...own, ...root];
    const holds = sidecars.length === 0 ? undefined : selectSidecar({ ...mesh, sidecars }, namespace, labels);
    const written = holds === undefined ? undefined : writtenPolicy(holds);
    return written === undefined
      ? { workload, mode: outboundTrafficPolicy, by: undefined }
      : { workload, mode: modeOf(written), by: holds };
  });
}

function writtenPolicy({ spec }: { readonly spec: unknown }): Fields | undefined {
  const { outboundTrafficPolicy } = fieldsOf(spec);
  return outboundTrafficPolicy === undefined ? undefined : fieldsOf(outboundTrafficPolicy);
}

/** A policy that says no mode is REGISTRY_ONLY, the first of the enumeration. */
export function modeOf({ mode }: Fields): string {
  return textOf(mode) === "" ? "REGISTRY_ONLY" : textOf(mode);
}
