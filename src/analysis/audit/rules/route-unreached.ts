import type { AuditContext } from "../audit-context.ts";
import { comparedRoutes } from "../facts/route-matches.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const routeUnreached: AuditRule = {
  id: "BW0130",
  title: "A route that no request comes to",
  severity: "medium",
  same: { istio: "IST0130" },
  attacks: [],
  what: "A route of a VirtualService (HTTP, TCP or TLS) behind one without matches, or all of whose matches stand in routes before it.",
  why: "Requests take the route before it: a canary, a refusal or a redirect that is written here does not happen.",
  fix: "Put the narrower route first, or remove the one that is not used.",
  claims: ["configuration-in-force"],
  check: unreached,
};

function* unreached(audit: AuditContext): Iterable<Hit> {
  for (const { resource, path, route, reason } of audit.fact(comparedRoutes).routes)
    yield { resource, path, title: `route \`${route}\` is never used: ${reason}` };
}
