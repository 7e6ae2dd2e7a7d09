import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { backendServices } from "../facts/backend-services.ts";
import { isLoopback, isMetadata } from "../facts/special-addresses.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const nameOfMetadata: AuditRule = {
  id: "BW0838",
  title: "A name that leads to where nobody should be led",
  severity: "medium",
  attacks: ["M10", "M11"],
  what: "A Service of type ExternalName, or a ServiceEntry (its hosts, addresses and endpoints), for a cloud's metadata service: by its names, by its address, or by a name that has the address in it (`169.254.169.254.nip.io`); `high` where a route from outside leads there. An ExternalName to the asker's own loopback. An ExternalName to another namespace's Service, where a route from outside leads to it. Routes from outside are Ingresses, routes of the Gateway API and VirtualServices at gateways of the same namespace.",
  why: "The metadata service gives whoever reaches it the node's credentials in the cloud: a name for it opens REGISTRY_ONLY to all clients that see the name, and makes of a gateway, or of any application that fetches what it is told, a way there. Loopback is the asker's own: of a gateway its administration interface. An ExternalName is no reference that a ReferenceGrant holds: it leads a route into a namespace whose owner was not asked.",
  fix: "Take it away. Where an application needs the metadata service, export the ServiceEntry to its namespace alone, keep others away by NetworkPolicies, and give workloads identities of their own in the cloud; route to another namespace by a `backendRef` with a ReferenceGrant, or by the Service's own name.",
  claims: ["egress-held", "surface-named"],
  check: leading,
};

function* leading(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("", "Service")) {
    const { type, externalName } = fieldsOf(resource.spec);
    if (type !== "ExternalName") continue;
    const said = externalNameLeads(resource, textOf(externalName), isRouted(audit, resource));
    if (said !== undefined) yield { resource, path: ["spec", "externalName"], ...said };
  }
  for (const resource of audit.every("networking.istio.io", "ServiceEntry")) {
    const place = metadataIn(resource);
    if (place === undefined) continue;
    const { exportTo } = fieldsOf(resource.spec);
    const isOwn =
      textsOf(exportTo).length > 0 &&
      textsOf(exportTo).every((one) => one === "." || one === resource.namespace);
    yield {
      resource,
      path: place.path,
      ...(isOwn ? { severity: "low" as const } : {}),
      title: `\`${place.host}\` is the cloud's metadata service${isOwn ? ", for this namespace alone" : ", for every namespace that it is exported to"}`,
    };
  }
}

function isRouted(audit: AuditContext, { namespace, name }: Resource): boolean {
  return audit.fact(backendServices).has(`${namespace}/${name}`);
}

function externalNameLeads(
  { namespace }: Resource,
  host: string,
  routed: boolean,
): Pick<Hit, "title" | "severity"> | undefined {
  const way = routed ? ", and a route from outside leads to it" : "";
  if (isMetadata(host))
    return {
      severity: routed ? "high" : "medium",
      title: `\`${host}\` is the cloud's metadata service${way}`,
    };
  if (isLoopback(host))
    return { severity: routed ? "high" : "low", title: `\`${host}\` is whoever asks${way}` };
  const [, other] = /^[^.]+\.([^.]+)\.svc(?:\.|$)/.exec(host.toLowerCase()) ?? [];
  if (!routed || other === undefined || other === namespace) return undefined;
  return { severity: "low", title: `\`${host}\` is a Service of namespace \`${other}\`${way}` };
}

function metadataIn({
  spec,
}: Resource): { readonly host: string; readonly path: NonNullable<Hit["path"]> } | undefined {
  const { hosts, addresses, endpoints } = fieldsOf(spec);
  const places = [
    ...textsOf(hosts).map((host, index) => ({ host, path: ["spec", "hosts", index] })),
    ...textsOf(addresses).map((host, index) => ({ host, path: ["spec", "addresses", index] })),
    ...[...itemsOf(endpoints)].map(([index, { address }]) => ({
      host: textOf(address),
      path: ["spec", "endpoints", index, "address"],
    })),
  ];
  return places.find(({ host }) => isMetadata(host));
}
