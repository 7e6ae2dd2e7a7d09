/** Services that routes from outside of the mesh lead to, by name. */
import type { AuditContext } from "../audit-context.ts";
import { fullHost } from "./known-hosts.ts";
import { routeDestinations } from "./route-destinations.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "./written.ts";

const ROUTES = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"] as const;

/** `namespace/name`. A route of the Gateway API for a Service of the mesh is no route from outside. */
export function backendServices(audit: AuditContext): ReadonlySet<string> {
  return new Set([...ingressBackends(audit), ...routeBackends(audit), ...virtualServiceBackends(audit)]);
}

function ingressBackends(audit: AuditContext): readonly string[] {
  return audit.every("networking.k8s.io", "Ingress").flatMap(({ namespace, spec }) => {
    const { defaultBackend, rules } = fieldsOf(spec);
    const paths = [...itemsOf(rules)].flatMap(([, { http }]) => [...itemsOf(fieldsOf(http).paths)]);
    return [defaultBackend, ...paths.map(([, { backend }]) => backend)].map(
      (backend) => `${namespace}/${textOf(fieldsOf(fieldsOf(backend).service).name)}`,
    );
  });
}

function routeBackends(audit: AuditContext): readonly string[] {
  const routes = ROUTES.flatMap((kind) => audit.every("gateway.networking.k8s.io", kind));
  return routes.flatMap(({ namespace, spec }) => {
    const { parentRefs, rules } = fieldsOf(spec);
    const parents = [...itemsOf(parentRefs)];
    if (parents.length > 0 && parents.every(([, { kind }]) => kind === "Service" || kind === "ServiceEntry"))
      return [];
    return [...itemsOf(rules)]
      .flatMap(([, { backendRefs }]) => [...itemsOf(backendRefs)])
      .map(([, backend]) => `${textOf(backend.namespace) || namespace}/${textOf(backend.name)}`);
  });
}

function virtualServiceBackends(audit: AuditContext): readonly string[] {
  return audit.fact(routeDestinations).flatMap(({ resource, host }) => {
    const gateways = textsOf(fieldsOf(resource.spec).gateways);
    if (gateways.every((one) => one === "mesh")) return [];
    const [name, namespace] = fullHost(host, resource.namespace).split(".");
    return [`${namespace}/${name}`];
  });
}
