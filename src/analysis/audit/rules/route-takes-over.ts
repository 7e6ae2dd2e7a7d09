import type { AuditContext } from "../audit-context.ts";
import { fullHost } from "../facts/known-hosts.ts";
import { fieldsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const routeTakesOver: AuditRule = {
  id: "BW0831",
  title: "A VirtualService for another namespace's host, for everybody",
  severity: "high",
  attacks: ["M11"],
  what: "A VirtualService for the mesh (no `gateways`, or `mesh` among them) with a host that is a Service of another namespace, or that a ServiceEntry of one other namespace alone answers for, and that is exported to other namespaces than its own. Those of the root namespace are left out, and hosts with a wildcard.",
  why: "Clients in all these namespaces that call the host are led to wherever it says: whoever writes VirtualServices in one namespace answers for the host of another, and reads what its clients send. Mutual TLS does not help: the client's proxy expects the identity of where the route leads.",
  fix: "Let the host's own namespace have it; or set `exportTo: [.]`, so that only its own namespace's clients are led elsewhere.",
  claims: ["hosts-owned"],
  check: takeovers,
};

function* takeovers(audit: AuditContext): Iterable<Hit> {
  const { mesh } = audit;
  const owners = audit.fact(ownersOfHosts);
  for (const resource of mesh.virtualServices) {
    const { namespace, spec } = resource;
    const { hosts, gateways, exportTo } = fieldsOf(spec);
    const bound = textsOf(gateways);
    if (namespace === mesh.config.rootNamespace || (bound.length > 0 && !bound.includes("mesh"))) continue;
    const written = textsOf(exportTo);
    const scopes = written.length > 0 ? written : mesh.config.defaultVirtualServiceExportTo;
    const isOwn =
      scopes.length > 0 && scopes.every((scope) => scope === "." || scope === namespace || scope === "~");
    if (isOwn) continue;
    for (const [index, host] of textsOf(hosts).entries()) {
      const owner = owners.get(fullHost(host, namespace));
      if (owner === undefined || owner === namespace) continue;
      yield {
        resource,
        path: ["spec", "hosts", index],
        title: `\`${host}\` of namespace \`${owner}\` is routed by \`${namespace}\` for clients of other namespaces`,
      };
    }
  }
}

/** Services before ServiceEntries, as for clients; a host of several namespaces' entries is nobody's (BW0832). */
function ownersOfHosts({ mesh }: AuditContext): ReadonlyMap<string, string | undefined> {
  const entries = Map.groupBy(
    mesh.services.filter(({ origin }) => origin === "service-entry"),
    ({ hostname }) => hostname,
  );
  const owners = new Map<string, string | undefined>();
  for (const [hostname, own] of entries) {
    const namespaces = new Set(own.map(({ namespace }) => namespace));
    owners.set(hostname, namespaces.size === 1 ? own[0]?.namespace : undefined);
  }
  for (const { hostname, namespace, origin } of mesh.services)
    if (origin === "kubernetes") owners.set(hostname, namespace);
  return owners;
}
