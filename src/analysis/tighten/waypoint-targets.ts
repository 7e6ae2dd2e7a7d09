/** Services that waypoints stand before: each is the subject of policies of its own. */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import { waypointPolicies } from "../../policy/policy-attachment.ts";
import { type Waypoint, waypointOfService } from "../../policy/waypoint/waypoints.ts";
import type { Resource } from "../../resources/resource.ts";
import { isEnforcedAllow, type Policy, type TargetRef } from "./policy-manifest.ts";

export interface WaypointTarget {
  readonly service: Service;
  readonly waypoint: Waypoint;
  /** The waypoint's pods. */
  readonly proxy: Workload;
}

export interface WaypointTargets {
  readonly targets: readonly WaypointTarget[];
  /** Hosts before which one stands that cannot be told, and why. */
  readonly unclear: readonly { readonly host: string; readonly why: string }[];
}

export function waypointTargets(mesh: Mesh): WaypointTargets {
  const targets: WaypointTarget[] = [];
  const unclear: { host: string; why: string }[] = [];
  for (const service of mesh.services) {
    const target = waypointTarget(mesh, service);
    if (typeof target === "string") unclear.push({ host: service.hostname, why: target });
    else if (target !== undefined) targets.push(target);
  }
  return { targets, unclear };
}

/** Undefined: none stands before it. A text: it cannot be told which, and why. */
export function waypointTarget(mesh: Mesh, service: Service): WaypointTarget | string | undefined {
  const binding = waypointOfService(mesh, service);
  if (binding.kind === "none") return undefined;
  if (binding.kind === "unknown") return binding.why;
  const { waypoint } = binding;
  return waypoint.workload === undefined
    ? `waypoint ${waypoint.key} has no pods in the resources`
    : { service, waypoint, proxy: waypoint.workload };
}

/** The ALLOW policies that its waypoint enforces for the service. */
export function allowPoliciesOf(mesh: Mesh, { proxy, service }: WaypointTarget): readonly Policy[] {
  const { rootNamespace } = mesh.config;
  const policies: readonly Resource<unknown>[] = waypointPolicies(
    mesh.authorizationPolicies,
    proxy,
    service,
    rootNamespace,
  );
  return policies.map((policy) => policy as Policy).filter(isEnforcedAllow);
}

/** By which a policy of the service's namespace is for it alone. */
export function refTo({ origin, resource }: Service): TargetRef {
  return origin === "kubernetes"
    ? { kind: "Service", group: "", name: resource.name }
    : { kind: "ServiceEntry", group: "networking.istio.io", name: resource.name };
}

export function isServiceRef({ kind }: TargetRef): boolean {
  return kind === "Service" || kind === "ServiceEntry";
}
