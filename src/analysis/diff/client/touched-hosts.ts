/** Which hosts a change of routes, services or their servers bears on, and which clients it bears on whatever they dial. */
import type { Mesh, Service } from "../../../model/mesh.ts";
import { isHostSubset, isWildcard, resolveShortName } from "../../../policy/outbound/host-name.ts";
import { type Resource, resourceName } from "../../../resources/resource.ts";
import { apart, type Cause, changedResources } from "../causes.ts";
import { movingCauses } from "./moved-workloads.ts";

export interface HostCauses {
  /** What bears on the host for every client. */
  of(host: string): readonly Cause[];
  /** What bears on all that a client dials. @param sidecars names of the Sidecar resources that hold for it, before and after. */
  forClient(sidecars: readonly (string | null)[]): readonly Cause[];
  readonly isNothing: boolean;
}

const BY_HOST: ReadonlySet<string> = new Set([
  "Service",
  "ServiceEntry",
  "VirtualService",
  "DestinationRule",
]);
/** Of these it is not followed which hosts they bear on. */
const ON_ALL: ReadonlySet<string> = new Set([
  "PeerAuthentication",
  "HTTPRoute",
  "GRPCRoute",
  "TCPRoute",
  "TLSRoute",
  "ConfigMap",
  "IstioOperator",
]);

export function hostCauses(before: Mesh, after: Mesh): HostCauses {
  const kinds = new Set([...BY_HOST, ...ON_ALL, "Sidecar"]);
  const relevant = ({ resources }: Mesh): readonly Resource[] =>
    resources.filter(({ kind }) => kinds.has(kind));
  const changed = changedResources(relevant(before), relevant(after));
  const names = new Set(changed.map(({ resource }) => resource));
  const sources = Map.groupBy(
    apart(relevant(before), relevant(after))
      .flat()
      .filter((resource) => names.has(resourceName(resource))),
    (resource) => resourceName(resource),
  );
  const patterns: { readonly pattern: string; readonly cause: Cause }[] = [];
  const everywhere: Cause[] = [];
  const sidecars = new Map<string, Cause>();
  for (const cause of changed)
    for (const resource of sources.get(cause.resource) ?? []) {
      const hosts = hostsOf(resource);
      if (resource.kind === "Sidecar") sidecars.set(cause.resource, cause);
      else if (ON_ALL.has(resource.kind) || hosts.length === 0) everywhere.push(cause);
      else for (const pattern of hosts) patterns.push({ pattern, cause });
    }
  patterns.push(...changedServers(before, after));
  const isMeshWide = JSON.stringify(before.config) !== JSON.stringify(after.config);
  return {
    of: (host) => patterns.filter(({ pattern }) => covers(pattern, host)).map(({ cause }) => cause),
    forClient: (names) => {
      const own = [...new Set(names)].flatMap((name) => sidecars.get(name ?? "") ?? []);
      // Which Sidecar holds may change because a third one comes or goes.
      return [...everywhere, ...(own.length > 0 || names[0] === names[1] ? own : sidecars.values())];
    },
    isNothing: changed.length + patterns.length === 0 && !isMeshWide,
  };
}

function hostsOf(resource: Resource): readonly string[] {
  const { kind, namespace, name } = resource;
  const spec = (resource.spec ?? {}) as { readonly hosts?: readonly string[]; readonly host?: string };
  const hosts =
    kind === "Service" ? [name] : kind === "DestinationRule" ? [spec.host ?? ""] : (spec.hosts ?? []);
  return hosts.map((host) => resolveShortName(host, namespace).toLowerCase());
}

function covers(pattern: string, host: string): boolean {
  return pattern === host || (isWildcard(pattern) && isHostSubset(host, pattern));
}

/** Services whose pods are others, or speak the mesh's TLS where they did not: clients' TLS follows. */
function changedServers(before: Mesh, after: Mesh): { pattern: string; cause: Cause }[] {
  const text = ({ endpoints }: Service): string =>
    JSON.stringify(
      endpoints.map(({ workload, address }) => [
        workload?.key,
        workload?.tlsMode,
        workload?.dataplane,
        address,
      ]),
    );
  const byKey = [before, after].map(
    ({ workloads }) => new Map(workloads.map((workload) => [workload.key, workload])),
  );
  const old = new Map(
    before.services.map((service) => [`${service.hostname}|${service.namespace}`, service]),
  );
  return after.services.flatMap((service) => {
    const known = old.get(`${service.hostname}|${service.namespace}`);
    if (known === undefined || text(known) === text(service)) return [];
    // One that a Service selects now, and did not, has not changed itself.
    const serving = [known, service].flatMap(({ endpoints }) =>
      endpoints.flatMap(({ workload }) => workload?.key ?? []),
    );
    const moved = [...new Set(serving)].flatMap((key) => {
      const [was, is] = byKey.map((own) => own.get(key));
      return was === undefined || is === undefined ? [] : movingCauses([before, after], [was, is]);
    });
    const causes = new Map(moved.map((cause) => [cause.resource, cause]));
    return [...causes.values()].map((cause) => ({ pattern: service.hostname.toLowerCase(), cause }));
  });
}
