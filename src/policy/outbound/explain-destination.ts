/** Why a name is unknown to a client, or a cluster missing. */
import { nearestWithin } from "../../resources/did-you-mean.ts";
import { resourceName } from "../../resources/resource.ts";
import { parseIpAddress } from "../ip-address.ts";
import { CLUSTER_DOMAIN, isHostSubset } from "./host-name.ts";
import type { ProxyView } from "./proxy-view.ts";
import type { RegistryService } from "./registry.ts";
import type { ClusterPlan } from "./types.ts";

/** @param names what the client called it, as Host or SNI and as the dialled name. */
export function explainUnknownHost(view: ProxyView, names: readonly string[], port: number): string[] {
  if (names.length === 0)
    return [`nothing is registered at this address on port ${port} that the client may see`];
  return names.flatMap((name) => explainName(view, name, port));
}

function explainName(view: ProxyView, name: string, port: number): string[] {
  const known = candidates(view, name);
  if (known.length === 0) {
    const meant = knownName(view, name);
    const line = `no Service or ServiceEntry has the host \`${name}\``;
    return meant === undefined ? [line] : [line, `did you mean \`${meant}\`?`];
  }
  return [...new Set(known.map((service) => explainService(view, service, port)))];
}

/** Longer is no DNS name (RFC 1035 §2.3.4). */
const MAX_NAME_LENGTH = 253;
/** More letters than this are no slip but another host: www.example.org is not www.example.com. */
const MAX_SLIPS = 2;

/** What the client can see that differs by a slip; in a short name fewer count. */
function knownName(view: ProxyView, name: string): string | undefined {
  const host = name.toLowerCase().replace(/\.$/, "");
  if (host.length > MAX_NAME_LENGTH || parseIpAddress(host) !== undefined) return undefined;
  const names = [...view.scope.services.values()].flatMap((service) => namesOf(view, service));
  return nearestWithin(host, names, Math.min(MAX_SLIPS, Math.floor(host.length / 5)));
}

/** As people write them: short before the whole. */
function namesOf(view: ProxyView, { hostname, namespace }: RegistryService): readonly string[] {
  const suffix = `.${namespace}.svc.${CLUSTER_DOMAIN}`;
  if (!hostname.endsWith(suffix)) return [hostname];
  const name = hostname.slice(0, -suffix.length);
  const own = namespace === view.namespace ? [name] : [];
  return [...own, `${name}.${namespace}`, `${name}.${namespace}.svc`, hostname];
}

/** Services that a client could mean by a name, seen by it or not. */
function candidates(view: ProxyView, name: string): readonly RegistryService[] {
  const host = name.toLowerCase().replace(/\.$/, "");
  const meant = [
    host,
    `${host}.${view.namespace}.svc.${CLUSTER_DOMAIN}`,
    `${host}.svc.${CLUSTER_DOMAIN}`,
    `${host}.${CLUSTER_DOMAIN}`,
  ];
  return view.index.registry.services.filter(
    ({ hostname }) => meant.includes(hostname) || isHostSubset(host, hostname),
  );
}

function explainService(view: ProxyView, service: RegistryService, port: number): string {
  const name = `${resourceName(service.model.resource)} (\`${service.hostname}\`)`;
  const { registry } = view.index;
  if (!registry.isVisible(service, view.namespace))
    return `${name} is not exported to namespace ${view.namespace} (exportTo: ${service.exportTo.join(", ")})`;
  const imported = view.scope.listeners.some((listener) =>
    listener.services.some((own) => own.hostname === service.hostname && own.namespace === service.namespace),
  );
  if (!imported) {
    const chosen = view.service(service.hostname);
    if (chosen !== undefined && chosen.namespace !== service.namespace)
      return `${name} gives way to ${resourceName(chosen.model.resource)}, which has the same host`;
    return `${name} is exported, but ${view.scope.sidecar ?? "the sidecar"} does not import it`;
  }
  if (!service.ports.some((own) => own.port === port))
    return `${name} has no port ${port} (it has ${service.ports.map((own) => own.port).join(", ")})`;
  return `${name} is known on port ${port}, but not by this name, address and protocol together`;
}

/** @param cluster `outbound|port|subset|host` */
export function explainMissingCluster(view: ProxyView, cluster: string): string[] {
  const [, port = "", subset = "", host = ""] = cluster.split("|");
  const service = view.service(host);
  if (service === undefined)
    return [
      `the route leads to ${cluster}, which the client does not know`,
      ...explainUnknownHost(view, [host], Number(port)),
    ];
  if (!service.ports.some((own) => own.port === Number(port)))
    return [`the route leads to ${cluster}, but ${resourceName(service.model.resource)} has no port ${port}`];
  const whole = view.cluster(host, Number(port), "");
  if (whole !== undefined)
    return [`the route leads to subset \`${subset}\` of ${host}, which ${explainRules(view, whole)}`];
  return [`the route leads to ${cluster}, for which there is nothing to resolve`];
}

function explainRules(view: ProxyView, { destinationRules }: ClusterPlan): string {
  if (destinationRules.length === 0)
    return `no DestinationRule that holds for namespace ${view.namespace} defines`;
  const alone = destinationRules.length === 1;
  return `${destinationRules.join(" and ")}, the only ${alone ? "one that counts" : "ones that count"} for namespace ${view.namespace}, ${alone ? "does" : "do"} not define (or no endpoint has its labels)`;
}
