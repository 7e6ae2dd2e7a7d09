/** Routes of the Gateway API, and whether a listener of the Gateways that they name takes them. */
import { hostsOverlap } from "../../../policy/outbound/host-name.ts";
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { isSelected } from "./injector-webhooks.ts";
import { type Fields, fieldsOf, itemsOf, textOf, textsOf } from "./written.ts";

export interface DetachedRoute {
  readonly route: Resource;
  readonly path: FieldPath;
  /** `namespace/name` */
  readonly gateway: string;
  readonly reason: string;
}

/** What each kind is taken by. */
const PROTOCOLS: Readonly<Record<string, readonly string[]>> = {
  HTTPRoute: ["HTTP", "HTTPS"],
  GRPCRoute: ["HTTP", "HTTPS"],
  TLSRoute: ["TLS"],
  TCPRoute: ["TCP", "TLS"],
};

/** Parents that no file has are not judged, nor those that are no Gateways. */
export function detachedRoutes(audit: AuditContext): readonly DetachedRoute[] {
  const gateways = new Map(
    audit
      .of("gateway.networking.k8s.io", "Gateway")
      .map((gateway) => [`${gateway.namespace}/${gateway.name}`, gateway]),
  );
  return Object.keys(PROTOCOLS)
    .flatMap((kind) => audit.of("gateway.networking.k8s.io", kind))
    .flatMap((route) =>
      [...itemsOf(fieldsOf(route.spec).parentRefs)].flatMap(([index, parent]) => {
        if ((parent.kind ?? "Gateway") !== "Gateway") return [];
        const key = `${textOf(parent.namespace) || route.namespace}/${textOf(parent.name)}`;
        const gateway = gateways.get(key);
        const reason = gateway === undefined ? undefined : refusal(audit, route, parent, gateway);
        return reason === undefined
          ? []
          : [{ route, path: ["spec", "parentRefs", index], gateway: key, reason }];
      }),
    );
}

/** Undefined as soon as one listener takes it; otherwise why the one that came furthest does not. */
function refusal(
  audit: AuditContext,
  route: Resource,
  { sectionName, port }: Fields,
  gateway: Resource,
): string | undefined {
  const listeners = [...itemsOf(fieldsOf(gateway.spec).listeners)].map(([, listener]) => listener);
  const named = listeners.filter(
    (listener) =>
      (sectionName === undefined || listener.name === sectionName) &&
      (port === undefined || listener.port === port),
  );
  if (named.length === 0)
    return sectionName === undefined
      ? `has no listener at ${String(port)}`
      : `has no listener \`${textOf(sectionName)}\``;
  const speaking = named.filter(({ protocol }) => PROTOCOLS[route.kind]?.includes(textOf(protocol)) === true);
  if (speaking.length === 0) return `has no listener there for a ${route.kind}`;
  const allowing = speaking.filter((listener) => allows(audit, listener, gateway, route));
  if (allowing.length === 0)
    return `takes no ${route.kind} of namespace \`${route.namespace}\` (\`allowedRoutes\`, its own namespace's by default)`;
  return allowing.some((listener) => isForHosts(listener, route))
    ? undefined
    : "serves none of its hostnames";
}

function allows(audit: AuditContext, { allowedRoutes }: Fields, gateway: Resource, route: Resource): boolean {
  const { namespaces: allowed, kinds } = fieldsOf(allowedRoutes);
  const named = [...itemsOf(kinds)].map(([, { kind }]) => kind);
  if (named.length > 0 && !named.includes(route.kind)) return false;
  const { from = "Same", selector } = fieldsOf(allowed);
  if (from === "All" || route.namespace === gateway.namespace) return from !== "None";
  if (from !== "Selector") return false;
  const own = audit.fact(namespaces).get(route.namespace);
  return (
    own === undefined || isSelected(selector, { ...own.labels, "kubernetes.io/metadata.name": own.name })
  );
}

function namespaces(audit: AuditContext): ReadonlyMap<string, Resource> {
  return new Map(audit.of("", "Namespace").map((namespace) => [namespace.name, namespace]));
}

/** TCPRoutes have no hostnames. */
function isForHosts({ hostname }: Fields, route: Resource): boolean {
  const hosts = textsOf(fieldsOf(route.spec).hostnames);
  const served = textOf(hostname);
  return served === "" || hosts.length === 0 || hosts.some((host) => hostsOverlap(served, host));
}
