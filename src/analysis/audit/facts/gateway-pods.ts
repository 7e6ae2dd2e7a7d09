/** Gateways (networking.istio.io), and the pods that they make gateways of. */
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedPod, podsSelected } from "./pods.ts";
import { type Fields, fieldsOf, itemsOf, labelsOf } from "./written.ts";

export interface AuditedGateway {
  readonly resource: Resource;
  readonly selector: Readonly<Record<string, string>>;
  readonly pods: readonly AuditedPod[];
  readonly servers: readonly Fields[];
}

/** A Gateway selects pods of all namespaces. */
export function gatewaysWithPods(audit: AuditContext): readonly AuditedGateway[] {
  return audit.every("networking.istio.io", "Gateway").map((resource) => {
    const { selector: written, servers } = fieldsOf(resource.spec);
    const selector = labelsOf(written);
    return {
      resource,
      selector,
      pods: podsSelected(audit, selector),
      servers: [...itemsOf(servers)].map(([, server]) => server),
    };
  });
}

export function gatewayNamed(
  audit: AuditContext,
  name: string,
  namespace: string,
): AuditedGateway | undefined {
  return audit.fact(gatewaysByName).get(name.includes("/") ? name : `${namespace}/${name}`);
}

function gatewaysByName(audit: AuditContext): ReadonlyMap<string, AuditedGateway> {
  return new Map(
    audit
      .fact(gatewaysWithPods)
      .map((gateway) => [`${gateway.resource.namespace}/${gateway.resource.name}`, gateway]),
  );
}
