import type { Service } from "../../../model/mesh.ts";
import { isDryRun } from "../../../policy/authorization.ts";
import { waypointOfService, waypointOfWorkload } from "../../../policy/waypoint/waypoints.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { accessRequestOf, isLetThrough, plainSample } from "../facts/sample-requests.ts";
import { type ServerClass, serverClasses } from "../facts/server-classes.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const waypointBypass: AuditRule = {
  id: "BW0960",
  title: "A waypoint's policies, and pods that can be reached past it",
  severity: "high",
  attacks: ["M9"],
  what:
    "AuthorizationPolicies and RequestAuthentications with `targetRefs` to a Service, or to the Gateway of its waypoint, where a pod in ambient mode behind that service lets in callers who dial the pod's own address: nothing at its ztunnel asks for the waypoint's identity. " +
    "Shown by such a request: in clear, or of another identity of the mesh. Identities are not told where the pods' own address has a waypoint, too (`istio.io/waypoint-for: all`).",
  why: "Sidecars, gateways, clients without a proxy, and whoever dials the pod's address send past the waypoint. None of its policies, about paths, methods or tokens, is asked then.",
  fix: "Add an AuthorizationPolicy with a selector for the pods that allows the waypoint's identity alone (`principals: [<trust domain>/ns/<namespace>/sa/<waypoint>]`); ztunnel enforces it.",
  claims: ["policies-hold"],
  check: bypassed,
};

function* bypassed(audit: AuditContext): Iterable<Hit> {
  const { mesh } = audit;
  const policies = [...mesh.authorizationPolicies, ...mesh.requestAuthentications].filter(
    (policy) => targetsOf(policy).length > 0 && !isDryRun(policy),
  );
  if (policies.length === 0) return;
  const classes = classByWorkload(audit);
  for (const policy of policies) {
    const services = mesh.services.filter((service) => isTargeted(audit, policy, service));
    for (const service of services) {
      const hit = throughPod(audit, policy, service, classes);
      if (hit === undefined) continue;
      yield hit;
      break;
    }
  }
}

interface TargetRef {
  readonly group?: string;
  readonly kind?: string;
  readonly name?: string;
}

function targetsOf({ spec }: Resource): readonly TargetRef[] {
  const { targetRefs = [], targetRef } = (spec ?? {}) as {
    targetRefs?: readonly TargetRef[];
    targetRef?: TargetRef;
  };
  return targetRef === undefined ? targetRefs : [targetRef];
}

function isTargeted({ mesh }: AuditContext, policy: Resource, service: Service): boolean {
  const names = new Set(targetsOf(policy).map(({ kind, name }) => `${kind} ${policy.namespace}/${name}`));
  const isNamed = names.has(`Service ${service.namespace}/${service.name}`);
  if (!isNamed && ![...names].some((name) => name.startsWith("Gateway "))) return false;
  const binding = waypointOfService(mesh, service);
  return binding.kind === "bound" && (isNamed || names.has(`Gateway ${binding.waypoint.key}`));
}

function classByWorkload(audit: AuditContext): ReadonlyMap<unknown, ServerClass> {
  return new Map(
    audit
      .fact(serverClasses)
      .filter((server) => server.isAmbient)
      .flatMap((server) => server.workloads.map((workload) => [workload, server] as const)),
  );
}

function throughPod(
  { mesh }: AuditContext,
  policy: Resource,
  service: Service,
  classes: ReadonlyMap<unknown, ServerClass>,
): Hit | undefined {
  for (const { workload } of service.endpoints) {
    const server = workload && classes.get(workload);
    if (workload === undefined || server === undefined) continue;
    const port = workload.ports[0]?.port ?? 8080;
    const stranger = `${mesh.config.trustDomain}/ns/x/sa/x`;
    const callers = waypointOfWorkload(mesh, workload).kind === "none" ? [stranger, null] : [null];
    const sample = callers
      .map((caller) => plainSample(port, caller))
      .find((one) => isLetThrough(server, one));
    if (sample === undefined) continue;
    return {
      resource: policy,
      path: [
        "spec",
        targetsOf(policy).length > 0 && "targetRefs" in (policy.spec as object) ? "targetRefs" : "targetRef",
      ],
      title: `\`${workload.key}\`, behind \`${service.namespace}/${service.name}\`, lets in whoever dials its own address: there the policy is not asked`,
      witness: { ...accessRequestOf(sample, server), to: { workload: workload.key, port } },
    };
  }
  return undefined;
}
