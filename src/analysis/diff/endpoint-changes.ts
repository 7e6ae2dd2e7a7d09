/**
 * Services, and subsets of them, that lead to other pods, or other ports of them, than before. What servers let in hangs on none of it, nor whether a
 * client's proxy sends to the Service: but what comes of a request to it does.
 */
import type { Mesh, Service } from "../../model/mesh.ts";
import { isHostSubset, isWildcard, resolveShortName } from "../../policy/outbound/host-name.ts";
import { meshDirectory } from "../../policy/path/compiled-policies.ts";
import { placesOf } from "../../policy/path/places.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { type Cause, causeAt, changedResources } from "./causes.ts";
import { textOf } from "./server-facts.ts";

type Sides<T> = readonly [before: T, after: T];

/**
 * Of workloads that are in both meshes, at ports that the Service has in both: others are told as new, or gone.
 * @param told `host:port` that clients are told to reach now, or no more: of those that led nowhere, or lead nowhere, that is all.
 */
export function endpointChanges(before: Mesh, after: Mesh, told: ReadonlySet<string>): readonly Cause[] {
  const kept = new KeptWorkloads(before, after);
  const found: Cause[] = [];
  const others: Sides<Service>[] = [];
  for (const services of servicePairs(before, after)) {
    const causes = serviceCauses([before, after], services, kept, told);
    found.push(...causes);
    // Subsets of a Service that leads elsewhere do, too.
    if (causes.length === 0) others.push(services);
  }
  found.push(...subsetCauses([before, after], others, kept));
  return [...new Map(found.map((cause) => [`${cause.resource} ${cause.what}`, cause])).values()];
}

/** Workloads that are in both meshes. */
class KeptWorkloads {
  readonly #resources: Sides<ReadonlyMap<string, Resource>>;

  constructor(before: Mesh, after: Mesh) {
    const byKey = ({ workloads }: Mesh) => new Map(workloads.map(({ key, resource }) => [key, resource]));
    this.#resources = [byKey(before), byKey(after)];
  }

  has(key: string): boolean {
    return this.#resources.every((side) => side.has(key));
  }

  /** What has changed of the pods behind either. */
  changed(services: Sides<Service>): readonly Cause[] {
    const keys = services.flatMap(({ endpoints }) =>
      endpoints.flatMap(({ workload }) => workload?.key ?? []),
    );
    const own = [...new Set(keys)].filter((key) => this.has(key));
    const [was, is] = this.#resources.map((side) => own.flatMap((key) => side.get(key) ?? []));
    return changedResources(was ?? [], is ?? []);
  }
}

function servicePairs(before: Mesh, after: Mesh): readonly Sides<Service>[] {
  const old = new Map(before.services.map((service) => [nameOf(service), service]));
  return after.services.flatMap((service) => {
    const known = old.get(nameOf(service));
    return known === undefined || service.origin !== "kubernetes" ? [] : [[known, service] as const];
  });
}

function nameOf({ namespace, name, origin }: Service): string {
  return `${origin} ${namespace}/${name}`;
}

function serviceCauses(
  meshes: Sides<Mesh>,
  services: Sides<Service>,
  kept: KeptWorkloads,
  told: ReadonlySet<string>,
): readonly Cause[] {
  if (isAsItWas(...services)) return [];
  const [known, service] = services;
  const isUnlike = known.ports.some(({ port }) => {
    if (!service.ports.some((own) => own.port === port)) return false;
    const [left = "", led = ""] = services.map((own, at) =>
      placesText(meshes[at === 0 ? 0 : 1], own, port, kept),
    );
    const isTold = (left === "" || led === "") && told.has(`${service.hostname}:${port}`);
    return left !== led && !isTold;
  });
  if (!isUnlike) return [];
  const isOwn = textOf(known.resource) !== textOf(service.resource);
  const which = "which pods, and which of their ports,";
  if (isOwn) return [{ ...causeAt(service.resource, "changed"), what: `${which} it leads to` }];
  return podCauses(services, kept, `${which} Service ${service.namespace}/${service.name} leads to`);
}

