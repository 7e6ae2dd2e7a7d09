/**
 * Egress rules, from what clients' own proxies logged: hosts that nobody registered are closed (`REGISTRY_ONLY`), then ServiceEntries are exported
 * to those namespaces alone that use them, then pods are let out to where they were seen to go.
 */
import type { Mesh } from "../../model/mesh.ts";
import type { Evidence } from "./evidence.ts";
import { meshWith, type ResourceChange } from "./manifest.ts";
import { proposeEgressPolicies } from "./network-egress.ts";
import { proposeRegistryOnly } from "./registry-only.ts";
import { proposeExports } from "./service-exports.ts";
import type { ExtraProposal } from "./sidecars.ts";

export interface EgressOptions {
  /** What becomes of what nothing is known of: as it is, or closed. */
  readonly inactive: "keep" | "close";
  /** Whether pods are let out by NetworkPolicies, too. */
  readonly network: boolean;
}

/** @param others what is proposed beside it, which may close unregistered hosts already. */
export async function proposeEgress(
  mesh: Mesh,
  evidence: Evidence,
  others: readonly ResourceChange[],
  options: EgressOptions,
): Promise<ExtraProposal> {
  const registry = await proposeRegistryOnly(mesh, evidence, options.inactive);
  // A host that is hidden goes out all the same where unregistered ones do: what closes them is taken as done.
  const closed = await meshWith(mesh, [...others, ...registry.changes]);
  const exports = await proposeExports(mesh, closed, evidence, options.inactive);
  const network = options.network ? await proposeEgressPolicies(mesh, evidence) : NOTHING;
  const all = [registry, exports, network];
  return {
    changes: all.flatMap(({ changes }) => changes),
    untouched: all.flatMap(({ untouched }) => untouched),
  };
}

const NOTHING: ExtraProposal = { changes: [], untouched: [] };
