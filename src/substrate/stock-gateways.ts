import type { GatewaySpec, Labels } from "../model/mesh.ts";
import { matchesLabels } from "../model/selector.ts";
import type { Resource } from "../resources/resource.ts";
import { addedResource } from "./added-resource.ts";
import { deployKubernetesGateways } from "./kubernetes-gateways.ts";

/** A gateway that `istioctl install` would have put into the root namespace, provided because the files count on it. */
export interface StockGateway {
  /** `istio-system/istio-ingressgateway` */
  readonly workload: string;
  /** The Gateways that select it. */
  readonly selectedBy: readonly string[];
}

/** What the default and demo profiles install: label `istio`, name, and the ports of the Service. */
const STOCK = [
  { label: "ingressgateway", name: "istio-ingressgateway" },
  { label: "egressgateway", name: "istio-egressgateway" },
] as const;

/** Ports of the stock Services whose pods listen elsewhere than clients dial. */
const STOCK_TARGET_PORTS: Readonly<Record<number, number>> = { 80: 8080, 443: 8443 };

/**
 * The resources of the stock gateways that some Gateway selects and no pod template has: ServiceAccount, Deployment,
 * Service, in `istio-system`. Pure: the same resources always give the same addition.
 * @see istioctl install, profile `demo`
 */
export function provideStockGateways(resources: readonly Resource[]): {
  readonly resources: readonly Resource[];
  readonly provided: readonly StockGateway[];
} {
  const gateways = resources.filter(isGateway);
  const added: Resource[] = [];
  const provided: StockGateway[] = [];
  for (const { label, name } of STOCK) {
    const labels: Labels = { app: name, istio: label, "sidecar.istio.io/inject": "true" };
    const selecting = gateways.filter((gateway) => {
      const selector = gateway.spec.selector ?? {};
      return selector.istio === label && matchesLabels(selector, labels) && !isSelected(resources, selector);
    });
    if (selecting.length === 0) continue;
    added.push(...stockResources(name, labels, portsOf(selecting), resources.length + added.length));
    provided.push({
      workload: `${NAMESPACE}/${name}`,
      selectedBy: selecting.map((gateway) => `Gateway ${gateway.namespace}/${gateway.name}`),
    });
  }
  const deployed = deployKubernetesGateways(resources, resources.length + added.length);
  added.push(...deployed.resources);
  provided.push(...deployed.provided);
  return { resources: added.length === 0 ? resources : [...resources, ...added], provided };
}

const NAMESPACE = "istio-system";

function isGateway(resource: Resource): resource is Resource<GatewaySpec> {
  return resource.kind === "Gateway" && resource.apiVersion.startsWith("networking.istio.io/");
}

function isSelected(resources: readonly Resource[], selector: Labels): boolean {
  return resources.some((resource) => {
    const spec = (resource.spec ?? {}) as { template?: { metadata?: { labels?: Labels } } };
    const labels = resource.kind === "Pod" ? resource.labels : spec.template?.metadata?.labels;
    return labels !== undefined && labels !== null && matchesLabels(selector, labels);
  });
}

function portsOf(gateways: readonly Resource<GatewaySpec>[]): number[] {
  const numbers = gateways.flatMap((gateway) => (gateway.spec.servers ?? []).map(({ port }) => port?.number));
  const targets = new Set(Object.values(STOCK_TARGET_PORTS));
  const own = numbers.filter((port): port is number => typeof port === "number" && !targets.has(port));
  return [...new Set([80, 443, ...own])].sort((a, b) => a - b);
}

function stockResources(
  name: string,
  labels: Labels,
  ports: readonly number[],
  sequence: number,
): Resource[] {
  const serviceAccountName = `${name}-service-account`;
  const annotations = { "inject.istio.io/templates": "gateway" };
  const servicePorts = ports.map((port) => ({
    name: port === 80 ? "http2" : port === 443 ? "https" : `port-${port}`,
    port,
    targetPort: STOCK_TARGET_PORTS[port] ?? port,
  }));
  const template = {
    metadata: { labels, annotations },
    spec: { serviceAccountName, containers: [{ name: "istio-proxy" }] },
  };
  return [
    addedResource(
      "v1",
      "ServiceAccount",
      { namespace: NAMESPACE, name: serviceAccountName },
      {},
      undefined,
      sequence,
    ),
    addedResource(
      "apps/v1",
      "Deployment",
      { namespace: NAMESPACE, name },
      labels,
      { replicas: 1, selector: { matchLabels: labels }, template },
      sequence + 1,
    ),
    addedResource(
      "v1",
      "Service",
      { namespace: NAMESPACE, name },
      labels,
      { selector: { istio: labels.istio }, ports: servicePorts },
      sequence + 2,
    ),
  ];
}
