/** Where proxies themselves connect to, beside what applications ask them for: of that no record tells. */
import type { Mesh } from "../../model/mesh.ts";
import { findService, meshDirectory } from "../../policy/path/compiled-policies.ts";
import { type Place, placesOf } from "../../policy/path/places.ts";

/** Settings of `defaultConfig` by which proxies send what they measure. */
const TELEMETRY: readonly string[] = [
  "tracing",
  "envoyAccessLogService",
  "envoyMetricsService",
  "zipkinAddress",
];

/** @returns a text where it cannot be told. */
export function proxyDestinations(mesh: Mesh): readonly Place[] | string {
  const { rootNamespace, extensionProviders, raw } = mesh.config;
  const own = TELEMETRY.find(
    (name) => (raw.defaultConfig as Record<string, unknown> | undefined)?.[name] !== undefined,
  );
  if (own !== undefined) return `where proxies send what they measure (defaultConfig.${own}) is not followed`;
  const places: Place[] = [];
  for (const { name, settings } of extensionProviders)
    for (const provider of Object.values(settings)) {
      const { service, port } = provider as { readonly service?: unknown; readonly port?: unknown };
      if (typeof service !== "string" || typeof port !== "number") continue;
      const host = service.includes("/") ? service.slice(service.indexOf("/") + 1) : service;
      const known = findService(meshDirectory(mesh), host, rootNamespace);
      const found = known === undefined ? null : placesOf(mesh, { host: known.hostname, port }, known);
      if (found === null || found.length === 0)
        return `proxies connect to ${service} (extension provider ${name}), whose pods are not in the files`;
      places.push(...found);
    }
  return places;
}
