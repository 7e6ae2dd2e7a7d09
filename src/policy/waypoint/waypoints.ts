/** Which Gateways are waypoints, and for which services and workloads they stand. */
import type { Labels, Mesh, Service, Workload } from "../../model/mesh.ts";
import type { Resource } from "../../resources/resource.ts";
import { selectsNamespace } from "../gateway-api/listeners.ts";
import { GATEWAY_API_GROUP, type KubernetesGatewayShape, type ListenerShape } from "../gateway-api/shapes.ts";
import { isWildcard } from "../outbound/host-name.ts";

export interface Waypoint {
  /** `namespace/name` of its Gateway. */
  readonly key: string;
  readonly gateway: Resource;
  /** `istio.io/waypoint-for`: what it takes traffic for. */
  readonly traffic: string;
  /** Whether its class is Istio's own. */
  readonly isOwnClass: boolean;
  /** The proxies that Istio deploys for it; undefined: no resource has them. */
  readonly workload: Workload | undefined;
}

/**
 * `none`: traffic goes past any waypoint; `why` where one was asked for and Istio gives none. `unknown`: which proxy takes the traffic, or
 * what it does, cannot be told from the resources.
 */
export type WaypointBinding =
  | { readonly kind: "none"; readonly why?: string }
  | { readonly kind: "bound"; readonly waypoint: Waypoint }
  | { readonly kind: "unknown"; readonly why: string };

const NONE: WaypointBinding = Object.freeze({ kind: "none" });

export const WAYPOINT_CLASS = "istio-waypoint";
const CONTROLLER = "istio.io/mesh-controller";
const NAME_LABEL = "gateway.networking.k8s.io/gateway-name";
const USE = "istio.io/use-waypoint";
const USE_NAMESPACE = "istio.io/use-waypoint-namespace";
const CANARY = "istio.io/use-waypoint-canary";
const FOR = "istio.io/waypoint-for";
const INGRESS = "istio.io/ingress-use-waypoint";
const BINDING = "ambient.istio.io/waypoint-inbound-binding";

type TrafficType = "service" | "workload";

/**
 * The waypoint that stands before a service's virtual addresses. A service without any (headless, or of resolution NONE) has none: there clients dial
 * its pods themselves.
 * @see pilot/pkg/serviceregistry/ambient/waypoints.go of istio/istio
 */
export function waypointOfService(mesh: Mesh, service: Service): WaypointBinding {
  if (!hasVirtualAddress(service) || isProxyOfGateway(service.resource.labels)) return NONE;
  return bindingOf(mesh, service.resource.labels, service.namespace, "service");
}

/** The waypoint that stands before a workload's own address. */
export function waypointOfWorkload(mesh: Mesh, { labels, namespace }: Workload): WaypointBinding {
  const instance = waypointsOf(mesh).byKey.get(`${namespace}/${labels[NAME_LABEL] ?? ""}`);
  return instance === undefined ? bindingOf(mesh, labels, namespace, "workload") : NONE;
}

/** Whether gateways send a service's traffic through its waypoint, too: its own label, else its namespace's. */
export function ingressUsesWaypoint(mesh: Mesh, { resource, namespace }: Service): boolean {
  const label = resource.labels[INGRESS] ?? mesh.namespaces.get(namespace)?.labels[INGRESS];
  return label !== undefined && TRUE.has(label);
}

/** As Go's strconv.ParseBool reads it. */
const TRUE: ReadonlySet<string> = new Set(["1", "t", "T", "TRUE", "true", "True"]);

/**
 * The workload as the waypoint that its pods run; undefined where they run none. One that is deployed by hand tells by its Gateway alone what it is; one whose
 * Gateway is gone is still a waypoint, and serves nothing.
 */
export function asWaypoint(mesh: Mesh, workload: Workload): Workload | undefined {
  const waypoint = waypointsOf(mesh).byKey.get(`${workload.namespace}/${workload.labels[NAME_LABEL] ?? ""}`);
  if (waypoint?.isOwnClass === true && waypoint.workload?.key === workload.key) return waypoint.workload;
  return workload.role === "waypoint" ? workload : undefined;
}

/** Services that a waypoint's proxies have listeners for. */
export function servicesOfWaypoint(mesh: Mesh, workload: Workload): readonly Service[] {
  const waypoint = waypointsOf(mesh).byKey.get(`${workload.namespace}/${workload.labels[NAME_LABEL] ?? ""}`);
  if (waypoint === undefined) return [];
  return mesh.services.filter((service) => {
    const binding = waypointOfService(mesh, service);
    return binding.kind === "bound" && binding.waypoint === waypoint;
  });
}

const AUTO_ALLOCATE = "networking.istio.io/enable-autoallocate-ip";

/** Whether clients dial an address that stands for the service: its own, or one that istiod gives it, to wildcards of resolution DYNAMIC_DNS alone. */
export function hasVirtualAddress({
  hostname,
  origin,
  headless,
  addresses,
  resolution,
  externalName,
  resource,
}: Service): boolean {
  if (origin === "kubernetes") return !headless && externalName === undefined;
  if (addresses.length > 0) return true;
  if (resolution === "none" || (isWildcard(hostname) && resolution !== "dynamic-dns")) return false;
  return (resource.labels[AUTO_ALLOCATE] ?? "").toLowerCase() !== "false";
}

/** A waypoint's own Service, or an east-west gateway's, has no waypoint. */
function isProxyOfGateway(labels: Labels): boolean {
  const controller = labels["gateway.istio.io/managed"] ?? "";
  return controller === "istio.io-mesh-controller" || controller === "istio.io-eastwest-controller";
}

