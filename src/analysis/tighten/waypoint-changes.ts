/**
 * AuthorizationPolicies of services that waypoints stand before, in the place of today's. One that names services loses those that get their
 * own; one for whole waypoints stays without its rules, so that services that come later stay closed, and leaves copies to the others.
 */
import type { Mesh } from "../../model/mesh.ts";
import { GATEWAY_API_GROUP } from "../../policy/gateway-api/shapes.ts";
import { isWaypointClass } from "../../policy/waypoint/waypoints.ts";
import { resourceName } from "../../resources/resource.ts";
import { type Grant, ruleOf } from "./grants.ts";
import type { ResourceChange } from "./manifest.ts";
import {
  manifestOf,
  type Policy,
  PolicyNames,
  policyManifest,
  qualified,
  targetRefsOf,
} from "./policy-manifest.ts";
import {
  allowPoliciesOf,
  isServiceRef,
  refTo,
  type WaypointTarget,
  type WaypointTargets,
} from "./waypoint-targets.ts";

/** What one service is to be left with. */
export interface WaypointPlan {
  readonly target: WaypointTarget;
  readonly grants: readonly Grant[];
}

export interface WaypointChanges {
  readonly changes: readonly ResourceChange[];
  /** The policy of each plan: `AuthorizationPolicy namespace/name`. */
  readonly policyOf: ReadonlyMap<WaypointPlan, string>;
  /** Plans that cannot be carried out beside the others, and why. */
  readonly impossible: ReadonlyMap<WaypointPlan, string>;
}

export function waypointChanges(
  mesh: Mesh,
  plans: readonly WaypointPlan[],
  all: WaypointTargets,
): WaypointChanges {
  const planOf = new Map(plans.map((plan) => [plan.target, plan]));
  const names = new PolicyNames(mesh);
  const changes: ResourceChange[] = [];
  const impossible = new Map<WaypointPlan, string>();
  const takenOver = new Map<WaypointPlan, Policy>();
  for (const [policy, held] of heldBy(mesh, all)) {
    const own = held.flatMap((target) => planOf.get(target) ?? []);
    const [first] = own;
    if (first === undefined) continue;
    if (targetRefsOf(policy).every(isServiceRef)) {
      const others = othersOf(policy, own);
      if (others.length > 0) changes.push(withRefs(policy, others));
      else if (own.length === 1 && !takenOver.has(first)) takenOver.set(first, policy);
      else changes.push(deleted(policy));
      continue;
    }
    const why = whyShared(mesh, policy, all);
    if (why !== undefined) for (const plan of own) impossible.set(plan, why);
    changes.push(emptied(policy));
    for (const target of held) if (!planOf.has(target)) changes.push(copyFor(policy, target, names));
  }
  const policyOf = new Map<WaypointPlan, string>();
  for (const plan of plans) {
    const change = changeOf(plan, takenOver.get(plan), names);
    changes.push(change);
    const { kind, metadata } = change.manifest;
    policyOf.set(plan, resourceName({ kind, ...metadata }));
  }
  return { changes, policyOf, impossible };
}

function heldBy(mesh: Mesh, { targets }: WaypointTargets): ReadonlyMap<Policy, readonly WaypointTarget[]> {
  const held = new Map<Policy, WaypointTarget[]>();
  for (const target of targets)
    for (const policy of allowPoliciesOf(mesh, target)) {
      const known = held.get(policy);
      if (known === undefined) held.set(policy, [target]);
      else known.push(target);
    }
  return held;
}

/** References to other services, and to such as are not there. */
function othersOf(policy: Policy, plans: readonly WaypointPlan[]) {
  const planned = plans.map(({ target }) => refTo(target.service));
  return targetRefsOf(policy).filter(
    ({ kind, name }) => !planned.some((own) => own.kind === kind && own.name === name),
  );
}