function isAsItWas(before: Service, after: Service): boolean {
  const [old, now] = [before, after].map(({ endpoints }) =>
    endpoints.map(({ workload }) => workload?.resource.body),
  );
  return (
    before.resource.body === after.resource.body &&
    old?.length === now?.length &&
    (old ?? []).every((body, at) => body !== undefined && body === now?.[at])
  );
}

function placesText(mesh: Mesh, service: Service, port: number, kept: KeptWorkloads): string {
  const places = placesOf(mesh, { host: service.hostname, port }, service, meshDirectory(mesh)) ?? [];
  const own = places.flatMap((place) =>
    place.workload !== undefined && kept.has(place.workload.key)
      ? [`${place.workload.key}:${place.port}`]
      : [],
  );
  return [...new Set(own)].sort().join();
}

/** Where neither has changed their namespace has: the Service stands for that. */
function podCauses(services: Sides<Service>, kept: KeptWorkloads, what: string): readonly Cause[] {
  const pods = kept.changed(services);
  const causes = pods.length > 0 ? pods : [causeAt(services[1].resource, "changed")];
  return causes.map((cause) => ({ ...cause, what }));
}

interface SubsetShape {
  readonly host?: string;
  readonly subsets?: readonly {
    readonly name?: string;
    readonly labels?: Readonly<Record<string, string>>;
  }[];
}

/** Of subsets that a DestinationRule has in both: others are told as ways that come or go. */
function subsetCauses(
  meshes: Sides<Mesh>,
  pairs: readonly Sides<Service>[],
  kept: KeptWorkloads,
): readonly Cause[] {
  const old = new Map(meshes[0].destinationRules.map((rule) => [resourceName(rule), rule]));
  const byHost = new Map(pairs.map((pair) => [pair[1].hostname, pair]));
  return meshes[1].destinationRules.flatMap((rule): readonly Cause[] => {
    const known = old.get(resourceName(rule));
    const { host = "", subsets = [] } = rule.spec as SubsetShape;
    if (known === undefined || subsets.length === 0) return [];
    const isSame = known === rule || textOf(known) === textOf(rule);
    const name = resolveShortName(host, rule.namespace);
    const own = byHost.get(name);
    const served = isWildcard(name)
      ? pairs.filter(([, { hostname }]) => isHostSubset(hostname, name))
      : own === undefined
        ? []
        : [own];
    return served.flatMap((services) => {
      if (isSame && isAsItWas(...services)) return [];
      return changedSubsets([known, rule], services, kept).flatMap((subset) => {
        const name = `${rule.namespace}/${rule.name}`;
        return isSame
          ? podCauses(services, kept, `which pods subset \`${subset}\` of DestinationRule ${name} is`)
          : [{ ...causeAt(rule, "changed"), what: `which pods its subset \`${subset}\` is` }];
      });
    });
  });
}

function changedSubsets(
  rules: Sides<Resource>,
  services: Sides<Service>,
  kept: KeptWorkloads,
): readonly string[] {
  const [was = new Map(), is = new Map()] = rules.map(({ spec }, at) => {
    const { subsets = [] } = spec as SubsetShape;
    const { endpoints } = services[at === 0 ? 0 : 1];
    const members = (labels: Readonly<Record<string, string>>): string =>
      endpoints
        .flatMap(({ workload }) =>
          workload !== undefined &&
          kept.has(workload.key) &&
          Object.entries(labels).every(([label, value]) => workload.labels[label] === value)
            ? [workload.key]
            : [],
        )
        .sort()
        .join();
    return new Map(subsets.map(({ name = "", labels = {} }) => [name, members(labels)]));
  });
  return [...is].flatMap(([name, members]) => (was.has(name) && was.get(name) !== members ? [name] : []));
}
