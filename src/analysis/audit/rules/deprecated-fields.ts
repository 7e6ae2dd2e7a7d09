import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const deprecatedFields: AuditRule = {
  id: "BW0100",
  title: "A field or kind that Istio does not read any more",
  severity: "low",
  same: { istio: "IST0002" },
  attacks: [],
  what: "`fault.delay.percent` of a VirtualService, `outboundTrafficPolicy.egressProxy` of a Sidecar, CustomResourceDefinitions of `rbac.istio.io` (removed with Istio 1.6), and Telemetries that trace to a Lightstep provider.",
  why: "What it says does not happen: ServiceRoles protect nothing.",
  fix: "Use what has replaced it: `fault.delay.percentage`, an egress gateway, AuthorizationPolicy, an OpenTelemetry provider.",
  claims: ["configuration-in-force"],
  check: unreadOnes,
};

const REMOVED = new Set(["ClusterRbacConfig", "RbacConfig", "ServiceRole", "ServiceRoleBinding"]);

function* unreadOnes(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("networking.istio.io", "VirtualService"))
    for (const [index, { fault }] of itemsOf(fieldsOf(resource.spec).http)) {
      const { percent } = fieldsOf(fieldsOf(fault).delay);
      if (typeof percent === "number" && percent > 0)
        yield hit(
          resource,
          ["spec", "http", index, "fault", "delay", "percent"],
          "`fault.delay.percent` is `percentage` now",
        );
    }
  for (const resource of audit.every("networking.istio.io", "Sidecar")) {
    const { egressProxy } = fieldsOf(fieldsOf(resource.spec).outboundTrafficPolicy);
    if (egressProxy !== undefined)
      yield hit(resource, ["spec", "outboundTrafficPolicy", "egressProxy"], "`egressProxy` is ignored");
  }
  for (const resource of audit.every("apiextensions.k8s.io", "CustomResourceDefinition")) {
    const { group, names } = fieldsOf(resource.spec);
    const kind = textOf(fieldsOf(names).kind);
    if (group === "rbac.istio.io" && REMOVED.has(kind))
      yield hit(resource, ["spec", "names", "kind"], `\`${kind}\` has been removed from Istio`);
  }
  yield* lightstepTraces(audit);
}

function* lightstepTraces(audit: AuditContext): Iterable<Hit> {
  const providers = itemsOf(fieldsOf(audit.mesh.config.raw).extensionProviders);
  const lightstep = new Set(
    [...providers].filter(([, one]) => one.lightstep !== undefined).map(([, { name }]) => name),
  );
  for (const resource of audit.every("telemetry.istio.io", "Telemetry")) {
    const named = [...itemsOf(fieldsOf(resource.spec).tracing)].flatMap(([, tracing]) => [
      ...itemsOf(tracing.providers),
    ]);
    const used = named.find(([, { name }]) => lightstep.has(name));
    if (used !== undefined)
      yield hit(
        resource,
        ["spec", "tracing"],
        `provider \`${textOf(used[1].name)}\` is of a kind, lightstep, that is being given up`,
      );
  }
}

function hit(resource: Resource, path: FieldPath, title: string): Hit {
  return { resource, path, title };
}
