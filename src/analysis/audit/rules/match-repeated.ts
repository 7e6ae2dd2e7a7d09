import type { AuditContext } from "../audit-context.ts";
import { comparedRoutes } from "../facts/route-matches.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const matchRepeated: AuditRule = {
  id: "BW0131",
  title: "A match that one before it has taken",
  severity: "info",
  same: { istio: "IST0131" },
  attacks: [],
  what: "A match of a route that is the same as one before it, or (HTTP) whose path begins with a shorter prefix before it while all else is the same or narrower. Unlike `istioctl`, matches on different gateways, sources or schemes are not compared.",
  why: "Requests take the route of the first match.",
  fix: "Put the longer prefix first, or remove the match.",
  claims: ["configuration-in-force"],
  check: repeated,
};

function* repeated(audit: AuditContext): Iterable<Hit> {
  const { matches } = audit.fact(comparedRoutes);
  const perResource = Map.groupBy(matches, ({ resource }) => resource);
  for (const { resource, path, match, by, isSpare } of matches) {
    const isAlone = perResource.get(resource)?.length === 1;
    yield {
      resource,
      path,
      title: `${match} is not used: ${by} takes all of it`,
      ...(isSpare && isAlone ? { edits: [{ edit: "delete", resource, path }] } : {}),
    };
  }
}
