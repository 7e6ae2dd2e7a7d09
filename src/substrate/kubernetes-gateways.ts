import type { Labels } from "../model/mesh.ts";
import { isIstioClass } from "../policy/gateway-api/listeners.ts";
import { GATEWAY_API_GROUP, type KubernetesGatewayShape } from "../policy/gateway-api/shapes.ts";
import { isWaypointClass } from "../policy/waypoint/waypoints.ts";
import type { Resource } from "../resources/resource.ts";
import { addedResource } from "./added-resource.ts";
import type { StockGateway } from "./stock-gateways.ts";

const NAME_LABEL = "gateway.networking.k8s.io/gateway-name";

/**
 * What Istio deploys for each Gateway of the Gateway API that no pod has yet and that names no Service as its address: service account,
 * Deployment and Service, in its namespace, called after it and its class.
 * @see https://istio.io/latest/docs/tasks/traffic-management/ingress/gateway-api/#automated-deployment
 */
export function deployKubernetesGateways(
  resources: readonly Resource[],
  firstSequence: number,
): { readonly resources: readonly Resource[]; readonly provided: readonly StockGateway[] } {
  const added: Resource[] = [];
  const provided: StockGateway[] = [];
  for (const gateway of resources) {
    if (gateway.kind !== "Gateway" || !gateway.apiVersion.startsWith(`${GATEWAY_API_GROUP}/`)) continue;
    const shape = gateway.spec as KubernetesGatewayShape;
    const isManual = (shape.addresses ?? []).some(({ type }) => type === "Hostname");
    const isWaypoint = isWaypointClass(resources, shape.gatewayClassName);
    const isOwn = isWaypoint || isIstioClass(resources, shape.gatewayClassName);
    if (isManual || !isOwn || hasPods(resources, gateway)) continue;
    // A waypoint's class is no part of its name.
    const usual = isWaypoint ? gateway.name : `${gateway.name}-${shape.gatewayClassName}`;
    const name = isWaypoint ? (gateway.annotations["gateway.istio.io/name-override"] ?? usual) : usual;
    const pods = isWaypoint ? waypointPods(gateway, name) : gatewayPods(gateway, name);
    added.push(...deployment(gateway, shape, name, pods, firstSequence + added.length));
    provided.push({
      workload: `${gateway.namespace}/${name}`,
      selectedBy: [`Gateway ${gateway.namespace}/${gateway.name}`],
    });
  }
  return { resources: added, provided };
}

function hasPods(resources: readonly Resource[], { namespace, name }: Resource): boolean {
  return resources.some((resource) => {
    if (resource.namespace !== namespace) return false;
    const spec = (resource.spec ?? {}) as { template?: { metadata?: { labels?: Labels } } };
    const labels = resource.kind === "Pod" ? resource.labels : spec.template?.metadata?.labels;
    return labels?.[NAME_LABEL] === name;
  });
}

interface Pods {
  readonly account: string;
  readonly labels: Labels;
  readonly annotations: Labels;
}

function gatewayPods(gateway: Resource, name: string): Pods {
  return {
    account: name,
    labels: { [NAME_LABEL]: gateway.name, "sidecar.istio.io/inject": "true" },
    annotations: { "inject.istio.io/templates": "gateway" },
  };
}

/** Of a waypoint's own annotations those that its pods are to have go with it. */
function waypointPods({ name: gateway, annotations, spec }: Resource, name: string): Pods {
  const { infrastructure } = spec as { readonly infrastructure?: { readonly annotations?: Labels } };
  return {
    account: annotations["gateway.istio.io/service-account"] ?? name,
    labels: {
      [NAME_LABEL]: gateway,
      "gateway.istio.io/managed": "istio.io-mesh-controller",
      "istio.io/dataplane-mode": "none",
      "sidecar.istio.io/inject": "false",
    },
    annotations: infrastructure?.annotations ?? annotations,
  };
}

function deployment(
  gateway: Resource,
  { listeners = [] }: KubernetesGatewayShape,
  name: string,
  { account, labels, annotations }: Pods,
  sequence: number,
): readonly Resource[] {
  const where = { namespace: gateway.namespace, name };
  const template = {
    metadata: { labels, annotations },
    spec: { serviceAccountName: account, containers: [{ name: "istio-proxy" }] },
  };
  const numbers = [...new Set(listeners.map(({ port }) => port))];
  const ports = numbers.map((port) => ({ name: `port-${port}`, port, targetPort: port }));
  return [
    addedResource("v1", "ServiceAccount", { ...where, name: account }, {}, undefined, sequence),
    addedResource(
      "apps/v1",
      "Deployment",
      where,
      labels,
      { replicas: 1, selector: { matchLabels: labels }, template },
      sequence + 1,
    ),
    addedResource(
      "v1",
      "Service",
      where,
      labels,
      { selector: { [NAME_LABEL]: gateway.name }, ports },
      sequence + 2,
    ),
  ];
}
