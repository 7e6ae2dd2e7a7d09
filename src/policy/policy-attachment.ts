/** Which policies apply to a workload: by namespace, selector, or targetRefs. */
import type { Service, Workload } from "../model/mesh.ts";
import type { Resource } from "../resources/resource.ts";
import { policiesFor } from "./policy-lookup.ts";

interface TargetRef {
  readonly group?: string;
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
}

/** The fields by which AuthorizationPolicy and RequestAuthentication say what they are for. */
interface TargetableSpec {
  readonly targetRef?: TargetRef;
  readonly targetRefs?: readonly TargetRef[];
}

const GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name";
const GATEWAY_GROUP = "gateway.networking.k8s.io";
const WAYPOINT_CLASS = "istio-waypoint";

/**
 * The AuthorizationPolicies or RequestAuthentications, of those given, that hold for the workload: of its own namespace and of the root
 * namespace.
 * @see https://istio.io/latest/docs/reference/config/type/workload-selector/
 */
export function attachedPolicies<T extends Resource>(
  policies: readonly T[],
  workload: Workload,
  rootNamespace: string,
): T[] {
  return policiesFor(policies, workload, rootNamespace).filter((policy) =>
    isAttached(policy, workload, rootNamespace),
  );
}

/**
 * Those that a waypoint enforces for one of its services: on the service by name, in the service's namespace; on the waypoint's Gateway, in the waypoint's
 * namespace; on the class of waypoints, in the root namespace. Selectors never count. Those of the waypoint's namespace come first, then the root's.
 * @param service null for traffic to a workload's own address: then there is no service to be named.
 * @see pilot/pkg/model/policyattachment.go of istio/istio
 */
export function waypointPolicies<T extends Resource>(
  policies: readonly T[],
  waypoint: Workload,
  service: Service | null,
  rootNamespace: string,
): T[] {
  const namespaces = new Set([waypoint.namespace, rootNamespace, service?.namespace ?? rootNamespace]);
  return [...namespaces].flatMap((namespace) =>
    policiesFor(policies, { namespace, labels: {} }, namespace).filter(
      (policy) =>
        isAttached(policy, waypoint, rootNamespace) || (service !== null && namesService(policy, service)),
    ),
  );
}

const SERVICE_GROUPS: ReadonlySet<string> = new Set(["", "core"]);

function namesService(policy: Resource, { origin, namespace, resource }: Service): boolean {
  if (policy.namespace !== namespace) return false;
  return targetsOf((policy.spec ?? {}) as TargetableSpec).some((target) => {
    const { group = "", kind, name } = target;
    if (name !== resource.name || !isOwnNamespace(target, namespace)) return false;
    return origin === "kubernetes"
      ? kind === "Service" && SERVICE_GROUPS.has(group)
      : kind === "ServiceEntry" && group === "networking.istio.io";
  });
}

/** A reference to another namespace never matches, whatever the policy's own namespace is. */
function isOwnNamespace({ namespace }: TargetRef, own: string): boolean {
  return namespace === undefined || namespace === "" || namespace === own;
}

/** @param policy one whose selector, if it has any, is the workload's. */
function isAttached(policy: Resource, workload: Workload, rootNamespace: string): boolean {
  const spec = (policy.spec ?? {}) as TargetableSpec;
  const targets = targetsOf(spec);
  const gateway = workload.labels[GATEWAY_NAME_LABEL];
  // A policy with targetRefs is for gateways of the Gateway API alone, even where it also selects.
  if (gateway === undefined) return targets.length === 0;
  if (targets.length === 0) return workload.role !== "waypoint";
  return targets.some((target) => isTarget(target, policy, workload, gateway, rootNamespace));
}

function targetsOf(spec: TargetableSpec): readonly TargetRef[] {
  const targets = spec.targetRefs ?? [];
  return targets.length === 0 && spec.targetRef !== undefined ? [spec.targetRef] : targets;
}

function isTarget(
  target: TargetRef,
  policy: Resource,
  workload: Workload,
  gateway: string,
  rootNamespace: string,
): boolean {
  if (target.group !== GATEWAY_GROUP) return false;
  if (target.kind === "GatewayClass") {
    return (
      workload.role === "waypoint" && policy.namespace === rootNamespace && target.name === WAYPOINT_CLASS
    );
  }
  const here = isOwnNamespace(target, workload.namespace) && policy.namespace === workload.namespace;
  return here && target.kind === "Gateway" && target.name === gateway;
}
