/** Which Services lead to the pods of a Deployment. */
import { matchesLabels } from "../../../model/selector.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedPod, containersOf, PROXY_CONTAINER, podsOf } from "./pods.ts";
import { type Fields, fieldsOf, itemsOf, labelsOf } from "./written.ts";

export interface SelectedPort {
  readonly service: Resource;
  readonly port: Fields;
}

const MANAGED = "gateway.istio.io/managed";
const WAYPOINT_CONTROLLER = "istio.io-mesh-controller";
const INJECT = "sidecar.istio.io/inject";

function servicesByNamespace(audit: AuditContext): ReadonlyMap<string, readonly Resource[]> {
  return Map.groupBy(audit.every("", "Service"), ({ namespace }) => namespace);
}

/** The ports of all Services with a selector that takes the pod. */
export function portsLeadingTo(
  audit: AuditContext,
  { namespace, labels }: AuditedPod,
): readonly SelectedPort[] {
  const services = audit.fact(servicesByNamespace).get(namespace) ?? [];
  return services
    .filter(({ spec }) => {
      const selector = labelsOf(fieldsOf(spec).selector);
      return Object.keys(selector).length > 0 && matchesLabels(selector, labels);
    })
    .flatMap((service) => [...itemsOf(fieldsOf(service.spec).ports)].map(([, port]) => ({ service, port })));
}

/** Deployments whose pods get a sidecar, as `istioctl` sees it; waypoints are none of them. */
export function injectedDeployments(audit: AuditContext): readonly AuditedPod[] {
  const injected = new Set(
    audit
      .every("", "Namespace")
      .filter(({ labels }) => labels["istio-injection"] === "enabled")
      .map(({ name }) => name),
  );
  return audit.fact(podsOf).filter((pod) => {
    const { resource, labels, annotations, namespace } = pod;
    if (resource.kind !== "Deployment" || resource.labels[MANAGED] === WAYPOINT_CONTROLLER) return false;
    if (containersOf(pod).some(({ name, image }) => name === PROXY_CONTAINER && image !== "")) return true;
    const said = labels[INJECT] ?? annotations[INJECT];
    return said === undefined ? injected.has(namespace) : said === "true";
  });
}
