/** Extension providers that a CUSTOM policy can name. */
import type { Mesh } from "../model/mesh.ts";

/** What the provider speaks; an HTTP one has no say on TCP. */
export type ProviderKind = "http" | "grpc";

/** Usable providers by name: of a known kind, with a port, a service that exists, and a name of its own. */
export function compileProviders(mesh: Mesh): ReadonlyMap<string, ProviderKind> {
  const providers = new Map<string, ProviderKind>();
  const seen = new Set<string>();
  for (const { name, settings } of mesh.config.extensionProviders) {
    const http = settings.envoyExtAuthzHttp;
    const kind: ProviderKind = http === undefined ? "grpc" : "http";
    const usable = isUsable(mesh, http ?? settings.envoyExtAuthzGrpc);
    // A name given twice is an error in both places.
    if (seen.has(name)) providers.delete(name);
    else if (usable && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) providers.set(name, kind);
    seen.add(name);
  }
  return providers;
}

function isUsable(mesh: Mesh, settings: unknown): boolean {
  if (typeof settings !== "object" || settings === null) return false;
  const { service, port } = settings as { service?: unknown; port?: unknown };
  if (typeof service !== "string" || typeof port !== "number" || port < 1 || port > 65535) return false;
  const slash = service.indexOf("/");
  const namespace = slash < 0 ? undefined : service.slice(0, slash);
  const hostname = service.slice(slash + 1);
  return mesh.services.some(
    (candidate) =>
      candidate.hostname === hostname && (namespace === undefined || candidate.namespace === namespace),
  );
}
