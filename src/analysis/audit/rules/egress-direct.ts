import ipaddr from "ipaddr.js";
import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, listOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const egressDirect: AuditRule = {
  id: "BW0820",
  title: "An external host that workloads reach without an egress gateway",
  severity: "low",
  attacks: ["E1", "E3"],
  what: "Hosts of ServiceEntries of MESH_EXTERNAL (the default) that no VirtualService for the mesh, of the same host or a wildcard over it, leads elsewhere. Entries that are exported to nobody, those with endpoints in the cluster's own names, those whose addresses are all of the pod or its node (loopback, link-local: a neighbour container, a cloud's metadata), and those that are exported to a namespace with gateways alone, are left out. Whether a route leads to a gateway is not asked.",
  why: "Each workload connects to the host by itself, from its own node: no single place decides who may, no firewall can tell mesh egress from anything else, and what a workload that was taken over sends looks like any other's.",
  fix: "Route the host through an egress gateway (a VirtualService for `mesh` to it, one from it to the host), with an AuthorizationPolicy there that names who may, and let nodes of the gateway alone out.",
  claims: ["egress-held"],
  check: direct,
};

function* direct(audit: AuditContext): Iterable<Hit> {
  const routed = routedHosts(audit);
  const own = Map.groupBy(audit.mesh.workloads, ({ namespace }) => namespace);
  for (const resource of audit.mesh.serviceEntries) {
    const { hosts, location, exportTo, endpoints, addresses } = fieldsOf(resource.spec);
    if (location === "MESH_INTERNAL" || textsOf(exportTo).includes("~")) continue;
    const inhabitants = own.get(resource.namespace) ?? [];
    const isGateways = inhabitants.length > 0 && inhabitants.every(({ role }) => role === "gateway");
    const isOwn = textsOf(exportTo).length > 0 && textsOf(exportTo).every((scope) => scope === ".");
    if (isGateways && isOwn) continue;
    const ends = [...itemsOf(endpoints)].map(([, { address }]) => textOf(address));
    if (ends.some((address) => /\.svc(\.|$)/.test(address))) continue;
    if (isOnNode(ends.length > 0 ? ends : textsOf(addresses))) continue;
    for (const [index, host] of textsOf(hosts).entries())
      if (!isRouted(host, routed))
        yield {
          resource,
          path: ["spec", "hosts", index],
          title: `nothing leads \`${host}\` through an egress gateway: workloads reach it by themselves`,
        };
  }
}

/** Nothing that leaves the node can be led through a gateway. */
function isOnNode(addresses: readonly string[]): boolean {
  return (
    addresses.length > 0 &&
    addresses.every((address) => ipaddr.isValid(address) && ON_NODE.has(ipaddr.process(address).range()))
  );
}

const ON_NODE: ReadonlySet<string> = new Set(["loopback", "linkLocal"]);

function routedHosts({ mesh }: AuditContext): ReadonlySet<string> {
  return new Set(
    mesh.virtualServices.flatMap(({ spec }) => {
      const { hosts, gateways, http, tls, tcp } = fieldsOf(spec);
      const bound = textsOf(gateways);
      const hasRoutes = [http, tls, tcp].some((list) => listOf(list).length > 0);
      return hasRoutes && (bound.length === 0 || bound.includes("mesh")) ? textsOf(hosts) : [];
    }),
  );
}

function isRouted(host: string, routed: ReadonlySet<string>): boolean {
  if (routed.has(host) || routed.has("*")) return true;
  const labels = host.split(".");
  return labels.some((_, at) => at > 0 && routed.has(`*.${labels.slice(at).join(".")}`));
}
