import { resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, numberOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const listenersConflict: AuditRule = {
  id: "BW0318",
  title: "Listeners of the Gateway API for the same host and port",
  severity: "low",
  same: { kiali: "KIA1501" },
  attacks: ["M11"],
  what: "Two listeners of one Gateway with the same port, protocol and hostname, of which the API lets none in (`KIA1503`); and listeners of two Gateways of one class with the same hostname, port and protocol. Listeners without a hostname are held against those of their own Gateway alone: each Gateway has its own address.",
  why: "Clients come to the one or the other by what DNS says at the time: the TLS settings and routes of one of them do not hold for who comes by the other. Somebody else's Gateway can take a host that way.",
  fix: "Serve a host by one listener of one Gateway.",
  claims: ["configuration-in-force"],
  check: conflicts,
};

interface Served {
  readonly resource: AuditedResource;
  readonly index: number;
  readonly key: string;
  readonly hostname: string;
}

type AuditedResource = ReturnType<AuditContext["every"]>[number];

function* conflicts(audit: AuditContext): Iterable<Hit> {
  const served = audit.every("gateway.networking.k8s.io", "Gateway").flatMap(listenersOf);
  for (const group of Map.groupBy(served, ({ key }) => key).values())
    for (const { resource, index, hostname } of group) {
      const others = group.filter((one) => one.resource !== resource || one.index !== index);
      const isOwn = others.some((one) => one.resource === resource);
      const rivals = hostname === "" ? [] : others.filter((one) => one.resource !== resource);
      if (!isOwn && rivals.length === 0) continue;
      const names = isOwn
        ? ["another listener of its own"]
        : rivals.slice(0, 3).map((one) => resourceName(one.resource));
      yield {
        resource,
        path: ["spec", "listeners", index],
        kiali: isOwn ? "KIA1503" : "KIA1501",
        title: `${hostname === "" ? "any host" : `\`${hostname}\``} at the same port: also ${names.join(", ")}`,
      };
    }
}

function listenersOf(resource: AuditedResource): readonly Served[] {
  const { listeners, gatewayClassName } = fieldsOf(resource.spec);
  return [...itemsOf(listeners)].map(([index, { port, protocol, hostname }]) => ({
    resource,
    index,
    hostname: textOf(hostname).toLowerCase(),
    key: `${textOf(gatewayClassName)} ${numberOf(port)} ${textOf(protocol)} ${textOf(hostname).toLowerCase()}`,
  }));
}
