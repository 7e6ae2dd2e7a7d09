/** Who stands between clients and a workload, and reaches it as itself: of whoever comes by these its server sees nothing. */
import { perhapsGateways } from "../../model/gateway-role.ts";
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { RuleSpec } from "../../policy/authorization-spec.ts";
import { gatewayDestinations } from "../../policy/outbound/gateway-destinations.ts";
import {
  type WaypointBinding,
  waypointOfService,
  waypointOfWorkload,
} from "../../policy/waypoint/waypoints.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import type { Claim } from "./invariant.ts";
import { istioIngresses } from "./istio-ingresses.ts";

export interface Relay {
  /** `gateway namespace/name`, `waypoint namespace/name`, and what there is to say of it. */
  readonly name: string;
  /** Without `spiffe://`; null: nobody can tell which proxy it is. */
  readonly principal: string | null;
  /** Present where it may also come without an identity. */
  readonly perhapsNobody?: true;
}

type Relays = ReadonlyMap<Workload, readonly Relay[]>;

const SCHEME = "spiffe://";
const RELAYS = new WeakMap<Mesh, Relays>();

/** Gateways with a route to the workload, and waypoints of it or of its services. */
export function relaysTo(mesh: Mesh, workload: Workload): readonly Relay[] {
  let known = RELAYS.get(mesh);
  if (known === undefined) {
    known = findRelays(mesh);
    RELAYS.set(mesh, known);
  }
  return known.get(workload) ?? [];
}

function findRelays(mesh: Mesh): Relays {
  const found = new Map<Workload, Map<string, Relay>>();
  const note = (workload: Workload | undefined, relay: Relay): void => {
    if (workload === undefined) return;
    const own = found.get(workload) ?? new Map<string, Relay>();
    own.set(relay.name, relay);
    found.set(workload, own);
  };
  const noteBinding = (workload: Workload | undefined, binding: WaypointBinding): void => {
    if (binding.kind === "unknown") note(workload, { name: `a waypoint (${binding.why})`, principal: null });
    if (binding.kind === "bound" && binding.waypoint.workload !== undefined)
      note(workload, relayOf("waypoint", binding.waypoint.workload));
  };
  for (const gateway of mesh.workloads.filter(({ role }) => role === "gateway"))
    for (const { workload, entry } of gatewayDestinations(mesh, gateway))
      note(workload, gatewayRelay(relayOf("gateway", gateway), entry));
  for (const { workload: perhaps, gateways } of perhapsGateways(mesh)) {
    const relay = perhapsRelay(perhaps, gateways);
    for (const { workload, entry } of gatewayDestinations(mesh, perhaps))
      if (workload !== perhaps) note(workload, gatewayRelay(relay, entry));
  }
  for (const { ingress, gateways, workloads } of istioIngresses(mesh))
    for (const workload of workloads)
      for (const relay of ingressRelays(ingress, gateways)) note(workload, relay);
  for (const service of mesh.services) {
    const binding = waypointOfService(mesh, service);
    for (const { workload } of service.endpoints) noteBinding(workload, binding);
  }
  for (const workload of mesh.workloads) {
    if (workload.role !== "application") continue;
    noteBinding(workload, waypointOfWorkload(mesh, workload));
  }
  return new Map([...found].map(([workload, relays]) => [workload, [...relays.values()]]));
}

function relayOf(kind: string, { key, spiffeId }: Workload): Relay {
  return { name: `${kind} ${key}`, principal: spiffeId.slice(SCHEME.length) };
}

function ingressRelays(ingress: Resource, gateways: readonly Workload[]): readonly Relay[] {
  const by = `(by ${resourceName(ingress)})`;
  if (gateways.length === 0) return [{ name: `an ingress gateway ${by}`, principal: null }];
  return gateways.map((gateway) => {
    const relay = relayOf("gateway", gateway);
    return { ...relay, name: `${relay.name} ${by}` };
  });
}

/** By the address of a ServiceEntry a gateway comes as the entry's DestinationRules say: in clear where none does. */
function gatewayRelay(relay: Relay, entry: string | undefined): Relay {
  return entry === undefined
    ? relay
    : { ...relay, name: `${relay.name} (by an address of ${entry})`, perhapsNobody: true };
}

/** Where no proxy of the mesh is known to be in the pod, nobody can tell as whom it comes. */
function perhapsRelay({ key, spiffeId, dataplane }: Workload, gateways: readonly Resource[]): Relay {
  const names = gateways.map(resourceName).join(", ");
  return {
    name: `${key} (perhaps a gateway: ${names} selects it)`,
    principal: dataplane === "none" ? null : spiffeId.slice(SCHEME.length),
  };
}

type Source = Readonly<Record<string, readonly string[] | undefined>>;

function sourcesOf({ from = [] }: RuleSpec): readonly Source[] {
  return from.map(({ source }) => (source ?? {}) as Source);
}

/**
 * Whether a claim about who asks says something else of who comes by the relay than of the relay: then a proof about the workload's own
 * server is none about them. Who names the relay itself means what comes by it; who is without an identity is on the connection itself.
 */
export function isAboutSenders(claim: Claim, rules: readonly RuleSpec[], { principal }: Relay): boolean {
  if (claim === "always") return false;
  const names = (source: Source): boolean =>
    (source.principals ?? []).some((own) => own.replace(/^spiffe:\/\//, "") === principal);
  return rules.some((rule) => {
    const isByCondition = (rule.when ?? []).some(({ key }) => /^(source|remote)\./.test(key));
    const sources = sourcesOf(rule);
    if (claim === "only")
      return isByCondition || sources.some((source) => asksForSender(source) && !names(source));
    return isByCondition || sources.some((source) => asksForSender(source) && !isNobody(source));
  });
}

function asksForSender(source: Source): boolean {
  return Object.entries(source).some(
    ([field, values = []]) => values.length > 0 && !/requestPrincipals$/i.test(field),
  );
}

/** No more than that the connection shows no identity. */
function isNobody(source: Source): boolean {
  const asked = Object.entries(source).filter(([, values = []]) => values.length > 0);
  return asked.length === 1 && asked[0]?.[0] === "notPrincipals" && asked[0][1]?.includes("*") === true;
}
