import type { AuditContext } from "../audit-context.ts";
import { detachedRoutes } from "../facts/route-parents.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const routeDetached: AuditRule = {
  id: "BW0641",
  title: "A route of the Gateway API that its Gateway does not take",
  severity: "medium",
  same: { kiali: "KIA1401" },
  attacks: [],
  what: "HTTPRoutes, GRPCRoutes, TLSRoutes and TCPRoutes with a parent Gateway of the files none of whose listeners takes them: the listener that is named is not there, or speaks something else, `allowedRoutes` leaves out the route's kind or namespace (other namespaces than the Gateway's by default), or no hostname of both agrees. Gateways that the files do not have, and Services as parents, are not judged; a selector of namespaces is not where the Namespace is not in the files.",
  why: "No request comes by it: what it was to refuse, rewrite or lead elsewhere goes as if it were not there, by another route or not at all.",
  fix: "Have the listener allow the route's namespace (`allowedRoutes: {namespaces: {from: Selector, …}}`), and give both a hostname in common.",
  claims: ["configuration-in-force"],
  check: detached,
};

function* detached(audit: AuditContext): Iterable<Hit> {
  for (const { route, path, gateway, reason } of audit.fact(detachedRoutes))
    yield { resource: route, path, title: `Gateway \`${gateway}\` ${reason}` };
}
