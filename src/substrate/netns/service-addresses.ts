import type { Mesh } from "../../model/mesh.ts";
import type { VirtualAddress } from "../../model/placement.ts";
import { virtualAddresses } from "./addresses.ts";

/** For every service that clients dial by an address and that has none: not for headless ones, patterns, and other names. */
export function serviceAddresses(mesh: Mesh): VirtualAddress[] {
  const taken = new Set<string>();
  const given = new Map<string, VirtualAddress>();
  for (const { hostname, origin, addresses, headless, externalName, resolution } of mesh.services) {
    // With resolution NONE clients dial the host's own address.
    const dialled =
      addresses.length === 0 && !headless && externalName === undefined && resolution !== "none";
    if (!dialled || hostname.startsWith("*") || given.has(hostname)) continue;
    let attempt = 0;
    let pair = virtualAddresses(hostname, origin, attempt);
    while (taken.has(pair.address)) {
      attempt += 1;
      pair = virtualAddresses(hostname, origin, attempt);
    }
    taken.add(pair.address);
    given.set(hostname, { hostname, ...pair });
  }
  return [...given.values()];
}
