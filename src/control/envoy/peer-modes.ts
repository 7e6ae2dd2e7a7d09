/** PeerAuthentication: whether each port of a workload takes plaintext, mutual TLS, or both. */
import type { Labels, Mesh, PeerAuthenticationSpec, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import type { Resource } from "../../resources/resource.ts";

export type PeerMode = "STRICT" | "PERMISSIVE" | "DISABLE";

export interface PeerModes {
  readonly workload: PeerMode;
  /** Ports with a mode of their own. */
  readonly ports: ReadonlyMap<number, PeerMode>;
}

type Written = { readonly mode?: PeerMode | "UNSET" } | undefined;

/**
 * The mesh's mode, overridden by the namespace's, overridden by the workload's, overridden by the port's; of several policies at one
 * level the oldest counts. Permissive where nothing is said.
 */
export function peerModes(mesh: Mesh, workload: Workload): PeerModes {
  const root = mesh.config.rootNamespace;
  const levels = [
    oldest(mesh, root, null),
    oldest(mesh, workload.namespace, null),
    workload.namespace === root ? undefined : oldest(mesh, workload.namespace, workload.labels),
  ];
  const mode = levels.reduce<PeerMode>((before, spec) => orElse(spec?.mtls, before), "PERMISSIVE");
  const perPort = (levels[2]?.portLevelMtls ?? {}) as Readonly<Record<string, Written>>;
  return {
    workload: mode,
    ports: new Map(Object.entries(perPort).map(([port, mtls]) => [Number(port), orElse(mtls, mode)])),
  };
}

function orElse(mtls: Written, inherited: PeerMode): PeerMode {
  const mode = mtls?.mode ?? "UNSET";
  return mode === "UNSET" ? inherited : mode;
}

/** @param labels null: for the policy of a whole namespace. */
function oldest(mesh: Mesh, namespace: string, labels: Labels | null): PeerAuthenticationSpec | undefined {
  const fits = (policy: Resource<PeerAuthenticationSpec>): boolean => {
    const wanted = policy.spec?.selector?.matchLabels ?? {};
    const isForAll = Object.keys(wanted).length === 0;
    return labels === null ? isForAll : !isForAll && matchesLabels(wanted as Labels, labels);
  };
  return mesh.peerAuthentications.find((policy) => policy.namespace === namespace && fits(policy))?.spec;
}
