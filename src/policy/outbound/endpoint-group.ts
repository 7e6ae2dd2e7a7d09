/** The endpoints and identities behind one host name of one namespace, whichever resources declare them. */
import type { Endpoint, Service, ServicePort } from "../../model/mesh.ts";

export interface PlacedEndpoint {
  readonly endpoint: Endpoint;
  readonly namespace: string;
  readonly address?: string;
  readonly port: number;
}

export interface EndpointGroup {
  /** Endpoints of a port of the service, by the port's number. */
  onPort(port: number): readonly PlacedEndpoint[];
  /** SPIFFE IDs (over the trust domain's aliases) and names that servers may show: secure naming. Sorted. */
  readonly identities: readonly string[];
}

export function buildEndpointGroup(
  services: readonly Service[],
  trustDomainAliases: readonly string[],
): EndpointGroup {
  const byPort = new Map<number, readonly PlacedEndpoint[]>();
  return {
    identities: identitiesOf(services, trustDomainAliases),
    onPort(port) {
      const known = byPort.get(port);
      if (known !== undefined) return known;
      const placed = services.flatMap((service) => placeOnPort(service, port));
      byPort.set(port, placed);
      return placed;
    },
  };
}

function identitiesOf(
  services: readonly Service[],
  trustDomainAliases: readonly string[],
): readonly string[] {
  const identities = new Set<string>();
  for (const service of services) {
    for (const name of service.subjectAltNames) addWithAliases(identities, name, trustDomainAliases);
    for (const { spiffeId } of service.endpoints)
      if (spiffeId !== undefined) addWithAliases(identities, spiffeId, trustDomainAliases);
  }
  return [...identities].sort();
}

const SPIFFE_TRUST_DOMAIN = /^spiffe:\/\/[^/]*/;

function addWithAliases(identities: Set<string>, name: string, trustDomainAliases: readonly string[]): void {
  identities.add(name);
  for (const alias of trustDomainAliases)
    identities.add(name.replace(SPIFFE_TRUST_DOMAIN, `spiffe://${alias}`));
}

function placeOnPort(service: Service, port: number): PlacedEndpoint[] {
  const servicePort = service.ports.find((candidate) => candidate.port === port);
  if (servicePort === undefined || servicePort.protocol === "udp") return [];
  if (namesItself(service)) return [hostAsEndpoint(service, servicePort)];
  return service.endpoints.flatMap((endpoint) => placeEndpoint(service, servicePort, endpoint));
}

/** A DNS ServiceEntry without endpoints is its own endpoint. */
function namesItself(service: Service): boolean {
  const spec = service.resource.spec as { workloadSelector?: unknown; endpoints?: readonly unknown[] };
  return (
    service.origin === "service-entry" &&
    (service.resolution === "dns" || service.resolution === "dns-round-robin") &&
    spec.workloadSelector === undefined &&
    (spec.endpoints ?? []).length === 0
  );
}

function hostAsEndpoint(service: Service, port: ServicePort): PlacedEndpoint {
  const endpoint: Endpoint = {
    address: service.hostname,
    labels: {},
    portOverrides: {},
    tlsMode: "disabled",
  };
  return {
    endpoint,
    namespace: service.namespace,
    address: service.hostname,
    port: typeof port.targetPort === "number" ? port.targetPort : port.port,
  };
}

function placeEndpoint(service: Service, port: ServicePort, endpoint: Endpoint): PlacedEndpoint[] {
  const number = endpointPort(port, endpoint);
  if (number === undefined) return [];
  const namespace = endpoint.workload?.namespace ?? service.namespace;
  const addresses =
    endpoint.address === undefined ? endpoint.workload?.addresses.slice(0, 1) : [endpoint.address];
  if (addresses === undefined || addresses.length === 0) return [{ endpoint, namespace, port: number }];
  return addresses.map((address) => ({ endpoint, namespace, address, port: number }));
}

/** What the endpoint says, then the service's target; a named target is looked for among the container's ports. */
function endpointPort(port: ServicePort, endpoint: Endpoint): number | undefined {
  const own = endpoint.portOverrides[port.name ?? ""];
  if (own !== undefined && own > 0) return own;
  if (typeof port.targetPort === "number") return port.targetPort;
  const named = endpoint.portOverrides[port.targetPort];
  if (named !== undefined && named > 0) return named;
  const numeric = Number(port.targetPort);
  if (Number.isInteger(numeric)) return numeric;
  return endpoint.workload?.ports.find((candidate) => candidate.name === port.targetPort)?.port;
}
