import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fullHost } from "../facts/known-hosts.ts";
import { sensitiveNamespaces } from "../facts/sensitive-namespaces.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const sensitiveExposed: AuditRule = {
  id: "BW0807",
  title: "A route from a gateway into a sensitive namespace",
  severity: "high",
  attacks: ["M11"],
  what: 'Routes of VirtualServices that are bound to a gateway (other than `mesh`), of HTTPRoutes, GRPCRoutes, TCPRoutes and TLSRoutes whose parent is a Gateway, and of Ingresses, to a Service of a namespace with the label `bulwark.dev/sensitive: "true"`. Services of type LoadBalancer or NodePort in such a namespace, too. Whether an AuthorizationPolicy refuses what comes is not asked: the label says that there should be no such way.',
  why: "What was never to be exposed is one policy away from whoever reaches the gateway.",
  fix: "Remove the route; or have a service of another namespace stand before it, which asks on behalf of those who may.",
  claims: ["sensitive-isolated"],
  check: exposed,
};

interface Destination {
  readonly host: string;
  readonly path: FieldPath;
}

const ROUTES = ["HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute"];

function* exposed(audit: AuditContext): Iterable<Hit> {
  const sensitive = audit.fact(sensitiveNamespaces);
  if (sensitive.size === 0) return;
  const namespaceOf = (host: string): string => host.split(".")[1] ?? "";
  for (const [resource, destinations] of routesFromOutside(audit))
    for (const { host, path } of destinations)
      if (sensitive.has(namespaceOf(host)) && /\.svc(\.|$)/.test(host))
        yield { resource, path, title: `a gateway leads to \`${host}\`, in a sensitive namespace` };
  for (const resource of audit.of("", "Service")) {
    const { type } = fieldsOf(resource.spec);
    if (sensitive.has(resource.namespace) && (type === "LoadBalancer" || type === "NodePort"))
      yield { resource, path: ["spec", "type"], title: `\`${type}\` exposes it, in a sensitive namespace` };
  }
}

function* routesFromOutside(audit: AuditContext): Iterable<readonly [Resource, readonly Destination[]]> {
  for (const resource of audit.of("networking.istio.io", "VirtualService")) {
    const { gateways } = fieldsOf(resource.spec);
    if (textsOf(gateways).some((name) => name !== "mesh")) yield [resource, destinationsOf(resource)];
  }
  for (const kind of ROUTES)
    for (const resource of audit.of("gateway.networking.k8s.io", kind)) {
      const parents = [...itemsOf(fieldsOf(resource.spec).parentRefs)];
      if (parents.some(([, { kind: parent }]) => (parent ?? "Gateway") === "Gateway"))
        yield [resource, backendsOf(resource)];
    }
  for (const resource of audit.of("networking.k8s.io", "Ingress"))
    yield [resource, ingressBackends(resource)];
}

function destinationsOf({ spec, namespace }: Resource): readonly Destination[] {
  return ["http", "tls", "tcp"].flatMap((list) =>
    [...itemsOf(fieldsOf(spec)[list])].flatMap(([index, { route }]) =>
      [...itemsOf(route)].map(([place, { destination }]) => ({
        host: fullHost(textOf(fieldsOf(destination).host), namespace),
        path: ["spec", list, index, "route", place, "destination", "host"],
      })),
    ),
  );
}

function backendsOf({ spec, namespace }: Resource): readonly Destination[] {
  return [...itemsOf(fieldsOf(spec).rules)].flatMap(([index, { backendRefs }]) =>
    [...itemsOf(backendRefs)].map(([place, { name, namespace: own }]) => ({
      host: fullHost(textOf(name), textOf(own) || namespace),
      path: ["spec", "rules", index, "backendRefs", place, "name"],
    })),
  );
}

function ingressBackends({ spec, namespace }: Resource): readonly Destination[] {
  return [...itemsOf(fieldsOf(spec).rules)].flatMap(([index, { http }]) =>
    [...itemsOf(fieldsOf(http).paths)].map(([place, { backend }]) => ({
      host: fullHost(textOf(fieldsOf(fieldsOf(backend).service).name), namespace),
      path: ["spec", "rules", index, "http", "paths", place, "backend", "service", "name"],
    })),
  );
}
