import { hostsOverlap } from "../../../policy/outbound/host-name.ts";
import { type Resource, resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fullHost, scopesOf } from "../facts/known-hosts.ts";
import { fieldsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const meshHostsConflict: AuditRule = {
  id: "BW0109",
  title: "VirtualServices of the mesh for the same host",
  severity: "medium",
  same: { istio: "IST0109", kiali: "KIA1106" },
  attacks: ["M11"],
  what: "Two or more VirtualServices that apply to sidecars (no `gateways`, or `mesh` among them), for the same host, seen by the same namespace (`exportTo`). One that is exported to some namespaces is held against those that are exported to all, wildcards included.",
  why: "Sidecars merge nothing: one of them counts, the oldest. Whoever makes another first, in whatever namespace, has the traffic of the host.",
  fix: "Join them, or narrow `exportTo`.",
  claims: ["configuration-in-force", "hosts-owned"],
  check: conflicts,
};

function* conflicts(audit: AuditContext): Iterable<Hit> {
  const hosts = audit.fact(meshHosts);
  const open = [...hosts].flatMap(([key, resources]) =>
    key.startsWith("*/") ? [{ host: key.slice(2), resources }] : [],
  );
  const wildcards = open.filter(({ host }) => host.startsWith("*"));
  const reported = new Set<Resource>();
  for (const [key, own] of hosts) {
    const rivals = key.startsWith("*/")
      ? own
      : [...own, ...openTo(key.slice(key.indexOf("/") + 1), hosts, open, wildcards)];
    if (rivals.length < 2) continue;
    const names = rivals.map(resourceName).sort().join(" and ");
    for (const resource of rivals) {
      if (reported.has(resource)) continue;
      reported.add(resource);
      yield {
        resource,
        path: ["spec", "hosts"],
        title: `${names} are for \`${key.slice(key.indexOf("/") + 1)}\``,
      };
    }
  }
}

type OpenHost = { readonly host: string; readonly resources: readonly Resource[] };

/** What is exported to all and takes the host; a name is looked up, a wildcard held against each. */
function openTo(
  host: string,
  hosts: ReadonlyMap<string, readonly Resource[]>,
  open: readonly OpenHost[],
  wildcards: readonly OpenHost[],
): readonly Resource[] {
  if (host.startsWith("*"))
    return open.filter((one) => hostsOverlap(host, one.host)).flatMap(({ resources }) => resources);
  const exact = hosts.get(`*/${host}`) ?? [];
  return [
    ...exact,
    ...wildcards.filter((one) => hostsOverlap(host, one.host)).flatMap(({ resources }) => resources),
  ];
}

/** By `scope/host`. */
function meshHosts(audit: AuditContext): ReadonlyMap<string, readonly Resource[]> {
  const hosts = new Map<string, Resource[]>();
  for (const resource of audit.every("networking.istio.io", "VirtualService")) {
    const { gateways, hosts: written, exportTo } = fieldsOf(resource.spec);
    const bound = textsOf(gateways);
    if (bound.length > 0 && !bound.includes("mesh")) continue;
    for (const scope of scopesOf(textsOf(exportTo), resource.namespace))
      for (const host of textsOf(written)) {
        const key = `${scope}/${fullHost(host, resource.namespace)}`;
        const known = hosts.get(key);
        if (known === undefined) hosts.set(key, [resource]);
        else known.push(resource);
      }
  }
  return hosts;
}
