import { addressesOf, type StandIn } from "../../model/placement.ts";
import type { LookUp } from "./dns-server.ts";

/** Names of hosts outside of the mesh, as the internet's DNS would have them: those that stand-ins play. */
export function standInNames(standIns: readonly StandIn[]): LookUp {
  const exact = new Map(standIns.map((standIn) => [standIn.host.toLowerCase(), addressesOf(standIn)]));
  const suffixes = standIns
    .filter(({ host }) => host.startsWith("*"))
    .map((standIn) => ({ suffix: standIn.host.slice(1).toLowerCase(), addresses: addressesOf(standIn) }))
    .sort((a, b) => b.suffix.length - a.suffix.length);
  return (name) =>
    exact.get(name) ??
    suffixes.find(({ suffix }) => name.length > suffix.length && name.endsWith(suffix))?.addresses;
}
