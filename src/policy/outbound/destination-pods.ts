/** Which pods a destination of a route ends at, also by another name: an ExternalName's, or an address that a ServiceEntry gives. */
import { resolveTargetPort } from "../../model/build-services.ts";
import type { Endpoint, ServicePort, Workload } from "../../model/mesh.ts";
import { resourceName } from "../../resources/resource.ts";
import { kubernetesByName } from "./dialled.ts";
import type { ProxyView } from "./proxy-view.ts";
import type { RegistryService } from "./registry.ts";

export interface DestinationPod {
  readonly workload: Workload;
  /** The container's. */
  readonly port: number;
  /** `ServiceEntry ns/name` where it is the address of one: then the entry's DestinationRules say as whom the proxy comes, if as anybody. */
  readonly entry?: string;
}

/** @param wanted ports of the service that the route names; 0 stands for a destination without one, which is the Service's only one. */
export function destinationPods(
  view: ProxyView,
  service: RegistryService,
  wanted: ReadonlySet<number>,
): readonly DestinationPod[] {
  const end = endOfAliases(view, service, wanted);
  if (end === undefined) return [];
  const ports = end.service.model.ports.filter(({ port }) => end.wanted.has(port) || end.wanted.has(0));
  return endpointsOf(end.service).flatMap((endpoint) =>
    ports.flatMap((port) =>
      endpoint.workload === undefined
        ? writtenPods(view, end.service, endpoint, port)
        : podAt(
            endpoint.workload,
            endpoint.portOverrides[port.name ?? ""] ?? resolveTargetPort(port, endpoint.workload),
          ),
    ),
  );
}

/** An entry that is resolved by DNS and has no endpoints has its own name as one. */
function endpointsOf({ model }: RegistryService): readonly Endpoint[] {
  const { origin, endpoints, hostname, resolution } = model;
  if (origin === "kubernetes" || endpoints.length > 0 || !resolution.startsWith("dns")) return endpoints;
  return [{ address: hostname, labels: {}, portOverrides: {}, tlsMode: "disabled" }];
}

interface End {
  readonly service: RegistryService;
  readonly wanted: ReadonlySet<number>;
}

/** An alias leads to what it is an alias of, by the alias' own port where the route names none; a loop leads nowhere. */
function endOfAliases(
  view: ProxyView,
  service: RegistryService,
  wanted: ReadonlySet<number>,
): End | undefined {
  let at: End | undefined = { service, wanted };
  for (let hops = 0; at?.service.externalName !== undefined; hops++) {
    if (hops === MAX_ALIASES) return undefined;
    const { ports, externalName } = at.service;
    const [only] = ports.length === 1 ? ports : [];
    const named: ReadonlySet<number> = new Set<number>(
      [...at.wanted].map((port) => (port === 0 ? (only?.port ?? 0) : port)),
    );
    const next = view.service(externalName.toLowerCase());
    at = next === undefined ? undefined : { service: next, wanted: named };
  }
  return at;
}

const MAX_ALIASES = 16;

function podAt(workload: Workload, port: number | undefined): readonly DestinationPod[] {
  return port === undefined ? [] : [{ workload, port }];
}

/** An address of a pod, or of a Service, or a Service's name: whoever wrote the entry leads into the mesh by it. */
function writtenPods(
  view: ProxyView,
  service: RegistryService,
  { address, portOverrides }: Endpoint,
  port: ServicePort,
): readonly DestinationPod[] {
  if (address === undefined) return [];
  const { mesh, registry } = view.index;
  const number = portOverrides[port.name ?? ""] ?? resolveTargetPort(port, undefined) ?? port.port;
  const byName = kubernetesByName(registry, address, service.namespace);
  const services = byName === undefined ? servicesAt(registry.services, address) : [byName];
  const entry = resourceName(service.model.resource);
  return [
    ...mesh.workloads.flatMap((workload) =>
      workload.addresses.includes(address) ? podAt(workload, number) : [],
    ),
    // What an entry's address is a name of is no entry: nothing here comes back.
    ...services.flatMap((own) => destinationPods(view, own, new Set([number]))),
  ].map((pod) => ({ ...pod, entry }));
}

function servicesAt(services: readonly RegistryService[], address: string): readonly RegistryService[] {
  return services.filter(
    (own) => own.kubernetes && (own.address === address || own.extraAddresses.includes(address)),
  );
}
