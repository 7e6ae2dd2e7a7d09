/** Whether a request is in the lines of a map, by their regions and not by their words. */
import type { AccessEntry } from "../../src/analysis/map/access-map.ts";
import type { RequestSet } from "../../src/analysis/map/server-access.ts";
import { locate } from "../../src/analysis/space/locate.ts";
import type { SampleRequest } from "../../src/analysis/space/request-space.ts";
import { hasPort } from "../../src/policy/network/port-set.ts";

/** Undefined: there is no such request in the space. */
function isIn({ regions = [], dimensions = [] }: RequestSet, sample: SampleRequest): boolean | undefined {
  const point = locate(dimensions, sample);
  if (point === undefined) return undefined;
  return regions.some((region) => [...region].every(([place, cells]) => cells.has(point[place] ?? -1)));
}

export function holds(entries: readonly AccessEntry[], sample: SampleRequest): boolean | undefined {
  for (const { access, destination } of entries) {
    if (destination?.workloads[0]?.dataplane === "none")
      return hasPort(entries[0]?.set.ports.TCP ?? [], sample.port);
    for (const { ports, allowed } of access ?? []) {
      if (!hasPort(ports, sample.port)) continue;
      const found = isIn(allowed, sample);
      if (found !== false) return found;
      // More is let through than is said, and said to be.
      if (!allowed.isWhole) return undefined;
    }
  }
  return false;
}
