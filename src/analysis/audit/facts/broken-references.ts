/** Names of what is not there, in all the places where `istioctl` looks for them (IST0101). */
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { gatewayNamed, gatewaysWithPods } from "./gateway-pods.ts";
import { fullHost, lookUpHost } from "./known-hosts.ts";
import { podsSelected, SYSTEM_NAMESPACES } from "./pods.ts";
import { type RouteDestination, routeDestinations } from "./route-destinations.ts";
import { fieldsOf, itemsOf, labelsOf, selectorText, textOf, textsOf } from "./written.ts";
import { arePodsWritten, areServicesWritten } from "./written-kinds.ts";

export interface BrokenReference {
  readonly resource: Resource;
  readonly path: FieldPath;
  readonly type: string;
  readonly name: string;
  /** The files have nothing of that kind at all. */
  readonly isKindUnknown: boolean;
}

export function brokenReferences(audit: AuditContext): readonly BrokenReference[] {
  return [
    ...lostNamespaces(audit),
    ...lostSelectors(audit),
    ...lostSecrets(audit),
    ...audit.fact(routeDestinations).flatMap((destination) => [...lostDestinations(audit, destination)]),
    ...lostGateways(audit),
  ];
}

function* lostNamespaces(audit: AuditContext): Iterable<BrokenReference> {
  const namespaces = audit.every("", "Namespace").map(({ name }) => name.toLowerCase());
  const isThere = (written: string): boolean => {
    const pattern = written.toLowerCase();
    if (pattern === "*") return namespaces.length > 0;
    if (pattern.startsWith("*")) return namespaces.some((name) => name.endsWith(pattern.slice(1)));
    if (pattern.endsWith("*")) return namespaces.some((name) => name.startsWith(pattern.slice(0, -1)));
    return namespaces.includes(pattern) || SYSTEM_NAMESPACES.has(pattern);
  };
  const known = new Set(namespaces);
  const isKindUnknown = known.size === 0;
  for (const resource of audit.every("security.istio.io", "AuthorizationPolicy"))
    for (const [rule, { from }] of itemsOf(fieldsOf(resource.spec).rules))
      for (const [source, { source: written }] of itemsOf(from))
        for (const list of ["namespaces", "notNamespaces"])
          for (const [index, name] of textsOf(fieldsOf(written)[list]).entries())
            if (!known.has(name) && !isThere(name)) {
              const path = ["spec", "rules", rule, "from", source, "source", list, index];
              yield { resource, path, type: "namespace", name, isKindUnknown };
            }
}

function* lostSelectors(audit: AuditContext): Iterable<BrokenReference> {
  const isKindUnknown = !audit.fact(arePodsWritten);
  for (const { resource, selector, pods } of audit.fact(gatewaysWithPods))
    if (pods.length === 0)
      yield {
        resource,
        path: ["spec", "selector"],
        type: "selector",
        name: selectorText(selector),
        isKindUnknown,
      };
  const selecting = [
    ["networking.istio.io", "Sidecar", "workloadSelector", "labels"],
    ["telemetry.istio.io", "Telemetry", "selector", "matchLabels"],
  ] as const;
  for (const [group, kind, field, inner] of selecting)
    for (const resource of audit.every(group, kind)) {
      const selector = labelsOf(fieldsOf(fieldsOf(resource.spec)[field])[inner]);
      if (Object.keys(selector).length === 0) continue;
      if (podsSelected(audit, selector, resource.namespace).length === 0)
        yield {
          resource,
          path: ["spec", field],
          type: "selector",
          name: selectorText(selector),
          isKindUnknown,
        };
    }
}

function* lostSecrets(audit: AuditContext): Iterable<BrokenReference> {
  const secrets = new Set(audit.every("", "Secret").map(({ namespace, name }) => `${namespace}/${name}`));
  for (const { resource, pods, servers } of audit.fact(gatewaysWithPods)) {
    const home = pods[0]?.namespace;
    if (home === undefined) continue;
    for (const [index, { tls }] of servers.entries()) {
      const name = textOf(fieldsOf(tls).credentialName);
      if (name === "" || secrets.has(name.includes("/") ? name : `${home}/${name}`)) continue;
      const path = ["spec", "servers", index, "tls", "credentialName"];
      yield { resource, path, type: "credentialName", name, isKindUnknown: secrets.size === 0 };
    }
  }
}

function* lostDestinations(audit: AuditContext, destination: RouteDestination): Iterable<BrokenReference> {
  const { resource, path, role, host, subset, port } = destination;
  const { namespace } = resource;
  const known = lookUpHost(audit, host, namespace, textsOf(fieldsOf(resource.spec).exportTo));
  const mirror = role === "mirror" ? "mirror " : "";
  if (known === undefined) {
    const isKindUnknown = !audit.fact(areServicesWritten);
    yield { resource, path: [...path, "host"], type: `${mirror}host`, name: host, isKindUnknown };
  } else if (port !== undefined && !known.ports.includes(port))
    yield {
      resource,
      path: [...path, "port"],
      type: "host:port",
      name: `${host}:${port}`,
      isKindUnknown: false,
    };
  if (subset !== "" && !hasSubset(audit, fullHost(host, namespace), subset))
    yield {
      resource,
      path: [...path, "subset"],
      type: `${role === "mirror" ? "mirror" : "host"}+subset in destinationrule`,
      name: `${host}+${subset}`,
      isKindUnknown: false,
    };
}

/** Of a rule for the host, or for a wildcard over it, in whatever namespace. */
function hasSubset(audit: AuditContext, host: string, subset: string): boolean {
  const known = audit.fact(subsets);
  const over = [...host.matchAll(/\./g)].map(({ index }) => `*${host.slice(index)}`);
  return [host, ...over, "*"].some((one) => known.has(`${one}+${subset}`));
}

/** `host+subset` */
function subsets(audit: AuditContext): ReadonlySet<string> {
  return new Set(
    audit.every("networking.istio.io", "DestinationRule").flatMap(({ namespace, spec }) => {
      const { host, subsets: written } = fieldsOf(spec);
      return [...itemsOf(written)].map(
        ([, { name }]) => `${fullHost(textOf(host), namespace)}+${textOf(name)}`,
      );
    }),
  );
}

/** Gateways that Istio makes of Gateway API's are no name to be used (BW0165). */
export const INTERNAL_GATEWAY = "~istio-autogenerated-k8s-gateway~";

function* lostGateways(audit: AuditContext): Iterable<BrokenReference> {
  const kubernetes = audit.every("gateway.networking.k8s.io", "Gateway");
  const names = new Set(kubernetes.map(({ namespace, name }) => `${namespace}/${name}`));
  const isKindUnknown = names.size === 0 && audit.every("networking.istio.io", "Gateway").length === 0;
  for (const resource of audit.every("networking.istio.io", "VirtualService"))
    for (const [index, name] of textsOf(fieldsOf(resource.spec).gateways).entries()) {
      if (name === "mesh" || name.includes(INTERNAL_GATEWAY)) continue;
      const isThere =
        gatewayNamed(audit, name, resource.namespace) !== undefined ||
        names.has(name.includes("/") ? name : `${resource.namespace}/${name}`);
      if (!isThere)
        yield { resource, path: ["spec", "gateways", index], type: "gateway", name, isKindUnknown };
    }
}
