import type { Mesh } from "../model/mesh.ts";
import { secretsUsedBy } from "../policy/outbound/credential-use.ts";
import { namespaceOf, type WireResource } from "../resources/wire.ts";

const NONE: ReadonlySet<string> = new Set();

/**
 * What one pod's proxy is sent of the configuration: everything but the Secrets that are none of its business.
 * @param workload key of the pod's workload.
 */
export function resourcesFor(
  resources: readonly WireResource[],
  mesh: Mesh | undefined,
  workload: string,
): readonly WireResource[] {
  const own = mesh?.workloads.find(({ key }) => key === workload);
  const used = mesh === undefined || own === undefined ? NONE : secretsUsedBy(mesh, own);
  return resources.filter(({ body }) => {
    if (body.kind !== "Secret" || body.apiVersion !== "v1") return true;
    const metadata = (body.metadata ?? {}) as Readonly<Record<string, unknown>>;
    return used.has(`${namespaceOf("v1", "Secret", metadata)}/${String(metadata.name)}`);
  });
}
