/** The choices of a route: clusters with their weights, and what one request sends to them. */
import { NO_HEADER_OPS } from "./header-ops.ts";
import { authorityHost } from "./request-view.ts";
import type { ClusterPlan, OutboundReason, OutboundTarget } from "./types.ts";

export function plainTarget(name: string, cluster: ClusterPlan | undefined, weight = 1): OutboundTarget {
  return Object.freeze({
    name,
    ...(cluster === undefined ? {} : { cluster, ...fixedNames(cluster) }),
    weight,
    requestHeaders: NO_HEADER_OPS,
    responseHeaders: NO_HEADER_OPS,
  });
}

function fixedNames(cluster: ClusterPlan): { sni?: string; sans?: readonly string[] } {
  const tls = cluster.tlsSettings;
  return {
    ...(tls?.sni === undefined ? {} : { sni: tls.sni }),
    ...(tls?.sans === undefined ? {} : { sans: tls.sans }),
  };
}

/** Whether some target's names, or the place it is reached at, depend on the request. */
export function followsAuthority(targets: readonly OutboundTarget[]): boolean {
  return targets.some(({ cluster }) => {
    if (cluster?.resolution === "dynamic-dns") return true;
    const tls = cluster?.tlsSettings;
    return tls !== undefined && (tls.sniFromAuthority || tls.sansFromAuthority);
  });
}

/** The target with the names that an HTTP request's authority gives. No SNI for an address (RFC 6066 §3). */
export function withAuthority(target: OutboundTarget, authority: string): OutboundTarget {
  const tls = target.cluster?.tlsSettings;
  if (tls === undefined || (!tls.sniFromAuthority && !tls.sansFromAuthority)) return target;
  const host = nameOf(target.authority ?? authority);
  const isAddress = /^[\d.]+$|^\[/.test(host);
  return {
    ...target,
    ...(tls.sniFromAuthority && !isAddress ? { sni: host } : {}),
    ...(tls.sansFromAuthority && tls.sans === undefined ? { sans: [host] } : {}),
  };
}

function nameOf(authority: string): string {
  return authority.slice(0, authorityHost(authority).length);
}

/** Why nothing can be sent by any of the targets, or undefined where one can take it. */
export function unusable(
  targets: readonly OutboundTarget[],
): Extract<OutboundReason, "no-cluster" | "no-healthy-upstream"> | undefined {
  const chosen = targets.filter((target) => target.weight > 0);
  if (chosen.some(({ cluster }) => cluster !== undefined && canReach(cluster))) return undefined;
  return chosen.some(({ cluster }) => cluster !== undefined) ? "no-healthy-upstream" : "no-cluster";
}

function canReach(cluster: ClusterPlan): boolean {
  const { resolution, endpoints } = cluster;
  return resolution === "original-destination" || resolution === "dynamic-dns" || endpoints.length > 0;
}

/**
 * The target that a roll of 0 ≤ roll < 1 falls on, each with a chance of its weight over the sum of all.
 * Undefined only where there are none of weight above 0.
 */
export function chooseTarget(targets: readonly OutboundTarget[], roll: number): OutboundTarget | undefined {
  let total = 0;
  for (const target of targets) total += target.weight;
  let rest = roll * total;
  let last: OutboundTarget | undefined;
  for (const target of targets) {
    if (target.weight <= 0) continue;
    last = target;
    rest -= target.weight;
    if (rest < 0) return target;
  }
  return last;
}
