import { hostsOverlap } from "../../../policy/outbound/host-name.ts";
import type { AuditContext } from "../audit-context.ts";
import { INTERNAL_GATEWAY } from "../facts/broken-references.ts";
import { gatewayNamed } from "../facts/gateway-pods.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const hostNotAtGateway: AuditRule = {
  id: "BW0132",
  title: "A VirtualService at a gateway that serves none of its hosts",
  severity: "low",
  same: { istio: "IST0132" },
  attacks: [],
  what: "A gateway named by a VirtualService none of whose hosts, visible to the VirtualService's namespace, takes one of the VirtualService's; of the Gateway API, none of whose listeners does. A gateway that does not exist serves nothing.",
  why: "The routes are in force nowhere: what they refuse, rewrite or check there is not refused.",
  fix: "Add the host to a server of the gateway, or mend the host.",
  claims: ["configuration-in-force"],
  check: unserved,
};

function* unserved(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("networking.istio.io", "VirtualService")) {
    const { gateways, hosts: written } = fieldsOf(resource.spec);
    const hosts = textsOf(written);
    for (const [index, name] of textsOf(gateways).entries()) {
      if (name === "mesh" || name.includes(INTERNAL_GATEWAY)) continue;
      const served = servedHosts(audit, name, resource.namespace);
      if (served.some((one) => hosts.some((host) => hostsOverlap(one, host)))) continue;
      yield {
        resource,
        path: ["spec", "gateways", index],
        title: `gateway \`${name}\` serves none of ${hosts.map((host) => `\`${host}\``).join(", ")}`,
      };
    }
  }
}

/** As the namespace sees them: `ns/host` is for one namespace, `./host` for the gateway's own. */
function servedHosts(audit: AuditContext, name: string, namespace: string): readonly string[] {
  const gateway = gatewayNamed(audit, name, namespace);
  if (gateway === undefined) return listenedHosts(audit, name.includes("/") ? name : `${namespace}/${name}`);
  return gateway.servers
    .flatMap(({ hosts }) => textsOf(hosts))
    .flatMap((written) => {
      const [scope, host] = written.includes("/") ? written.split("/", 2) : ["*", written];
      const owner = scope === "." ? gateway.resource.namespace : scope;
      return owner === "*" || owner === namespace ? [host ?? ""] : [];
    });
}

function listenedHosts(audit: AuditContext, key: string): readonly string[] {
  const gateway = audit
    .every("gateway.networking.k8s.io", "Gateway")
    .find(({ namespace, name }) => `${namespace}/${name}` === key);
  return [...itemsOf(fieldsOf(gateway?.spec).listeners)].map(([, { hostname }]) => textOf(hostname) || "*");
}
