/**
 * Services that lead to other pods, or other ports of them, than before. What servers let in hangs on none of it, nor whether a client's proxy sends to the
 * Service: but what comes of a request to it does.
 */
import type { Mesh, Service } from "../../model/mesh.ts";
import { meshDirectory } from "../../policy/path/compiled-policies.ts";
import { placesOf } from "../../policy/path/places.ts";
import { type Cause, causeAt } from "./causes.ts";

const WHAT = "which pods, and which of their ports, it leads to";

/**
 * Of workloads that are in both meshes: others are told as new, or gone.
 * @param told `host:port` of which a client's change is told already.
 */
export function endpointChanges(before: Mesh, after: Mesh, told: ReadonlySet<string>): readonly Cause[] {
  const old = new Map(before.services.map((service) => [nameOf(service), service]));
  const [was, is] = [before, after].map((mesh) => new Set(mesh.workloads.map(({ key }) => key)));
  const isKept = (key: string): boolean => was?.has(key) === true && is?.has(key) === true;
  return after.services.flatMap((service) => {
    const known = old.get(nameOf(service));
    if (known === undefined || service.origin !== "kubernetes" || isAsItWas(known, service)) return [];
    if (service.ports.every(({ port }) => told.has(`${service.hostname}:${port}`))) return [];
    const [left, led] = [placesText(before, known, isKept), placesText(after, service, isKept)];
    return left === led ? [] : [{ ...causeAt(service.resource, "changed"), what: WHAT }];
  });
}

function nameOf({ namespace, name, origin }: Service): string {
  return `${origin} ${namespace}/${name}`;
}

/** Neither its own text nor that of the pods behind it: what most Services of a change are. */
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

/** By the ports that both have. */
function placesText(mesh: Mesh, service: Service, isKept: (key: string) => boolean): string {
  const directory = meshDirectory(mesh);
  const ports = service.ports.map(({ port }) => {
    const places = placesOf(mesh, { host: service.hostname, port }, service, directory) ?? [];
    const kept = places.flatMap((place) =>
      place.workload !== undefined && isKept(place.workload.key)
        ? [`${place.workload.key}:${place.port}`]
        : [],
    );
    return `${port}=${[...new Set(kept)].sort().join()}`;
  });
  return ports.sort().join(" ");
}
