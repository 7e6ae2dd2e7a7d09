import { type Resource, resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type RouteDestination, routeDestinations } from "../facts/route-destinations.ts";
import { fieldsOf, listOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const subsetRuleElsewhere: AuditRule = {
  id: "BW0140",
  title: "A gateway's route to a host whose subsets are chosen elsewhere",
  severity: "low",
  same: { istio: "IST0140" },
  attacks: [],
  what: "A VirtualService with `gateways` that sends HTTP to a host without a subset, while another VirtualService for that host chooses subsets.",
  why: "A gateway does not read the other: what comes in from outside goes to every version of the host, also to one that is being tried, or that was taken out because of a hole.",
  fix: "Choose the subset in the gateway's VirtualService, too; or send to the host by the mesh (delegate).",
  claims: ["configuration-in-force"],
  check: unaffected,
};

function* unaffected(audit: AuditContext): Iterable<Hit> {
  const choosing = audit.fact(choosingSubsets);
  for (const { resource, path, protocol, role, host, subset } of audit.fact(routeDestinations)) {
    const isAtGateway = listOf(fieldsOf(resource.spec).gateways).length > 0;
    if (!isAtGateway || protocol !== "http" || role !== "route" || subset !== "") continue;
    for (const other of choosing.get(host) ?? [])
      if (other !== resource)
        yield {
          resource,
          path,
          title: `${resourceName(other)} chooses subsets of \`${host}\`, which no gateway reads`,
        };
  }
}

/** VirtualServices for a host that lead to subsets of it, by that host as it is written. */
function choosingSubsets(audit: AuditContext): ReadonlyMap<string, ReadonlySet<Resource>> {
  const choosing = new Map<string, Set<Resource>>();
  const isOwn = ({ resource, host }: RouteDestination): boolean =>
    textsOf(fieldsOf(resource.spec).hosts).includes(host);
  for (const destination of audit.fact(routeDestinations))
    if (destination.subset !== "" && destination.protocol === "http" && isOwn(destination))
      choosing.set(destination.host, (choosing.get(destination.host) ?? new Set()).add(destination.resource));
  return choosing;
}
