/** What stands about a component besides what it yields: its place on the network, whom the CA would sign it for, what else is to be known. */

import type { Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import { servicesOfWaypoint, waypointOfWorkload } from "../../policy/waypoint/waypoints.ts";
import { API_SERVER, type HoldingId, ISTIOD, kindOf, namesOf, restOf, SOME_NODE } from "./component.ts";
import type { BlastModel } from "./radius.ts";

export interface NetworkPosition {
  /** `anywhere`: nobody knows where a leaked key or token is used from. */
  readonly kind: "pod" | "node" | "all" | "anywhere";
  /** One line for a person. */
  readonly text: string;
  /** Workloads whose traffic passes it in clear, so that it sees, changes and drops it; `namespace/name`. */
  readonly traffic: readonly string[];
}

export interface ComponentFacts {
  readonly position: NetworkPosition;
  /** Identities that the CA signs for its holder, without `spiffe://`; `all`: any. */
  readonly mayAskFor: "all" | readonly string[];
  /** Lines for a person. */
  readonly also: readonly string[];
  /** Hosts outside that it is there to reach. */
  readonly externalHosts: readonly string[];
}

export function componentFacts(model: BlastModel, id: HoldingId): ComponentFacts {
  const { mesh, graph } = model;
  const workload = graph.byKey.get(restOf(id));
  return {
    position: positionOf(model, id, workload),
    mayAskFor: mayAskFor(model, id),
    also: alsoOf(model, id, workload),
    externalHosts: kindOf(id) === "gateway" && workload !== undefined ? externalHosts(mesh, workload) : [],
  };
}

function positionOf(model: BlastModel, id: HoldingId, workload: Workload | undefined): NetworkPosition {
  const pod = (text: string, traffic: readonly string[] = []): NetworkPosition => ({
    kind: "pod",
    text,
    traffic,
  });
  const node = restOf(id);
  switch (kindOf(id)) {
    case "workload":
    case "sidecar":
      if (workload?.dataplane === "ambient") return pod("its pod; ztunnel still captures");
      if (workload?.dataplane === "none") return pod("its pod; no proxy stands before it");
      return pod("its pod; past its own sidecar both ways", [restOf(id)]);
    case "waypoint": {
      const served = workload === undefined ? [] : servedBy(model.mesh, workload);
      return pod("its pod; sees, changes and drops all traffic of what it serves", served);
    }
    case "gateway":
      return pod("its pod; all traffic through it");
    case "node":
    case "cni":
      return { kind: "node", text: `the node ${node}`, traffic: [] };
    case "ztunnel": {
      const ambient = model.graph.placement.on(node).filter(({ dataplane }) => dataplane === "ambient");
      const traffic = ambient.map(({ key }) => key);
      return { kind: "node", text: `the mesh network of node ${node}`, traffic };
    }
    case ISTIOD:
    case API_SERVER:
      return { kind: "all", text: "all", traffic: [] };
    default:
      return {
        kind: "anywhere",
        text: "wherever it is used from: no file tells, so network policies count as open",
        traffic: [],
      };
  }
}

/** Workloads that a waypoint stands before, by their services or themselves. */
export function servedBy(mesh: Mesh, waypoint: Workload): readonly string[] {
  const behind = servicesOfWaypoint(mesh, waypoint).flatMap(({ endpoints }) =>
    endpoints.flatMap(({ workload }) => (workload === undefined ? [] : [workload.key])),
  );
  const bound = mesh.workloads.filter((workload) => {
    if (workload.role !== "application") return false;
    const binding = waypointOfWorkload(mesh, workload);
    return binding.kind === "bound" && binding.waypoint.workload?.key === waypoint.key;
  });
  return [...new Set([...behind, ...bound.map(({ key }) => key)])].sort();
}

/** Its keys' identities: with each of them comes a token, or the pod that the CA looks for. */
function mayAskFor(model: BlastModel, id: HoldingId): "all" | readonly string[] {
  const { isCa, keys } = model.holdings.of(id);
  if (isCa) return "all";
  // A key proves who one is to peers, not to the CA.
  return kindOf(id) === "key" ? [] : [...new Set(keys)].sort();
}

function alsoOf(model: BlastModel, id: HoldingId, workload: Workload | undefined): readonly string[] {
  const { isAll, loosened, yields } = model.holdings.of(id);
  const rights = yields.some(({ gain }) => gain?.right !== undefined);
  switch (kindOf(id)) {
    case "workload":
    case "sidecar":
      return [
        ...(loosened.length === 0 && !isAll ? ["cannot loosen other workloads' policies"] : []),
        ...(workload?.dataplane === "ambient"
          ? ["no key of the mesh is in its pod: the node's ztunnel has it"]
          : []),
        ...unplaced(model, workload),
      ];
    case "waypoint":
      return ["not the identities that it serves; ztunnels behind it trust it"];
    case "gateway":
      return [];
    case "ztunnel":
      return [
        "NET_ADMIN, SYS_ADMIN and NET_RAW on its node",
        rights ? "rights at the API server, by its account" : "no Kubernetes rights",
      ];
    case "cni":
      return ["node-local: the network rules of its node"];
    case "node":
      return [
        "the node authorizer limits its kubelet to what pods of the node refer to",
        ...unknownPlaces(model),
      ];
    case ISTIOD:
      return ["equals the API server"];
    case "key":
    case "token":
      return [...foreign(model, id), ...unused(model, id)];
    default:
      return [];
  }
}

function foreign({ mesh: { config } }: BlastModel, id: HoldingId): readonly string[] {
  const trustDomain = restOf(id).split("/", 1)[0] ?? "";
  const own = [config.trustDomain, ...config.trustDomainAliases, ...config.federatedTrustDomains];
  return kindOf(id) === "token" || own.includes(trustDomain)
    ? []
    : ["it is of another trust domain, which no sidecar, waypoint or ztunnel takes"];
}

function unused({ graph }: BlastModel, id: HoldingId): readonly string[] {
  const [, namespace = "", account = ""] = /\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(id) ?? ["", ...namesOf(id)];
  return graph.accountsIn(namespace).includes(account) ? [] : ["no file has its account"];
}

function unplaced({ graph, holdings }: BlastModel, workload: Workload | undefined): readonly string[] {
  if (workload === undefined || graph.placement.of(workload).isKnown) return [];
  const reachesNode = holdings.of(`workload/${workload.key}`).yields.some(({ id }) => id === SOME_NODE);
  if (reachesNode) return ["it reaches its node, which no file names: what else is there does not count"];
  return graph.placement.names.length === 0 ? [] : ["no file tells which node it is on"];
}

function unknownPlaces({ mesh, graph }: BlastModel): readonly string[] {
  const unknown = mesh.workloads.filter((workload) => !graph.placement.of(workload).isKnown);
  if (unknown.length === 0) return [];
  return [
    `no file tells which node these are on, which may be this one: ${unknown.map(({ key }) => key).join(", ")}`,
  ];
}

/** Hosts of ServiceEntries that its Gateways serve. */
function externalHosts(mesh: Mesh, gateway: Workload): readonly string[] {
  const served = mesh.gateways
    .filter(({ spec }) => {
      const selector = spec.selector ?? {};
      return Object.keys(selector).length > 0 && matchesLabels(selector, gateway.labels);
    })
    .flatMap(({ spec }) => (spec.servers ?? []).flatMap(({ hosts }) => hosts ?? []))
    .map((host) => host.slice(host.indexOf("/") + 1));
  const outside = mesh.services.filter(({ external }) => external).map(({ hostname }) => hostname);
  return [...new Set(outside.filter((host) => served.some((pattern) => fits(pattern, host))))].sort();
}

function fits(pattern: string, host: string): boolean {
  return pattern === "*" || pattern === host || (pattern.startsWith("*.") && host.endsWith(pattern.slice(1)));
}
