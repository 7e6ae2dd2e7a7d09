/** What clients must know of servers' PeerAuthentication to choose TLS by themselves (auto mTLS). */
import type { Labels, Mesh, PeerAuthenticationSpec } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import type { Resource } from "../../resources/resource.ts";

export type MutualTlsMode = "STRICT" | "PERMISSIVE" | "DISABLE";

export interface PeerMtls {
  /** By mesh and namespace policies alone. */
  namespaceMode(namespace: string): MutualTlsMode;
  /** Of one endpoint's port, its own policies included. */
  endpointMode(namespace: string, labels: Labels, port: number): MutualTlsMode;
}

type Policy = Resource<PeerAuthenticationSpec>;

export function indexPeerMtls(mesh: Mesh): PeerMtls {
  const root = mesh.config.rootNamespace;
  const unselective = new Map<string, Policy>();
  const selective = new Map<string, Policy[]>();
  for (const policy of mesh.peerAuthentications) {
    if (Object.keys(selectorOf(policy)).length === 0) {
      // The lists are sorted by age, so the first is the oldest.
      if (!unselective.has(policy.namespace)) unselective.set(policy.namespace, policy);
    } else if (policy.namespace !== root) {
      selective.set(policy.namespace, [...(selective.get(policy.namespace) ?? []), policy]);
    }
  }
  const meshMode = modeOf(unselective.get(root)) ?? "PERMISSIVE";
  const namespaceMode = (namespace: string): MutualTlsMode => modeOf(unselective.get(namespace)) ?? meshMode;
  return {
    namespaceMode,
    endpointMode(namespace, labels, port) {
      const inherited = namespaceMode(namespace);
      const own = selective.get(namespace)?.find((policy) => matchesLabels(selectorOf(policy), labels));
      if (own === undefined) return inherited;
      return knownMode(own.spec.portLevelMtls?.[port]?.mode) ?? modeOf(own) ?? inherited;
    },
  };
}

function selectorOf(policy: Policy): Labels {
  return policy.spec.selector?.matchLabels ?? {};
}

function modeOf(policy: Policy | undefined): MutualTlsMode | undefined {
  return knownMode(policy?.spec.mtls?.mode);
}

function knownMode(mode: string | undefined): MutualTlsMode | undefined {
  return mode === "STRICT" || mode === "PERMISSIVE" || mode === "DISABLE" ? mode : undefined;
}
