import type { Mesh } from "../../model/mesh.ts";
import { addressesOf, type Placement } from "../../model/placement.ts";
import { parseTrustDomain, type TrustDomain } from "../../model/spiffe-id.ts";
import type { Semantics } from "../../policy/inbound.ts";
import {
  type CompiledPolicies,
  compiledPolicies,
  type MeshDirectory,
  meshDirectory,
} from "../../policy/path/compiled-policies.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { Resolver } from "../resolver.ts";

/** What the mesh looks like at present to a ztunnel: replaced whole when the configuration changes. */
export interface ZtunnelSnapshot {
  readonly mesh: Mesh;
  readonly placement: Placement;
  /** The mesh's, with the addresses that its pods were given. */
  readonly directory: MeshDirectory;
  /** What `can` decides by. */
  readonly policies: CompiledPolicies;
  readonly trustDomain: TrustDomain;
  readonly resolver: Resolver;
}

/** @throws {BulwarkError} BW_PROXY_BAD_TRUST_DOMAIN */
export function ztunnelSnapshot(mesh: Mesh, placement: Placement, semantics: Semantics): ZtunnelSnapshot {
  const trustDomain = parseTrustDomain(mesh.config.trustDomain);
  if (trustDomain === undefined)
    throw new BulwarkError("BW_PROXY_BAD_TRUST_DOMAIN", `\`${mesh.config.trustDomain}\` is no trust domain`);
  return {
    mesh,
    placement,
    directory: placedDirectory(mesh, placement),
    policies: compiledPolicies(mesh, semantics),
    trustDomain,
    resolver: new Resolver(placement),
  };
}

/** INVARIANT: an address that a pod was given is that pod's, whatever resources say of whose it once was. */
function placedDirectory(mesh: Mesh, { pods }: Placement): MeshDirectory {
  const own = meshDirectory(mesh);
  const byAddress = new Map(own.byAddress);
  for (const pod of pods) {
    const workload = own.workloads.get(pod.workload);
    if (workload === undefined || workload.hostNetwork) continue;
    for (const address of addressesOf(pod)) byAddress.set(address, workload);
  }
  return { ...own, byAddress };
}
