/** Host names as Istio compares them: exact, or a wildcard whose first character is `*`. Callers fold case. */
import { parseIpAddress } from "../ip-address.ts";

/** The suffix under which Kubernetes' services are named. */
export const CLUSTER_DOMAIN = "cluster.local";

export function isWildcard(host: string): boolean {
  return host.startsWith("*");
}

/** Whether some name is covered by both: `*.foo.com` overlaps `a.foo.com` and `*.com`, not `foo.com`. */
export function hostsOverlap(a: string, b: string): boolean {
  return isHostSubset(a, b) || isHostSubset(b, a);
}

/** Whether every name that `inner` covers is covered by `outer`. */
export function isHostSubset(inner: string, outer: string): boolean {
  return isWildcard(outer) ? inner.endsWith(outer.slice(1)) : inner === outer;
}

/** Sorts the more specific first: exact before wildcard, longer before shorter, then by name. */
export function compareSpecificity(a: string, b: string): number {
  const byKind = Number(isWildcard(a)) - Number(isWildcard(b));
  if (byKind !== 0) return byKind;
  if (a.length !== b.length) return b.length - a.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Entries by host, exact ones apart from wildcards, so that exact look-ups cost one hash. */
export interface HostTable<V> {
  readonly exact: Map<string, V>;
  readonly wildcard: Map<string, V>;
}

export function newHostTable<V>(): HostTable<V> {
  return { exact: new Map(), wildcard: new Map() };
}

/** The map of the table that `host` belongs in. */
export function tableOf<V>(table: HostTable<V>, host: string): Map<string, V> {
  return isWildcard(host) ? table.wildcard : table.exact;
}

/** The entry with the most specific host that covers `needle`, which may be a wildcard itself. */
export function mostSpecific<V>(needle: string, table: HostTable<V>): V | undefined {
  const exact = tableOf(table, needle).get(needle);
  if (exact !== undefined) return exact;
  let best: readonly [host: string, value: V] | undefined;
  for (const entry of table.wildcard) {
    const [host] = entry;
    if (isHostSubset(needle, host) && (best === undefined || compareSpecificity(host, best[0]) < 0))
      best = entry;
  }
  return best?.[1];
}

/** A name without dots is a service of the resource's own namespace; addresses and names with dots stand for themselves. */
export function resolveShortName(host: string, namespace: string): string {
  if (host === "" || host === "*" || host.includes(".") || parseIpAddress(host) !== undefined) return host;
  return `${host}.${namespace}.svc.${CLUSTER_DOMAIN}`;
}

export const MESH_GATEWAY = "mesh";

/** `namespace/name` of a Gateway that a VirtualService in `namespace` names; `mesh` stands for itself. */
export function resolveGatewayName(name: string, namespace: string): string {
  if (name === MESH_GATEWAY) return name;
  const slash = name.indexOf("/");
  if (slash >= 0) return name.startsWith("./") ? `${namespace}/${name.slice(2)}` : name;
  const [first, second] = name.split(".");
  return second === undefined ? `${namespace}/${name}` : `${second}/${first}`;
}

/** Istio's names for one cluster: as the route says it, and as the default SNI says it. */
export function clusterName(port: number, subset: string, host: string): string {
  return `outbound|${port}|${subset}|${host}`;
}

export function clusterSni(port: number, subset: string, host: string): string {
  return `outbound_.${port}_.${subset}_.${host}`;
}
