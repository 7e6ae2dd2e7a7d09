import { type Resource, resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedGateway, gatewayNamed } from "../facts/gateway-pods.ts";
import { scopesOf } from "../facts/known-hosts.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const gatewayHostShared: AuditRule = {
  id: "BW0834",
  title: "A host at a Gateway that VirtualServices of several namespaces route",
  severity: "medium",
  attacks: ["M11"],
  what:
    "VirtualServices of different namespaces, none of them the root namespace, for the same host at the same Gateway, which takes both (`hosts` of its servers without a namespace, or with both) and sees both (`exportTo`). Medium where both have a route for the same requests (an equal match, or one for everything), else low: routes for other paths of the host. " +
    "Told at those that are not of the Gateway's own namespace. Gateways that no file has are not looked at.",
  why: "A gateway merges the routes of a host, in an order that no file shows: whoever writes VirtualServices in one of the namespaces takes requests of the other's users, with their cookies and tokens, under the certificate of the other.",
  fix: "Say in the Gateway whose host it is (`shop/shop.example.com`); where teams share a host, have one VirtualService with delegates.",
  claims: ["hosts-owned"],
  check: shared,
};

interface Claim {
  readonly resource: Resource;
  readonly index: number;
  readonly host: string;
  readonly gateway: AuditedGateway;
}

function* shared(audit: AuditContext): Iterable<Hit> {
  const all = Map.groupBy(
    claims(audit),
    ({ host, gateway: { resource } }) => `${resourceName(resource)} ${host}`,
  );
  for (const own of all.values())
    for (const { resource, index, host, gateway } of own) {
      if (resource.namespace === gateway.resource.namespace) continue;
      const rivals = own.filter((other) => other.resource.namespace !== resource.namespace);
      const [first] = rivals;
      if (first === undefined) continue;
      const matches = matchesOf(resource);
      const isSame = rivals.some((rival) => matchesOf(rival.resource).some((one) => matches.includes(one)));
      yield {
        resource,
        path: ["spec", "hosts", index],
        ...(isSame ? {} : { severity: "low" as const }),
        title: `\`${host}\` at Gateway \`${gateway.resource.namespace}/${gateway.resource.name}\` is routed by ${resourceName(first.resource)}, too`,
      };
    }
}

function claims(audit: AuditContext): readonly Claim[] {
  return audit.mesh.virtualServices
    .filter(({ namespace }) => namespace !== audit.mesh.config.rootNamespace)
    .flatMap((resource) => {
      const { gateways, hosts, exportTo } = fieldsOf(resource.spec);
      const scopes = scopesOf(textsOf(exportTo), resource.namespace);
      return textsOf(gateways).flatMap((name) => {
        const gateway = gatewayNamed(audit, name, resource.namespace);
        if (gateway === undefined || !isSeen(gateway, scopes)) return [];
        return textsOf(hosts)
          .map((host, index) => ({ resource, index, host, gateway }))
          .filter(({ host }) => takes(gateway, resource.namespace, host));
      });
    });
}

function isSeen({ resource, pods }: AuditedGateway, scopes: readonly string[]): boolean {
  const namespaces = pods.length === 0 ? [resource.namespace] : pods.map(({ namespace }) => namespace);
  return scopes.includes("*") || namespaces.some((one) => scopes.includes(one));
}

/** Whether a server has the host for VirtualServices of the namespace. */
function takes({ servers, resource }: AuditedGateway, namespace: string, host: string): boolean {
  return servers
    .flatMap(({ hosts }) => textsOf(hosts))
    .some((written) => {
      const slash = written.indexOf("/");
      const scope = slash < 0 ? "*" : written.slice(0, slash);
      const isOwn = scope === "*" || (scope === "." ? resource.namespace : scope) === namespace;
      const served = written.slice(slash + 1);
      return isOwn && (served === host || (served.startsWith("*") && host.endsWith(served.slice(1))));
    });
}

const EVERYTHING = "everything";

/** Each match of the resource's routes as a text; what is without one, or for every path, is the same text. */
function matchesOf({ spec }: Resource): readonly string[] {
  const { http, tls, tcp } = fieldsOf(spec);
  return [http, tls, tcp].flatMap((routes) =>
    [...itemsOf(routes)].flatMap(([, { match }]) => {
      const written = [...itemsOf(match)].map(([, one]) => one);
      return written.length === 0 ? [EVERYTHING] : written.map(matchText);
    }),
  );
}

function matchText({ name: _, gateways: __, ...match }: Readonly<Record<string, unknown>>): string {
  const isEverything =
    Object.keys(match).every((key) => key === "uri") && textOf(fieldsOf(match.uri).prefix) === "/";
  return isEverything ? EVERYTHING : JSON.stringify(Object.entries(match).sort());
}
