/** What a DestinationRule for a whole namespace, or for the whole mesh, has clients speak; and what PeerAuthentications without a selector have servers take. */
import { CLUSTER_DOMAIN } from "../../../policy/outbound/host-name.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { isSelective, modeOf, type PeerAuthentication } from "./peer-authentications.ts";
import { fieldsOf, textOf } from "./written.ts";

export interface WideTls {
  readonly rule: Resource;
  /** Undefined: the mesh. */
  readonly namespace: string | undefined;
  readonly mode: string;
}

const CLUSTER = `svc.${CLUSTER_DOMAIN}`;

/** DestinationRules with TLS settings (without a mode these are DISABLE) whose host is `*.local`, or `*.ns.svc.cluster.local` in that namespace. */
export function wideTls(audit: AuditContext): readonly WideTls[] {
  return audit.every("networking.istio.io", "DestinationRule").flatMap((rule): readonly WideTls[] => {
    const { host, trafficPolicy } = fieldsOf(rule.spec);
    const { tls } = fieldsOf(trafficPolicy);
    if (tls === undefined) return [];
    const mode = textOf(fieldsOf(tls).mode) || "DISABLE";
    if (host === "*.local") return [{ rule, namespace: undefined, mode }];
    return host === `*.${rule.namespace}.${CLUSTER}` ? [{ rule, namespace: rule.namespace, mode }] : [];
  });
}

export function isMutual(mode: string): boolean {
  return mode === "ISTIO_MUTUAL" || mode === "MUTUAL";
}

/** PeerAuthentications without a selector, the oldest of each namespace. */
export function widePeerAuthentications({ mesh }: AuditContext): ReadonlyMap<string, PeerAuthentication> {
  const found = new Map<string, PeerAuthentication>();
  for (const policy of mesh.peerAuthentications)
    if (!isSelective(policy) && !found.has(policy.namespace)) found.set(policy.namespace, policy);
  return found;
}

/** Whose word it is that a namespace is STRICT: its own, or the mesh's. */
export function strictBy(audit: AuditContext, namespace: string): "namespace" | "mesh" | undefined {
  const policies = audit.fact(widePeerAuthentications);
  const { rootNamespace } = audit.mesh.config;
  const modeIn = (name: string): string | undefined => {
    const policy = policies.get(name);
    return policy === undefined ? undefined : modeOf(policy);
  };
  const own = namespace === rootNamespace ? undefined : modeIn(namespace);
  if (own !== undefined) return own === "STRICT" ? "namespace" : undefined;
  return modeIn(rootNamespace) === "STRICT" ? "mesh" : undefined;
}
