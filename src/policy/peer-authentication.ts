/** PeerAuthentication: the mutual TLS mode of each port of a workload. */
import type { Mesh, Workload } from "../model/mesh.ts";
import { matchesLabels } from "../model/selector.ts";
import { type Resource, resourceName } from "../resources/resource.ts";
import { policiesFor } from "./policy-lookup.ts";

export type MutualTlsMode = "STRICT" | "PERMISSIVE" | "DISABLE";

export interface TransportRule {
  readonly mode: MutualTlsMode;
  /** `PeerAuthentication ns/name` that set it; null for the default. */
  readonly policy: string | null;
}

export interface TransportRules {
  /** For ports that have none of their own, declared or not. */
  readonly workload: TransportRule;
  readonly ports: ReadonlyMap<number, TransportRule>;
}

interface Mtls {
  readonly mode?: MutualTlsMode | "UNSET";
}

interface PeerAuthenticationFields {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
  readonly mtls?: Mtls;
  readonly portLevelMtls?: Readonly<Record<string, Mtls>>;
}

const DEFAULT: TransportRule = Object.freeze({ mode: "PERMISSIVE", policy: null });

/**
 * Workload over namespace over mesh; at each, the oldest policy alone; UNSET is inherited. A policy with a selector in the root
 * namespace counts for nobody, as its workload level would be the mesh's.
 * @see https://istio.io/latest/docs/reference/config/security/peer_authentication/
 */
export function compileTransport(mesh: Mesh, workload: Workload): TransportRules {
  const root = mesh.config.rootNamespace;
  // The mesh's lists are sorted by age, so the first of each level is the oldest.
  const policies = policiesFor(mesh.peerAuthentications, workload, root);
  const oldest = (namespace: string) =>
    policies.find((policy) => policy.namespace === namespace && labelsOf(policy) === null);
  const own =
    workload.namespace === root
      ? undefined
      : policies.find((policy) => policy.namespace === workload.namespace && selects(policy, workload));
  let rule = DEFAULT;
  rule = override(rule, oldest(root), fieldsOf(oldest(root)).mtls);
  if (workload.namespace !== root)
    rule = override(rule, oldest(workload.namespace), fieldsOf(oldest(workload.namespace)).mtls);
  rule = override(rule, own, fieldsOf(own).mtls);
  const ports = new Map<number, TransportRule>();
  for (const [port, mtls] of Object.entries(fieldsOf(own).portLevelMtls ?? {}))
    ports.set(Number(port), override(rule, own, mtls));
  return { workload: rule, ports };
}

function override(
  inherited: TransportRule,
  policy: Resource | undefined,
  mtls: Mtls | undefined,
): TransportRule {
  const mode = mtls?.mode;
  if (policy === undefined || mode === undefined || mode === "UNSET") return inherited;
  return Object.freeze({ mode, policy: resourceName(policy) });
}

function fieldsOf(policy: Resource | undefined): PeerAuthenticationFields {
  return (policy?.spec ?? {}) as PeerAuthenticationFields;
}

/** Null where the policy is for a whole namespace: no selector, or an empty one. */
function labelsOf(policy: Resource): Readonly<Record<string, string>> | null {
  const labels = fieldsOf(policy).selector?.matchLabels ?? {};
  return Object.keys(labels).length === 0 ? null : labels;
}

function selects(policy: Resource, workload: Workload): boolean {
  const labels = labelsOf(policy);
  return labels !== null && matchesLabels(labels, workload.labels);
}
