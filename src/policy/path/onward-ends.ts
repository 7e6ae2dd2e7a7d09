/** From a hop's routing decision to where it may end: workloads of the mesh, the outside, or nowhere. */

import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import type { Semantics } from "../inbound.ts";
import { parseIpAddress } from "../ip-address.ts";
import type {
  ClusterPlan,
  DialedDestination,
  EndpointPlan,
  OutboundTarget,
  UpstreamTls,
} from "../outbound/types.ts";
import { ingressWay } from "../waypoint/ingress-waypoint.ts";
import { workloadAt } from "./capture.ts";
import { findService, meshDirectory } from "./compiled-policies.ts";
import { hboneArrival } from "./hbone-arrival.ts";
import {
  type Arrival,
  type End,
  HTTP1_ALPN,
  HTTP2_ALPN,
  type Onward,
  type OnwardEnds,
  type Step,
  speaksHttp,
  TCP_ALPN,
} from "./journey.ts";
import { type Place, placesOf } from "./places.ts";
import { flightTo } from "./rewrite-flight.ts";
import { speaksHbone } from "./tunnelled.ts";
import { endOfWay } from "./waypoint-end.ts";

/** What applications offer in TLS of their own. */
const OWN_ALPN: readonly string[] = ["h2", "http/1.1"];

/** Of a weighted route the destinations in its order. */
export function onwardEnds(
  mesh: Mesh,
  onward: Onward | OnwardEnds,
  semantics: Semantics = "istio",
): readonly End[] {
  if ("ends" in onward) return onward.ends;
  const { decision, dialled, sender } = onward;
  if (decision.targets.length === 0) {
    const service = decision.dialled ?? undiscoveredService(mesh, dialled, sender.name);
    return clearEnds(onward, placesOf(mesh, dialled, service), "PassthroughCluster");
  }
  return decision.targets.flatMap((target) =>
    targetEnds(mesh, onward, target).map((end) => withoutProxyForTls(onward, end, semantics)),
  );
}

/** A Service that the cluster's DNS knows and the mesh does not: it is reached as it is. */
function undiscoveredService(mesh: Mesh, { host }: DialedDestination, client: string): Service | undefined {
  if (host === undefined || mesh.undiscoveredServices.length === 0) return undefined;
  const service = findService(meshDirectory(mesh), host, client.split("/", 1)[0]);
  return service !== undefined && mesh.undiscoveredServices.includes(service) ? service : undefined;
}

/** Clients know of the sidecar, not of the ports that it leaves alone: the application there gets the mesh's TLS. */
function withoutProxyForTls(onward: Onward, end: End, semantics: Semantics): End {
  if (end.kind !== "workload" || end.arrival.tls === "plaintext" || end.arrival.hbone === true) return end;
  const { workload, port, sni } = end.arrival;
  const isOwnTls =
    onward.flight.protocol === "tls" && sni === onward.flight.ownSni && end.arrival.principal === null;
  const { unproxied, dataplane } = workloadAt(workload, port, semantics);
  if (dataplane !== "none" || workload.dataplane === "none" || isOwnTls) return end;
  const why = `it is spoken to in TLS, and no proxy ends that: ${unproxied ?? ""}`;
  return nowhere(onward, end.way, "no-proxy-for-tls", why);
}

function targetEnds(mesh: Mesh, onward: Onward, target: OutboundTarget): readonly End[] {
  const { cluster, name } = target;
  const { dialled, decision } = onward;
  if (cluster === undefined) return [nowhere(onward, name, "no-cluster", "there is no such cluster")];
  const waypoint = onward.by === "gateway" ? gatewayToWaypoint(mesh, onward, target, cluster) : undefined;
  if (waypoint !== undefined) return [waypoint];
  if (cluster.resolution === "original-destination") {
    const places = placesOf(mesh, { ...dialled, port: cluster.dialPort ?? dialled.port }, decision.dialled);
    // A gateway's client dials the gateway: of where it goes on from there only the endpoints are known.
    if (dialled.ip === undefined && dialled.host === undefined)
      return endpointEnds(mesh, onward, target, cluster);
    // Whatever endpoints are known: an address that is nobody's of the mesh is dialled as it is.
    if (places === null) return [{ kind: "outside", way: name }];
    return places.flatMap((place) => reach(mesh, onward, target, { ...place, tls: dialledTls(cluster) }));
  }
  return endpointEnds(mesh, onward, target, cluster);
}

function endpointEnds(
  mesh: Mesh,
  onward: Onward,
  target: OutboundTarget,
  cluster: ClusterPlan,
): readonly End[] {
  const { resolution, endpoints, name } = cluster;
  if (endpoints.length === 0) {
    const byName = resolution !== "static" && resolution !== "original-destination";
    return [
      byName
        ? { kind: "outside", way: name }
        : nowhere(onward, name, "no-healthy-upstream", "it has no endpoint"),
    ];
  }
  const seen = new Set<string>();
  return endpoints.flatMap((plan) => {
    const key = `${plan.endpoint.workload?.key ?? plan.address ?? ""}|${plan.port}|${plan.tls}`;
    if (seen.has(key)) return [];
    seen.add(key);
    return reach(mesh, onward, target, { ...placeOf(mesh, plan), tls: plan.tls });
  });
}

function placeOf(mesh: Mesh, { endpoint, address = "", port }: EndpointPlan): Place {
  const workload = endpoint.workload ?? meshDirectory(mesh).byAddress.get(address);
  return { workload, port, address };
}

/** Gateways send what is for a service on to its waypoint where its label asks for that. */
function gatewayToWaypoint(
  mesh: Mesh,
  onward: Onward,
  target: OutboundTarget,
  cluster: ClusterPlan,
): End | undefined {
  const way = ingressWay(mesh, cluster);
  if (way === undefined) return undefined;
  if (way.kind === "tls-inside") return nowhere(onward, target.name, "waypoint-unknown", way.why);
  const { sender, flight, decision } = onward;
  return endOfWay(way, sender, flightTo(flight, decision, target));
}

