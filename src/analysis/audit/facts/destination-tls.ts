/** Where DestinationRules write out the TLS of calls between workloads of the mesh, beside what the servers take. */

import { resolveTargetPort } from "../../../model/build-services.ts";
import type { DestinationRuleSpec, Mesh, Service, ServicePort, Workload } from "../../../model/mesh.ts";
import { matchesLabels } from "../../../model/selector.ts";
import { isHostSubset, isWildcard, resolveShortName } from "../../../policy/outbound/host-name.ts";
import { indexPeerMtls, type MutualTlsMode, type PeerMtls } from "../../../policy/outbound/peer-mtls.ts";
import {
  type DestinationRuleShape,
  type PortedTrafficPolicy,
  shapeOf,
} from "../../../policy/outbound/resource-shapes.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";

export interface TlsChoice {
  readonly rule: Resource<DestinationRuleSpec>;
  readonly path: FieldPath;
  readonly mode: "DISABLE" | "SIMPLE";
  readonly hostname: string;
  readonly port: number;
  /** Of the first endpoint behind a sidecar that the rule is for. */
  readonly server: MutualTlsMode;
  /** A call of a workload that the rule holds for; absent where none was found. */
  readonly witness?: AccessRequest;
}

/** One for each rule, place in it and service: of the first of its ports that shows it. */
export function tlsChoices({ mesh }: AuditContext): readonly TlsChoice[] {
  const peers = indexPeerMtls(mesh);
  const services = servicesByHost(mesh);
  const wildcards = [...services.keys()];
  const exact = new Set(mesh.destinationRules.map((rule) => `${rule.namespace} ${hostOf(rule)}`));
  const clients = clientsByNamespace(mesh);
  return mesh.destinationRules.flatMap((rule) => {
    const places = placesOf(shapeOf<DestinationRuleShape>(rule));
    if (places.length === 0) return [];
    const host = hostOf(rule);
    const named = isWildcard(host)
      ? wildcards.filter((own) => isHostSubset(own, host) && !exact.has(`${rule.namespace} ${own}`))
      : [host];
    return named.flatMap((name) =>
      (services.get(name) ?? []).flatMap((service) => choicesFor(rule, places, service, peers, clients)),
    );
  });
}

function hostOf(rule: Resource<DestinationRuleSpec>): string {
  return resolveShortName(shapeOf<DestinationRuleShape>(rule).host ?? "", rule.namespace).toLowerCase();
}

function servicesByHost(mesh: Mesh): ReadonlyMap<string, readonly Service[]> {
  return Map.groupBy(mesh.services, ({ hostname }) => hostname.toLowerCase());
}

/** A client for each namespace, and under the empty name one for all. */
function clientsByNamespace({ workloads }: Mesh): ReadonlyMap<string, readonly Workload[]> {
  const sidecars = workloads.filter(
    ({ role, dataplane }) => role === "application" && dataplane === "sidecar",
  );
  return new Map([["", sidecars.slice(0, 50)], ...Map.groupBy(sidecars, ({ namespace }) => namespace)]);
}

/** Where a mode is written out. */
interface Place {
  readonly mode: "DISABLE" | "SIMPLE";
  readonly path: FieldPath;
  /** Undefined: every port that has no settings of its own. */
  readonly port?: number;
  readonly notPorts: readonly number[];
  readonly labels: Readonly<Record<string, string>>;
  readonly subset?: string;
}

function placesOf({ trafficPolicy, subsets = [] }: DestinationRuleShape): readonly Place[] {
  return [
    ...placesIn(trafficPolicy, ["spec", "trafficPolicy"], {}),
    ...subsets.flatMap(({ name, labels = {}, trafficPolicy: own }, at) =>
      placesIn(own, ["spec", "subsets", at, "trafficPolicy"], labels).map((place) => ({
        ...place,
        subset: name,
      })),
    ),
  ];
}

function placesIn(
  policy: PortedTrafficPolicy | undefined,
  path: FieldPath,
  labels: Place["labels"],
): readonly Place[] {
  const { tls, portLevelSettings = [] } = policy ?? {};
  const notPorts = portLevelSettings.flatMap(({ port }) => port?.number ?? []);
  const of = (mode: string | undefined): Place["mode"] | undefined =>
    mode === "DISABLE" || mode === "SIMPLE" ? mode : undefined;
  const whole = of(tls?.mode);
  const ports = portLevelSettings.flatMap((settings, at): readonly Place[] => {
    const mode = of(settings.tls?.mode);
    const port = settings.port?.number;
    return mode === undefined || port === undefined
      ? []
      : [{ mode, port, notPorts: [], labels, path: [...path, "portLevelSettings", at, "tls", "mode"] }];
  });
  return [
    ...(whole === undefined ? [] : [{ mode: whole, notPorts, labels, path: [...path, "tls", "mode"] }]),
    ...ports,
  ];
}

function choicesFor(
  rule: Resource<DestinationRuleSpec>,
  places: readonly Place[],
  service: Service,
  peers: PeerMtls,
  clients: ReadonlyMap<string, readonly Workload[]>,
): readonly TlsChoice[] {
  const isOwners = rule.namespace === service.namespace;
  const callers = clients.get(isOwners ? "" : rule.namespace) ?? [];
  if (callers.length === 0) return [];
  return places.flatMap((place) => {
    for (const port of service.ports) {
      const isMeant =
        place.port === undefined ? !place.notPorts.includes(port.port) : place.port === port.port;
      const found = isMeant ? serverAt(service, port, place, peers) : undefined;
      if (found === undefined) continue;
      const caller = callers.find(({ key }) => key !== found.workload.key) ?? callers[0];
      return [
        {
          rule,
          path: place.path,
          mode: place.mode,
          hostname: service.hostname,
          port: port.port,
          server: found.mode,
          ...(caller === undefined || place.subset !== undefined
            ? {}
            : { witness: callOf(caller, service, port) }),
        },
      ];
    }
    return [];
  });
}

function serverAt(
  { endpoints }: Service,
  port: ServicePort,
  { labels }: Place,
  peers: PeerMtls,
): { readonly workload: Workload; readonly mode: MutualTlsMode } | undefined {
  for (const { workload } of endpoints) {
    if (workload?.dataplane !== "sidecar" || !matchesLabels(labels, workload.labels)) continue;
    const target = resolveTargetPort(port, workload);
    if (target !== undefined)
      return { workload, mode: peers.endpointMode(workload.namespace, workload.labels, target) };
  }
  return undefined;
}

function callOf({ key }: Workload, { hostname }: Service, { port, protocol }: ServicePort): AccessRequest {
  const isTcp = !["http", "http2", "grpc", "auto"].includes(protocol);
  const to = { service: hostname, port };
  return isTcp
    ? { from: { workload: key }, to, protocol: "tcp" }
    : { from: { workload: key }, to, protocol: "http", method: "GET", path: "/", host: hostname };
}

/** As titles name it. */
export function choiceText({ hostname, port, mode }: TlsChoice): string {
  return `\`${hostname}:${port}\` by mode ${mode}`;
}

export function choiceHit({ rule, path, witness }: TlsChoice, title: string): Hit {
  return { resource: rule, path, title, ...(witness === undefined ? {} : { witness }) };
}
