/** Proxies into which EnvoyFilters and WasmPlugins put, or out of which they take, what policies know nothing of. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";

type Json = Readonly<Record<string, unknown>>;

/** What a patch of them changes is not what a server lets in. */
const HARMLESS: ReadonlySet<string> = new Set(["CLUSTER", "BOOTSTRAP"]);
const OTHER_SIDES: ReadonlySet<string> = new Set(["SIDECAR_OUTBOUND", "GATEWAY"]);

/** `Kind namespace/name` of those that may change what the server of each workload lets through. */
export function alteringResources(mesh: Mesh): (workload: Workload) => readonly string[] {
  const altering = mesh.resources.filter(
    (resource) =>
      resource.kind === "WasmPlugin" || (resource.kind === "EnvoyFilter" && touchesServers(resource)),
  );
  if (altering.length === 0) return () => [];
  return (workload) => altering.filter((one) => isFor(one, workload, mesh)).map(resourceName);
}

function touchesServers({ spec }: Resource): boolean {
  return listOf(recordOf(spec).configPatches).some(({ applyTo, match }) => {
    const { context } = recordOf(match);
    return !HARMLESS.has(String(applyTo)) && !OTHER_SIDES.has(String(context));
  });
}

/** A policy that targets something else by name may be for its waypoint: that is not its server. */
function isFor({ namespace, spec }: Resource, workload: Workload, { config }: Mesh): boolean {
  if (namespace !== config.rootNamespace && namespace !== workload.namespace) return false;
  const { workloadSelector, selector, targetRef, targetRefs } = recordOf(spec);
  if (targetRef !== undefined || targetRefs !== undefined) return workload.role !== "application";
  const labels = recordOf(workloadSelector).labels ?? recordOf(selector).matchLabels;
  return matchesLabels(recordOf(labels) as Readonly<Record<string, string>>, workload.labels);
}

function recordOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function listOf(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(recordOf) : [];
}
