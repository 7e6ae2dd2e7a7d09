import type { Mesh } from "../../model/mesh.ts";
import type { Assignments, StandInAssignment } from "../assignment.ts";
import { externalHosts } from "../external-hosts.ts";
import { standInAddresses } from "./addresses.ts";

/** A stand-in for every host outside; one that had an address keeps it. */
export function placeStandIns(mesh: Mesh, previous: Assignments): StandInAssignment[] {
  const kept = new Map(
    previous.standIns
      .filter(({ address6 }) => address6 !== undefined)
      .map((standIn) => [standIn.host, standIn]),
  );
  const hosts = externalHosts(mesh);
  const taken = new Set([...kept.values()].map(({ address }) => address));
  let number = 0;
  return [...hosts].map(([host, ports]) => {
    const known = kept.get(host);
    if (known !== undefined) return { ...known, ports };
    let pair = standInAddresses(number);
    while (taken.has(pair.address)) {
      number += 1;
      pair = standInAddresses(number);
    }
    taken.add(pair.address);
    return { host, ...pair, ports };
  });
}
