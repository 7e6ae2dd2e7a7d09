import { type Resource, resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { scopesOf } from "../facts/known-hosts.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const entryProtocolsConflict: AuditRule = {
  id: "BW0177",
  title: "ServiceEntries that give one port of a host different protocols",
  severity: "medium",
  same: { istio: "IST0177", kiali: "KIA1212" },
  attacks: ["M8", "M11"],
  what: "ServiceEntries, seen by the same namespace (`exportTo`), with the same host and port number and different protocols.",
  why: "One of them counts, the oldest. As TCP the host's requests are not looked into: policies and routes by path or header are not asked.",
  fix: "Agree on the protocol, or narrow `exportTo`.",
  claims: ["protocols-declared"],
  check: conflicting,
};

interface Given {
  readonly resource: Resource;
  readonly protocol: string;
}

function* conflicting(audit: AuditContext): Iterable<Hit> {
  const given = audit.fact(protocols);
  const told = new Set<Resource>();
  for (const [key, own] of given) {
    const open = key.startsWith("*/") ? [] : (given.get(`*${key.slice(key.indexOf("/"))}`) ?? []);
    const all = [...own, ...open];
    const different = [...new Set(all.map(({ protocol }) => protocol))].sort();
    if (different.length < 2) continue;
    const names = [...new Set(all.map(({ resource }) => resourceName(resource)))].sort().join(" and ");
    for (const { resource } of all) {
      if (told.has(resource)) continue;
      told.add(resource);
      yield {
        resource,
        path: ["spec", "ports"],
        title: `\`${key.slice(key.indexOf("/") + 1)}\` is ${different.join(" and ")} by ${names}`,
      };
    }
  }
}

/** By `scope/host:port`. */
function protocols(audit: AuditContext): ReadonlyMap<string, readonly Given[]> {
  const given = new Map<string, Given[]>();
  for (const resource of audit.every("networking.istio.io", "ServiceEntry")) {
    const { hosts, ports, exportTo } = fieldsOf(resource.spec);
    for (const scope of scopesOf(textsOf(exportTo), resource.namespace))
      for (const host of textsOf(hosts))
        for (const [, { number, protocol }] of itemsOf(ports)) {
          const key = `${scope}/${host}:${String(number)}`;
          given.set(key, [...(given.get(key) ?? []), { resource, protocol: textOf(protocol).toUpperCase() }]);
        }
  }
  return given;
}
