import type { Service } from "../../../model/mesh.ts";
import { waypointOfService } from "../../../policy/waypoint/waypoints.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const targetUnserved: AuditRule = {
  id: "BW0966",
  title: "A policy for a Service that no waypoint stands before",
  severity: "high",
  attacks: ["M9"],
  what:
    "AuthorizationPolicies and RequestAuthentications with `targetRefs` to a Service or ServiceEntry that is there and has no waypoint (none is named by `istio.io/use-waypoint`, it is not there, it is not for services, or the Service is headless), or is not there at all. " +
    "Waypoints alone read such policies: sidecars and ztunnels leave them out. Where which waypoint stands there cannot be told, nothing is said.",
  why: "The policy is in the cluster, and nobody enforces it: whoever it denies gets in.",
  fix: "Give the Service or its namespace a waypoint (`istio.io/use-waypoint`); or, before sidecars, write a `selector` in place of `targetRefs`.",
  claims: ["policies-hold"],
  check: unserved,
};

interface TargetRef {
  readonly kind?: string;
  readonly name?: string;
}

function* unserved({ mesh }: AuditContext): Iterable<Hit> {
  const policies: readonly Resource[] = [...mesh.authorizationPolicies, ...mesh.requestAuthentications];
  const targeted = policies.filter(({ spec }) => targetsOf(spec).length > 0);
  if (targeted.length === 0) return;
  const services = Map.groupBy(mesh.services, (service) => nameOf(service));
  for (const resource of targeted)
    for (const [at, { kind, name }] of targetsOf(resource.spec).entries()) {
      if (kind !== "Service" && kind !== "ServiceEntry") continue;
      const own = services.get(`${kind} ${resource.namespace}/${name}`) ?? [];
      const bindings = own.map((service) => waypointOfService(mesh, service));
      if (bindings.some((binding) => binding.kind !== "none")) continue;
      const why = bindings
        .map((binding) => (binding.kind === "none" ? binding.why : undefined))
        .find((text) => text !== undefined);
      const title =
        own.length === 0
          ? `there is no ${kind} \`${name}\` in \`${resource.namespace}\``
          : `${kind} \`${name}\` has no waypoint${why === undefined ? "" : ` (${why})`}: nobody enforces the policy`;
      const single = (resource.spec as { targetRef?: unknown }).targetRef !== undefined;
      yield { resource, path: single ? ["spec", "targetRef"] : ["spec", "targetRefs", at], title };
    }
}

function nameOf({ origin, namespace, resource }: Service): string {
  return `${origin === "kubernetes" ? "Service" : "ServiceEntry"} ${namespace}/${resource.name}`;
}

function targetsOf(spec: unknown): readonly TargetRef[] {
  const { targetRef, targetRefs = [] } = (spec ?? {}) as {
    targetRef?: TargetRef;
    targetRefs?: readonly TargetRef[];
  };
  return targetRefs.length === 0 && targetRef !== undefined ? [targetRef] : targetRefs;
}
