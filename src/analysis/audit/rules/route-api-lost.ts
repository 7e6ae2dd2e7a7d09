import { referenceGrants } from "../../../policy/gateway-api/reference-grants.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { servicesByName } from "../facts/waypoint-labels.ts";
import { type Fields, fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const routeApiLost: AuditRule = {
  id: "BW0317",
  title: "A route of the Gateway API from, or to, what is not there",
  severity: "medium",
  same: { kiali: "KIA1402" },
  attacks: ["M11"],
  what: "`parentRefs` of HTTPRoutes and GRPCRoutes to a Gateway that no file has (`KIA1401`); `parentRefs` and `backendRefs` to a Service that no file has, or that is of another namespace without a ReferenceGrant there that lets the route refer to it. Gateways that are there and do not take the route are BW0641; `info` where the files have no Gateways, or no Services, at all.",
  why: "Requests are answered with an error, or go by another route; whoever makes a Gateway or a Service of that name serves the hosts, or gets the traffic.",
  fix: "Mend the name, or remove the reference; let the owner of the Service's namespace write a ReferenceGrant.",
  claims: ["configuration-in-force"],
  check: lost,
};

const GROUP = "gateway.networking.k8s.io";

function* lost(audit: AuditContext): Iterable<Hit> {
  const routes = ["HTTPRoute", "GRPCRoute"].flatMap((kind) => audit.every(GROUP, kind));
  if (routes.length === 0) return;
  const gateways = new Set(
    audit.every(GROUP, "Gateway").map(({ namespace, name }) => `${namespace}/${name}`),
  );
  const mayRefer = referenceGrants(audit.mesh);
  for (const resource of routes)
    for (const { path, reference, isParent } of referencesOf(resource)) {
      const kind = reference.kind ?? (isParent ? "Gateway" : "Service");
      const name = textOf(reference.name);
      const namespace = textOf(reference.namespace) || resource.namespace;
      if (kind === "Gateway" && !gateways.has(`${namespace}/${name}`))
        yield {
          resource,
          path,
          kiali: "KIA1401",
          title: `there is no Gateway \`${namespace}/${name}\``,
          ...(gateways.size === 0 ? { severity: "info" as const } : {}),
        };
      if (kind !== "Service") continue;
      const services = audit.fact(servicesByName);
      if (!services.has(`${namespace}/${name}`))
        yield {
          resource,
          path,
          title: `there is no Service \`${namespace}/${name}\``,
          ...(services.size === 0 ? { severity: "info" as const } : {}),
        };
      else if (!isParent && !mayRefer(resource, { group: "", kind, namespace, name }))
        yield {
          resource,
          path,
          title: `no ReferenceGrant in \`${namespace}\` lets it refer to Service \`${name}\``,
        };
    }
}

interface WrittenReference {
  readonly path: readonly (string | number)[];
  readonly reference: Fields;
  readonly isParent: boolean;
}

function* referencesOf({ spec }: Resource): Iterable<WrittenReference> {
  const { parentRefs, rules } = fieldsOf(spec);
  for (const [index, reference] of itemsOf(parentRefs))
    yield { path: ["spec", "parentRefs", index, "name"], reference, isParent: true };
  for (const [rule, { backendRefs }] of itemsOf(rules))
    for (const [index, reference] of itemsOf(backendRefs))
      yield { path: ["spec", "rules", rule, "backendRefs", index, "name"], reference, isParent: false };
}