function bindingOf(mesh: Mesh, own: Labels, namespace: string, traffic: TrafficType): WaypointBinding {
  const namespaceLabels = mesh.namespaces.get(namespace)?.labels ?? {};
  const labels = own[USE] === undefined ? namespaceLabels : own;
  const name = labels[USE];
  if (name === undefined || name === "none") return NONE;
  const key = `${labels[USE_NAMESPACE] ?? namespace}/${name}`;
  const waypoint = waypointsOf(mesh).byKey.get(key);
  const none = (why: string): WaypointBinding => ({ kind: "none", why: `waypoint ${key} ${why}` });
  if (waypoint === undefined) return none("is not there, or not ready: Istio sends past it");
  if (!admits(mesh, waypoint, namespace))
    return none(`takes nothing of namespace ${namespace} (allowedRoutes): Istio sends past it`);
  if (waypoint.traffic !== traffic && waypoint.traffic !== "all")
    return none(
      `is for traffic to ${waypoint.traffic === "none" ? "nobody" : `${waypoint.traffic}s`}, not to ${traffic}s: Istio sends past it`,
    );
  const doubt = doubtOf(waypoint, traffic === "service" ? (own[CANARY] ?? labels[CANARY]) : undefined);
  return doubt === undefined
    ? { kind: "bound", waypoint }
    : { kind: "unknown", why: `waypoint ${key} ${doubt}` };
}

/** Why what a waypoint does cannot be told. */
function doubtOf(
  { gateway, workload, isOwnClass }: Waypoint,
  canary: string | undefined,
): string | undefined {
  const { gatewayClassName } = gateway.spec as KubernetesGatewayShape;
  if (!isOwnClass) return `is of class \`${gatewayClassName}\`, whose proxies are not Istio's own waypoints`;
  if (gateway.annotations[BINDING] !== undefined) return `is bound in its own way (${BINDING})`;
  if (canary !== undefined && canary !== "" && canary !== "none")
    return `shares its traffic with a canary (${CANARY}), by chance`;
  return workload === undefined
    ? "has no pods in the resources, so that its identity is not known"
    : undefined;
}

/** Whether Gateways of a class are Istio's waypoints. */
export function isWaypointClass(resources: readonly Resource[], className: string): boolean {
  const declared = resources.find(
    ({ kind, apiVersion, name }) =>
      kind === "GatewayClass" && apiVersion.startsWith(`${GATEWAY_API_GROUP}/`) && name === className,
  );
  if (declared === undefined) return className === WAYPOINT_CLASS;
  return (declared.spec as { readonly controllerName?: string }).controllerName === CONTROLLER;
}

interface Waypoints {
  readonly byKey: ReadonlyMap<string, Waypoint>;
}

const WAYPOINTS = new WeakMap<Mesh, Waypoints>();

function waypointsOf(mesh: Mesh): Waypoints {
  let known = WAYPOINTS.get(mesh);
  if (known === undefined) {
    const gateways = mesh.resources.filter(
      ({ kind, apiVersion }) => kind === "Gateway" && apiVersion.startsWith(`${GATEWAY_API_GROUP}/`),
    );
    const pods = podsByGateway(mesh);
    const waypoints = gateways
      .filter(isReady)
      .map((gateway) => waypointFrom(mesh, gateway, pods.get(`${gateway.namespace}/${gateway.name}`)));
    known = { byKey: new Map(waypoints.map((waypoint) => [waypoint.key, waypoint])) };
    WAYPOINTS.set(mesh, known);
  }
  return known;
}

/** A Gateway that runs says its addresses; one that is only written is taken to come up. */
function isReady({ body }: Resource): boolean {
  const status = body.status;
  if (typeof status !== "object" || status === null) return true;
  const { addresses } = status as { readonly addresses?: unknown };
  return Array.isArray(addresses) && addresses.length > 0;
}

/** By the Gateway that they are of; the first, where there are several. */
function podsByGateway({ workloads }: Mesh): ReadonlyMap<string, Workload> {
  const pods = new Map<string, Workload>();
  for (const workload of workloads) {
    const name = workload.labels[NAME_LABEL];
    const key = `${workload.namespace}/${name ?? ""}`;
    if (name !== undefined && !pods.has(key)) pods.set(key, workload);
  }
  return pods;
}

function waypointFrom(mesh: Mesh, gateway: Resource, found: Workload | undefined): Waypoint {
  const { namespace, name, labels } = gateway;
  const { gatewayClassName } = gateway.spec as KubernetesGatewayShape;
  const ofClass = mesh.resources.find(
    (resource) => resource.kind === "GatewayClass" && resource.name === gatewayClassName,
  );
  return {
    key: `${namespace}/${name}`,
    gateway,
    isOwnClass: isWaypointClass(mesh.resources, gatewayClassName),
    traffic: labels[FOR] ?? ofClass?.labels[FOR] ?? "service",
    workload: found === undefined || found.role === "waypoint" ? found : { ...found, role: "waypoint" },
  };
}

/** Whose services and workloads may use it: what its HBONE listener's `allowedRoutes` says, else those of its own namespace. */
function admits(mesh: Mesh, { gateway }: Waypoint, namespace: string): boolean {
  const { listeners = [] } = gateway.spec as KubernetesGatewayShape;
  const { from = "Same", selector } = listeners.find(isHbone)?.allowedRoutes?.namespaces ?? {};
  if (from === "All") return true;
  if (from === "Selector") return selectsNamespace(selector, mesh.namespaces.get(namespace)?.labels ?? {});
  return gateway.namespace === namespace;
}

function isHbone({ protocol, port }: ListenerShape): boolean {
  return protocol === "HBONE" && port === 15008;
}
