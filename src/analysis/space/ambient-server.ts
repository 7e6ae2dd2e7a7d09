/** A server in ambient mode: what its node's ztunnel lets through, for the space in which servers are compared. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { type AmbientPolicy, compileAmbient } from "../../policy/ambient/ambient-policy.ts";
import type { Semantics } from "../../policy/inbound.ts";
import type { PathNormalization } from "../../policy/normalize-path.ts";
import { policiesFor } from "../../policy/policy-lookup.ts";
import type { Atoms } from "./atoms.ts";

export interface AmbientServer {
  readonly ambient: AmbientPolicy;
  /** Those that PeerAuthentications name: plaintext is refused by port. */
  readonly ports: readonly number[];
  /** Of the mesh: ztunnel sees no path. */
  readonly pathNormalization: PathNormalization;
}

/** ztunnel's own, which nobody is served at. */
export const ZTUNNEL_PORTS: readonly number[] = [15_001, 15_006, 15_008];

export function ambientServer(mesh: Mesh, workload: Workload, semantics: Semantics): AmbientServer {
  const named = policiesFor(mesh.peerAuthentications, workload, mesh.config.rootNamespace).flatMap(
    ({ spec }) => Object.keys((spec as { portLevelMtls?: object } | undefined)?.portLevelMtls ?? {}),
  );
  return {
    ambient: compileAmbient(mesh, workload, { semantics }),
    ports: named.map(Number),
    pathNormalization: mesh.config.pathNormalization,
  };
}

export function addAmbientAtoms(atoms: Atoms, { ambient, ports }: AmbientServer): void {
  for (const port of [...ports, ...ZTUNNEL_PORTS]) atoms.ports.add(port);
  for (const policy of [ambient, ambient.asWritten]) {
    if (policy === null) continue;
    const trustDomains = [policy.trustDomain];
    atoms.addTrustDomain(policy.trustDomain);
    for (const { policy: name, rules } of [...policy.deny, ...policy.allow]) {
      const policyNamespace = name.slice(name.indexOf(" ") + 1).split("/")[0] ?? "";
      for (const condition of rules.flatMap(({ clauses }) => clauses.flat(2)))
        atoms.addCondition(condition, { trustDomains, policyNamespace });
    }
  }
}
