import { type Resource, resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { scopesOf } from "../facts/known-hosts.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const entriesRepeated: AuditRule = {
  id: "BW0321",
  title: "ServiceEntries for the same host and port",
  severity: "low",
  same: { kiali: "KIA1211" },
  attacks: ["M11"],
  what: "ServiceEntries, seen by a common namespace (`exportTo`), with the same host and port number, and the same protocol; or one that has it twice. Different protocols are BW0177.",
  why: "Istio joins them: the endpoints of the one are asked for the other's host. Whoever may write a ServiceEntry that others see adds an address of its own to a host that they call.",
  fix: "Join them, or narrow `exportTo`.",
  claims: ["hosts-owned"],
  check: repeated,
};

interface Given {
  readonly resource: Resource;
  readonly port: number;
  readonly protocol: string;
}

function* repeated(audit: AuditContext): Iterable<Hit> {
  const told = new Set<Resource>();
  const given = audit.fact(givenPorts);
  for (const [key, own] of given) {
    const open = key.startsWith("*/") ? [] : (given.get(`*${key.slice(key.indexOf("/"))}`) ?? []);
    const all = [...own, ...open];
    if (all.length < 2 || new Set(all.map(({ protocol }) => protocol)).size > 1) continue;
    for (const { resource, port } of all) {
      if (told.has(resource)) continue;
      told.add(resource);
      const others = new Set(
        all
          .map((one) => one.resource)
          .filter((one) => one !== resource)
          .map(resourceName),
      );
      const also = others.size === 0 ? "twice" : `also ${[...others].sort().slice(0, 3).join(", ")}`;
      yield {
        resource,
        path: ["spec", "ports", port],
        title: `\`${key.slice(key.indexOf("/") + 1)}\`: ${also}`,
      };
    }
  }
}

/** By `scope/host:port`. */
function givenPorts(audit: AuditContext): ReadonlyMap<string, readonly Given[]> {
  const given = new Map<string, Given[]>();
  for (const resource of audit.every("networking.istio.io", "ServiceEntry")) {
    const { hosts, ports, exportTo } = fieldsOf(resource.spec);
    for (const scope of scopesOf(textsOf(exportTo), resource.namespace))
      for (const host of textsOf(hosts))
        for (const [port, { number, protocol }] of itemsOf(ports)) {
          const key = `${scope}/${host.toLowerCase()}:${String(number)}`;
          const one = { resource, port, protocol: textOf(protocol).toUpperCase() };
          const known = given.get(key);
          if (known === undefined) given.set(key, [one]);
          else known.push(one);
        }
  }
  return given;
}
