import type { Destination, HttpRoute } from "./resource-shapes.ts";
import type { VirtualService } from "./virtual-services.ts";

/**
 * Where a VirtualService may lead clients of a namespace: host to ports, 0 standing for a destination without one.
 * HTTP routes whose conditions all name other namespaces are left out.
 */
export function destinationPorts(
  service: VirtualService,
  clientNamespace: string,
): ReadonlyMap<string, ReadonlySet<number>> {
  const ports = new Map<string, Set<number>>();
  const add = (destination: Destination | undefined): void => {
    if (destination === undefined) return;
    const host = destination.host.toLowerCase();
    const known = ports.get(host) ?? new Set();
    ports.set(host, known.add(destination.port?.number ?? 0));
  };
  for (const { route } of service.http) {
    if (!admitsNamespace(route, clientNamespace)) continue;
    for (const target of route.route ?? []) add(target.destination);
    add(route.mirror);
    for (const mirror of route.mirrors ?? []) add(mirror.destination);
  }
  for (const route of [...service.tcp, ...service.tls])
    for (const target of route.route ?? []) add(target.destination);
  return ports;
}

/** Istio's reading: a condition without namespace decides nothing after one that named another. */
function admitsNamespace(route: HttpRoute, namespace: string): boolean {
  let admitted = true;
  for (const { sourceNamespace } of route.match ?? []) {
    if (sourceNamespace === undefined || sourceNamespace === "") continue;
    if (sourceNamespace === namespace) return true;
    admitted = false;
  }
  return admitted;
}