/** A policy for whole waypoints may hold for more than services: without rules it would close that. */
function whyShared(mesh: Mesh, policy: Policy, { targets, unclear }: WaypointTargets): string | undefined {
  const name = resourceName(policy);
  const refs = targetRefsOf(policy);
  if (refs.some(isServiceRef)) return `${name} is for services and for gateways at once`;
  const gateways = gatewaysOf(mesh, policy);
  if (gateways === undefined) return `${name} is for gateways that are no waypoints, too`;
  const waypoints = new Map(targets.map(({ waypoint }) => [waypoint.key, waypoint]));
  const other = gateways.find((key) => (waypoints.get(key)?.traffic ?? "service") !== "service");
  if (other !== undefined) return `${name} is also for what is sent to the addresses of pods behind ${other}`;
  const [first] = unclear;
  return first === undefined ? undefined : `${name} may be for ${first.host} as well: ${first.why}`;
}

/** `namespace/name` of those that the policy is for; undefined: some are no waypoints. */
function gatewaysOf({ resources }: Mesh, policy: Policy): readonly string[] | undefined {
  const refs = targetRefsOf(policy);
  const gateways = resources.filter(
    ({ kind, apiVersion }) => kind === "Gateway" && apiVersion.startsWith(`${GATEWAY_API_GROUP}/`),
  );
  const classOf = ({ spec }: (typeof gateways)[number]): string =>
    (spec as { readonly gatewayClassName?: string }).gatewayClassName ?? "";
  const isOfClass = refs.some(({ kind }) => kind === "GatewayClass");
  const own = gateways.filter((gateway) =>
    isOfClass
      ? isWaypointClass(resources, classOf(gateway))
      : gateway.namespace === policy.namespace && refs.some(({ name }) => name === gateway.name),
  );
  if (own.some((gateway) => !isWaypointClass(resources, classOf(gateway)))) return undefined;
  return own.map(({ namespace, name }) => `${namespace}/${name}`);
}

function changeOf(
  { target: { service }, grants }: WaypointPlan,
  before: Policy | undefined,
  names: PolicyNames,
): ResourceChange {
  const name = before?.name ?? names.free(service.namespace, `${service.resource.name}-service-as-seen`);
  const why =
    before === undefined
      ? "what was seen to pass the waypoint, and nothing else"
      : "its rules, narrowed to what was seen";
  const spec = {
    targetRefs: [refTo(service)],
    ...(grants.length === 0 ? {} : { rules: grants.map(ruleOf) }),
  };
  const manifest = policyManifest(name, service.namespace, why, spec, before);
  return { action: before === undefined ? "add" : "replace", manifest, why };
}

function withRefs(policy: Policy, targetRefs: ReturnType<typeof targetRefsOf>): ResourceChange {
  const { targetRef: _targetRef, ...spec } = policy.spec ?? {};
  const why = "without the services that have policies of their own";
  return {
    action: "replace",
    manifest: policyManifest(policy.name, policy.namespace, why, { ...spec, targetRefs }, policy),
    why,
  };
}

function deleted(policy: Policy): ResourceChange {
  return {
    action: "delete",
    manifest: manifestOf(policy),
    why: "its rules are in policies of their own for each service",
  };
}

function emptied(policy: Policy): ResourceChange {
  const { rules: _rules, action: _action, ...spec } = policy.spec ?? {};
  const why =
    "its rules are in policies of their own for each service; without rules it keeps closed whatever the waypoint will serve";
  const manifest = policyManifest(policy.name, policy.namespace, why, spec, policy);
  return { action: "replace", manifest, why };
}

function copyFor(policy: Policy, { service }: WaypointTarget, names: PolicyNames): ResourceChange {
  const name = names.free(service.namespace, `${policy.name}-for-${service.resource.name}`);
  const why = `the rules of ${resourceName(policy)}, as they are, for ${service.hostname}`;
  const rules = policy.spec?.rules ?? [];
  const own =
    policy.namespace === service.namespace ? rules : rules.map((rule) => qualified(rule, policy.namespace));
  const spec = { targetRefs: [refTo(service)], ...(own.length === 0 ? {} : { rules: own }) };
  return { action: "add", manifest: policyManifest(name, service.namespace, why, spec), why };
}
