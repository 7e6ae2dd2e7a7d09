import type { AuditContext } from "../audit-context.ts";
import { fullHost } from "../facts/known-hosts.ts";
import { fieldsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const routeTakesOver: AuditRule = {
  id: "BW0831",
  title: "A VirtualService for another namespace's Service, for everybody",
  severity: "high",
  attacks: ["M11"],
  what: "A VirtualService for the mesh (no `gateways`, or `mesh` among them) with a host that is a Service of another namespace, and that is exported to other namespaces than its own. Those of the root namespace are left out, and hosts with a wildcard.",
  why: "Clients in all these namespaces that call the Service are led to wherever it says: whoever writes VirtualServices in one namespace answers for the Service of another, and reads what its clients send. Mutual TLS does not help: the client's proxy expects the identity of where the route leads.",
  fix: "Let the Service's own namespace have it; or set `exportTo: [.]`, so that only its own namespace's clients are led elsewhere.",
  claims: ["hosts-owned"],
  check: takeovers,
};

function* takeovers(audit: AuditContext): Iterable<Hit> {
  const { mesh } = audit;
  const owners = new Map(
    mesh.services
      .filter(({ origin }) => origin === "kubernetes")
      .map(({ hostname, namespace }) => [hostname, namespace]),
  );
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
