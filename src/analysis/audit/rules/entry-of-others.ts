import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fullHost, scopesOf } from "../facts/known-hosts.ts";
import { fieldsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const entryOfOthers: AuditRule = {
  id: "BW0832",
  title: "A ServiceEntry for a host that another namespace answers for",
  severity: "medium",
  attacks: ["M11"],
  what: "A ServiceEntry, exported to other namespaces than its own, with a host that a ServiceEntry of another namespace has for some of the same clients, or with the host of another namespace's Service (where both are seen the Service wins; the entry counts for those to whom the Service is not exported). Entries of the root namespace are left out, and hosts with a wildcard.",
  why: "For each client one of the two counts: one that names its namespace in `exportTo` before one for everybody, otherwise the oldest. Whoever writes ServiceEntries in one namespace leads what clients of another send outside to addresses of his own, with the identity (`subjectAltNames`) that he writes.",
  fix: 'Have one namespace own the host, and export it to those who use it; set `exportTo: ["."]` on others, and let admission refuse hosts that are not theirs.',
  claims: ["hosts-owned"],
  check: rivals,
};

interface Entry {
  readonly resource: Resource;
  readonly index: number;
  readonly host: string;
  /** Namespaces that see it, or `*`. */
  readonly scopes: readonly string[];
}

function* rivals(audit: AuditContext): Iterable<Hit> {
  const { rootNamespace } = audit.mesh.config;
  const services = new Map(
    audit.mesh.services
      .filter(({ origin }) => origin === "kubernetes")
      .map(({ hostname, namespace }) => [hostname, namespace]),
  );
  const byHost = Map.groupBy(audit.fact(exportedEntries), ({ host }) => host);
  for (const entries of byHost.values())
    for (const own of entries) {
      const { resource, host, index } = own;
      if (resource.namespace === rootNamespace) continue;
      const service = services.get(host);
      const rival = entries.find((other) => isRival(own, other));
      const owner = service ?? rival?.resource.namespace;
      if (owner === undefined || owner === resource.namespace) continue;
      yield {
        resource,
        path: ["spec", "hosts", index],
        title:
          service === undefined
            ? `\`${host}\` is answered for by \`${rival?.resource.namespace}/${rival?.resource.name}\`, too`
            : `\`${host}\` is a Service of \`${owner}\``,
      };
    }
}

/** One among them is enough to be told: the other is told as well, unless it is for its own namespace alone. */
function isRival(own: Entry, other: Entry): boolean {
  if (other.resource.namespace === own.resource.namespace) return false;
  return (
    own.scopes.includes("*") ||
    other.scopes.includes("*") ||
    own.scopes.some((scope) => other.scopes.includes(scope))
  );
}

/** Without those for their own namespace alone, or for none. */
function exportedEntries(audit: AuditContext): readonly Entry[] {
  return audit.of("networking.istio.io", "ServiceEntry").flatMap((resource) => {
    const { hosts, exportTo } = fieldsOf(resource.spec);
    const written = textsOf(exportTo);
    const scopes = scopesOf(
      written.length > 0 ? written : audit.mesh.config.defaultServiceExportTo,
      resource.namespace,
    ).filter((scope) => scope !== "~");
    if (scopes.every((scope) => scope === resource.namespace)) return [];
    return textsOf(hosts).flatMap((host, index) =>
      host.startsWith("*") ? [] : [{ resource, index, host: fullHost(host, resource.namespace), scopes }],
    );
  });
}
