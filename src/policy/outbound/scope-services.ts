import type { RegistryService } from "./registry.ts";

/**
 * One service for each host name: the first, but a Kubernetes service before any ServiceEntry. Parts of one service that
 * several egress listeners import are joined again.
 */
export function mergeScopeServices(
  services: readonly RegistryService[],
): ReadonlyMap<string, RegistryService> {
  const merged = new Map<string, RegistryService>();
  for (const service of services) {
    const existing = merged.get(service.hostname);
    merged.set(service.hostname, existing === undefined ? service : combine(existing, service));
  }
  return merged;
}

function combine(existing: RegistryService, service: RegistryService): RegistryService {
  if (existing.kubernetes && !service.kubernetes) return existing;
  if (!existing.kubernetes && service.kubernetes) return service;
  if (!sameOrigin(existing, service)) return existing;
  const known = new Set(existing.ports.map((port) => port.port));
  const added = service.ports.filter((port) => !known.has(port.port));
  return added.length === 0 ? existing : { ...existing, ports: [...existing.ports, ...added] };
}

/** Two ServiceEntries of one host join only where nothing but their ports differs. */
function sameOrigin(a: RegistryService, b: RegistryService): boolean {
  if (a.model === b.model) return true;
  return (
    a.namespace === b.namespace &&
    a.resolution === b.resolution &&
    a.hasSelector === b.hasSelector &&
    !a.hasSelector &&
    sameSet(a.exportTo, b.exportTo) &&
    sameSet(
      Object.entries(a.model.resource.labels).map(String),
      Object.entries(b.model.resource.labels).map(String),
    )
  );
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((entry) => b.includes(entry));
}
