/**
 * Namespaces whose sidecars are told of the same: without a Sidecar resource, and with nothing exported to them alone. All of them share
 * what is compiled once for a namespace that has nothing of its own; only short names of a namespace's own services differ.
 */
import type { DestinationRuleSpec } from "../../model/mesh.ts";
import type { Resource } from "../../resources/resource.ts";
import { isWildcard, resolveShortName } from "./host-name.ts";
import type { MeshIndex } from "./mesh-index.ts";
import { type DestinationRuleShape, shapeOf } from "./resource-shapes.ts";

/** Stands for every namespace that shares. No namespace has this name. */
export const COMMON_NAMESPACE = "";

/**
 * Namespaces that have to be compiled by themselves. INVARIANT: for all others no rule of visibility, preference or look-up can tell one from another:
 * each place that asks for the client's namespace is answered for here, or by `namesIn` (virtual-hosts.ts).
 */
export function distinctNamespaces(index: MeshIndex): ReadonlySet<string> {
  const distinct = new Set<string>([index.mesh.config.rootNamespace]);
  addServices(index, distinct);
  addVirtualServices(index, distinct);
  for (const rule of index.mesh.destinationRules) addDestinationRule(index, rule, distinct);
  return distinct;
}

/** Whoever sees what others do not, owns what others do not see, or means something else by a host name. */
function addServices({ registry }: MeshIndex, distinct: Set<string>): void {
  for (const service of registry.services) {
    addLimited(service.exportTo, service.namespace, distinct);
    const owners = registry.findAll(service.hostname);
    const isAmbiguous = owners !== undefined && owners.size > 1;
    // The short name of an alias of one's own is a name of what it stands for.
    if (isAmbiguous || service.resolution === "alias") distinct.add(service.namespace);
  }
}

function addVirtualServices({ virtualServices }: MeshIndex, distinct: Set<string>): void {
  for (const service of virtualServices.all) {
    addLimited(service.exportTo, service.namespace, distinct);
    const routes = [...service.http.map(({ route }) => route), ...service.tls, ...service.tcp];
    for (const { match = [] } of routes)
      for (const { sourceNamespace } of match)
        if (sourceNamespace !== undefined) distinct.add(sourceNamespace);
  }
}

function addLimited(exportTo: readonly string[], owner: string, distinct: Set<string>): void {
  if (exportTo.includes("*")) return;
  distinct.add(owner);
  for (const name of exportTo) distinct.add(name);
}

/** One's own rules come before those of a service's owner: that is the same where they are for one's own services, and everybody's. */
function addDestinationRule(
  { mesh, registry }: MeshIndex,
  rule: Resource<DestinationRuleSpec>,
  distinct: Set<string>,
): void {
  const { exportTo = [], host, workloadSelector } = shapeOf<DestinationRuleShape>(rule);
  const { namespace } = rule;
  const isPublic =
    exportTo.length === 0
      ? !mesh.config.defaultDestinationRuleExportTo.includes(".")
      : exportTo.includes("*");
  const name = resolveShortName(host, namespace);
  const owners = isWildcard(name) ? undefined : registry.findAll(name.toLowerCase());
  const isOwn = owners?.size === 1 && owners.has(namespace);
  if (isPublic && isOwn && workloadSelector === undefined) return;
  distinct.add(namespace);
  for (const to of exportTo) distinct.add(to);
}