/**
 * The TLS of a cluster whose endpoints the client itself picks: it cannot tell one from another, so that a single one in ambient mode, which is
 * no endpoint of a sidecar's, turns automatic mutual TLS off for all.
 */
function dialledTls({ tlsSettings, endpoints, destinationRules }: ClusterPlan): UpstreamTls {
  const automatic = tlsSettings?.mode === "mtls" && destinationRules.length === 0;
  const clear = automatic && endpoints.some(({ endpoint }) => endpoint.workload?.dataplane === "ambient");
  return clear ? "plaintext" : (tlsSettings?.mode ?? "plaintext");
}

function reach(
  mesh: Mesh,
  onward: Onward,
  target: OutboundTarget,
  place: Place & { readonly tls: UpstreamTls },
): readonly End[] {
  const { flight, sender, decision } = onward;
  const { workload, tls } = place;
  const name = target.cluster?.name ?? target.name;
  if (workload === undefined) {
    const ip = parseIpAddress(place.address) === undefined ? undefined : place.address;
    // What network policies ask about is the endpoint, whatever was dialled.
    return [{ kind: "outside", way: name, ...(ip === undefined ? {} : { place: { ip, port: place.port } }) }];
  }
  const way = `${name} at ${workload.key}:${place.port}`;
  const next = flightTo(flight, decision, target);
  if (target.cluster !== undefined && speaksHbone(mesh, workload, target.cluster))
    return [{ kind: "workload", arrival: hboneArrival(workload, place, sender), flight: next, way }];
  if (tls === "plaintext")
    return [{ kind: "workload", arrival: clearArrival(workload, place, onward), flight: next, way }];
  if (workload.dataplane !== "sidecar" && workload.role === "application")
    return [
      nowhere(
        onward,
        way,
        "no-proxy-for-tls",
        `it is spoken to in TLS (${tls}), and no ${workload.dataplane === "ambient" ? "sidecar" : "proxy"} stands before it to end that`,
      ),
    ];
  if (tls === "mtls" && !isExpected(workload, target.sans))
    return [
      nowhere(
        onward,
        way,
        "server-identity-refused",
        `the server shows ${workload.spiffeId}, expected is ${(target.sans ?? []).join(" or ")}`,
      ),
    ];
  if (tls === "mutual")
    return [
      nowhere(
        onward,
        way,
        "client-certificate-unknown",
        "a DestinationRule names the client certificate by file: whose it is is not known",
      ),
    ];
  const arrival: Arrival = {
    workload,
    port: place.port,
    destinationIp: place.address,
    sourceIp: sender.ip,
    tls: tls === "mtls" ? "mtls" : "simple",
    principal: tls === "mtls" ? sender.principal : null,
    alpn: tls === "mtls" ? alpnOf(onward, target) : [],
    ...(target.sni === undefined ? {} : { sni: target.sni }),
  };
  return [{ kind: "workload", arrival, flight: next, way }];
}

/** Secure naming: any one of the names will do; none wanted, none checked. */
function isExpected({ spiffeId }: Workload, sans: readonly string[] | undefined): boolean {
  return sans === undefined || sans.includes(spiffeId);
}

function alpnOf({ flight, decision }: Onward, { cluster }: OutboundTarget): readonly string[] {
  if (decision.http === undefined) return TCP_ALPN;
  return flight.protocol === "grpc" || cluster?.upstreamProtocol === "http2" ? HTTP2_ALPN : HTTP1_ALPN;
}

function clearEnds(onward: Onward, places: readonly Place[] | null, name: string): readonly End[] {
  if (places === null) return [{ kind: "outside", way: name }];
  const { flight, decision } = onward;
  return places.map(({ workload, ...place }) =>
    workload === undefined
      ? { kind: "outside", way: name }
      : {
          kind: "workload",
          arrival: clearArrival(workload, place, onward),
          flight: flightTo(flight, decision, undefined),
          way: `${name} at ${workload.key}:${place.port}`,
        },
  );
}

/** Nothing is added on the way: what the client itself speaks arrives. */
export function clearArrival(
  workload: Workload,
  place: Pick<Place, "port" | "address">,
  { flight, sender }: Pick<Onward, "flight" | "sender">,
): Arrival {
  const own = flight.protocol === "tls";
  return {
    workload,
    port: place.port,
    destinationIp: place.address,
    sourceIp: sender.ip,
    tls: own ? "simple" : "plaintext",
    principal: null,
    alpn: own ? OWN_ALPN : [],
    ...(own && flight.ownSni !== undefined ? { sni: flight.ownSni } : {}),
  };
}

const UNKNOWN_CAUSES: ReadonlySet<string> = new Set(["client-certificate-unknown", "waypoint-unknown"]);

/** A destination that cannot be had: what the sending proxy answers for it. */
function nowhere({ sender, flight, decision }: Onward, way: string, cause: string, why: string): End {
  const http = speaksHttp(flight) && decision.http !== undefined;
  const reason = cause === "no-cluster" || cause === "no-healthy-upstream" ? cause : undefined;
  const step: Step = {
    hop: sender.name,
    side: "client",
    allowed: false,
    code: http ? 503 : 0,
    reason: reason ?? (UNKNOWN_CAUSES.has(cause) ? "unknown" : "tls"),
    cause,
    layer: reason === undefined ? "client-tls" : "client-route",
    policy: null,
    rule: null,
    answersHttp: http,
    to: way,
    explain: () => [`${way}: ${why}`],
  };
  return { kind: "refused", step, way };
}
