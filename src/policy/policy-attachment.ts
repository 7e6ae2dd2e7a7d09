/** Which policies apply to a workload: by namespace, selector, or targetRefs. */
import type { Workload } from "../model/mesh.ts";
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
  // A reference to another namespace never matches, whatever the policy's own namespace is.
  const here =
    target.namespace === undefined || target.namespace === "" || target.namespace === workload.namespace;
  return (
    here && policy.namespace === workload.namespace && target.kind === "Gateway" && target.name === gateway
  );
}
