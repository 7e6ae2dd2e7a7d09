/** Where DestinationRules write out the TLS of calls between workloads of the mesh, beside what the servers take. */

import { resolveTargetPort } from "../../../model/build-services.ts";
import type { DestinationRuleSpec, Mesh, Service, ServicePort, Workload } from "../../../model/mesh.ts";
import { matchesLabels } from "../../../model/selector.ts";
import { ruleForClient } from "../../../policy/outbound/destination-rules.ts";
import { isHostSubset, isWildcard, resolveShortName } from "../../../policy/outbound/host-name.ts";
import { type MeshIndex, meshIndex } from "../../../policy/outbound/mesh-index.ts";
import type { MutualTlsMode, PeerMtls } from "../../../policy/outbound/peer-mtls.ts";
import type { RegistryService } from "../../../policy/outbound/registry.ts";
import {
  type DestinationRuleShape,
  type PortedTrafficPolicy,
  shapeOf,
} from "../../../policy/outbound/resource-shapes.ts";
import { policyForPort } from "../../../policy/outbound/traffic-policy.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import { type FieldPath, type Resource, resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Edit, Hit } from "../finding.ts";

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
  const written = mesh.destinationRules.filter(
    (rule) => placesOf(shapeOf<DestinationRuleShape>(rule)).length > 0,
  );
  if (written.length === 0) return [];
  const index = meshIndex(mesh);
  const services = Map.groupBy(index.registry.services, ({ hostname }) => hostname);
  const names = [...services.keys()];
  const clients = new Clients(mesh);
  return written.flatMap((rule) => {
    const host = resolveShortName(
      shapeOf<DestinationRuleShape>(rule).host ?? "",
      rule.namespace,
    ).toLowerCase();
    const named = isWildcard(host) ? names.filter((own) => isHostSubset(own, host)) : [host];
    return named
      .flatMap((name) => services.get(name) ?? [])
      .flatMap((service) => choicesFor(index, clients, rule, service));
  });
}

/** Workloads whose sidecars do what DestinationRules say. */
class Clients {
  readonly #byNamespace: ReadonlyMap<string, readonly Workload[]>;
  readonly #some: readonly Workload[];

  constructor({ workloads }: Mesh) {
    const sidecars = workloads.filter(
      ({ role, dataplane }) => role === "application" && dataplane === "sidecar",
    );
    this.#byNamespace = Map.groupBy(sidecars, ({ namespace }) => namespace);
    this.#some = [...this.#byNamespace.values()].flatMap((own) => own.slice(0, 1)).slice(0, 20);
  }

  /** Those whom a rule of `namespace` may hold for, the likeliest first. */
  for(namespace: string, service: RegistryService): readonly Workload[] {
    const own = this.#byNamespace.get(namespace) ?? [];
    const near = namespace === service.namespace ? [] : (this.#byNamespace.get(service.namespace) ?? []);
    return [...own.slice(0, 20), ...near.slice(0, 5), ...this.#some];
  }
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
  // Settings without a mode are DISABLE, as Istio reads them.
  const of = (own: { readonly mode?: string } | undefined): Place["mode"] | undefined => {
    const mode = own === undefined ? undefined : (own.mode ?? "DISABLE");
    return mode === "DISABLE" || mode === "SIMPLE" ? mode : undefined;
  };
  const whole = of(tls);
  const ports = portLevelSettings.flatMap((settings, at): readonly Place[] => {
    const mode = of(settings.tls);
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
  index: MeshIndex,
  clients: Clients,
  rule: Resource<DestinationRuleSpec>,
  service: RegistryService,
): readonly TlsChoice[] {
  return placesOf(shapeOf<DestinationRuleShape>(rule)).flatMap((place) => {
    for (const port of service.ports) {
      const isMeant =
        place.port === undefined ? !place.notPorts.includes(port.port) : place.port === port.port;
      const found = isMeant ? serverAt(service.model, port, place, index.peerMtls) : undefined;
      if (found === undefined) continue;
      const caller = clients
        .for(rule.namespace, service)
        .find(
          (client) =>
            client.key !== found.workload.key && holdsFor(index, client, rule, service, port, place),
        );
      if (caller === undefined) continue;
      return [
        {
          rule,
          path: place.path,
          mode: place.mode,
          hostname: service.hostname,
          port: port.port,
          server: found.mode,
          ...(place.subset === undefined ? { witness: callOf(caller, service, port) } : {}),
        },
      ];
    }
    return [];
  });
}

/** Whether it is this rule, of all that name the host, that the client's sidecar goes by. */
function holdsFor(
  { destinationRules }: MeshIndex,
  { namespace, labels }: Workload,
  rule: Resource,
  service: RegistryService,
  { port }: ServicePort,
  place: Place,
): boolean {
  const merged = ruleForClient(destinationRules.candidates(namespace, service), namespace, labels);
  if (merged?.from.includes(resourceName(rule)) !== true) return false;
  const subset = merged.subsets.find(({ name }) => name === place.subset);
  return policyForPort(merged, subset, port)?.tls?.mode === place.mode;
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

function callOf(
  { key }: Workload,
  { hostname }: RegistryService,
  { port, protocol }: ServicePort,
): AccessRequest {
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

export function choiceHit({ mesh }: AuditContext, choice: TlsChoice, title: string): Hit {
  const { rule, path, witness } = choice;
  const edits: readonly Edit[] = isMeantForSidecars(mesh, choice)
    ? [{ edit: "set", resource: rule, path, value: "ISTIO_MUTUAL" }]
    : [];
  return { resource: rule, path, title, edits, ...(witness === undefined ? {} : { witness }) };
}

/** Mutual TLS can be spoken wherever the rule leads: one host, behind sidecars all of it, and nothing besides the mode that said otherwise. */
function isMeantForSidecars(mesh: Mesh, { rule, path, hostname }: TlsChoice): boolean {
  const settings = path.slice(0, -1).reduce<unknown>((at, key) => (at as Fields | undefined)?.[key], rule);
  if (Object.keys((settings ?? {}) as Fields).join() !== "mode") return false;
  if (isWildcard(shapeOf<DestinationRuleShape>(rule).host ?? "*")) return false;
  const services = mesh.services.filter((service) => service.hostname === hostname);
  const endpoints = services.flatMap((service) => service.endpoints);
  return (
    endpoints.length > 0 &&
    services.every(({ external }) => !external) &&
    endpoints.every(({ workload }) => workload?.dataplane === "sidecar" && workload.role === "application")
  );
}

type Fields = Readonly<Record<string | number, unknown>>;
