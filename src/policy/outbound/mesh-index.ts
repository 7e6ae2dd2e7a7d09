/** What the outbound policies of all workloads of a mesh share, built once for each snapshot. */
import type { Mesh } from "../../model/mesh.ts";
import { type DestinationRules, indexDestinationRules } from "./destination-rules.ts";
import { indexPeerMtls, type PeerMtls } from "./peer-mtls.ts";
import { buildRegistry, type Registry } from "./registry.ts";
import { indexVirtualServices, type VirtualServices } from "./virtual-services.ts";

export interface MeshIndex {
  readonly mesh: Mesh;
  readonly registry: Registry;
  readonly virtualServices: VirtualServices;
  readonly destinationRules: DestinationRules;
  readonly peerMtls: PeerMtls;
}

const INDEXES = new WeakMap<Mesh, MeshIndex>();

export function meshIndex(mesh: Mesh): MeshIndex {
  const known = INDEXES.get(mesh);
  if (known !== undefined) return known;
  const index: MeshIndex = {
    mesh,
    registry: buildRegistry(mesh),
    virtualServices: indexVirtualServices(mesh),
    destinationRules: indexDestinationRules(mesh),
    peerMtls: indexPeerMtls(mesh),
  };
  INDEXES.set(mesh, index);
  return index;
}
