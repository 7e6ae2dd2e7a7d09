import { resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedGateway, gatewaysWithPods } from "../facts/gateway-pods.ts";
import { fieldsOf, numberOf, selectorText, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const gatewaysConflict: AuditRule = {
  id: "BW0145",
  title: "Gateways that serve the same host at the same port of the same pods",
  severity: "medium",
  same: { istio: "IST0145", kiali: "KIA0301" },
  attacks: ["M11"],
  what: "Servers of two Gateways with the same port number, `bind` and host (with its namespace, as it is written), whose selectors are equal or take a pod in common.",
  why: "One of them counts: the other's TLS mode, client certificates and routes are not in force. A Gateway of another namespace can take a host that way.",
  fix: "Serve the host from one Gateway, and let only its namespace write for it (`ns/host`).",
  claims: ["configuration-in-force", "surface-named"],
  check: conflicting,
};

interface ServedHost {
  readonly gateway: AuditedGateway;
  readonly server: number;
}

function* conflicting(audit: AuditContext): Iterable<Hit> {
  const hosts = audit.fact(servedHosts);
  for (const gateway of audit.fact(gatewaysWithPods))
    for (const [index, server] of gateway.servers.entries()) {
      const rivals = new Set(
        keysOf(server)
          .flatMap((key) => hosts.get(key) ?? [])
          .filter((other) => other.gateway !== gateway && sharePods(gateway, other.gateway))
          .map((other) => resourceName(other.gateway.resource)),
      );
      if (rivals.size === 0) continue;
      const { number } = fieldsOf(server.port);
      yield {
        resource: gateway.resource,
        path: ["spec", "servers", index, "hosts"],
        title: `${textsOf(server.hosts)
          .map((host) => `\`${host}\``)
          .join(
            ", ",
          )} at port ${String(number)} of \`${selectorText(gateway.selector)}\`: also ${[...rivals].sort().join(", ")}`,
      };
    }
}

function servedHosts(audit: AuditContext): ReadonlyMap<string, readonly ServedHost[]> {
  const hosts = new Map<string, ServedHost[]>();
  for (const gateway of audit.fact(gatewaysWithPods))
    for (const [server, written] of gateway.servers.entries())
      for (const key of keysOf(written)) {
        const known = hosts.get(key);
        if (known === undefined) hosts.set(key, [{ gateway, server }]);
        else known.push({ gateway, server });
      }
  return hosts;
}

function keysOf({ port, bind, hosts }: Readonly<Record<string, unknown>>): readonly string[] {
  return textsOf(hosts).map((host) => `${numberOf(fieldsOf(port).number)} ${textOf(bind)} ${host}`);
}

function sharePods(a: AuditedGateway, b: AuditedGateway): boolean {
  if (selectorText(a.selector) === selectorText(b.selector)) return true;
  const pods = new Set(b.pods);
  return a.pods.some((pod) => pods.has(pod));
}
