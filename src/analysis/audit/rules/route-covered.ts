import type { HttpMatch, HttpRoute, VirtualServiceShape } from "../../../policy/outbound/resource-shapes.ts";
import { shapeOf } from "../../../policy/outbound/resource-shapes.ts";
import type { AuditContext } from "../audit-context.ts";
import { isMatchWithin, isSameMatch } from "../facts/match-inclusion.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const routeCovered: AuditRule = {
  id: "BW0640",
  title: "A route that no request gets to, because one before it takes them all",
  severity: "medium",
  attacks: ["M6"],
  what:
    "HTTP routes of VirtualServices each of whose matches lies wholly within a match of an earlier route: `/api/admin` after `prefix: /api`, a method or header more after the same path. Compared field by field; what only several earlier matches cover " +
    "together, and one pattern within another, is not seen. Routes behind one without any match, and matches that are written twice, are IST0130 and IST0131.",
  why: "What the route was to do does not happen: a fault or a redirect that closes a path, other headers, another destination. Requests for it go where the earlier route sends them.",
  fix: "Put the narrower route before the wider one: the first that matches decides.",
  claims: ["configuration-in-force"],
  check: covered,
};

function* covered({ mesh }: AuditContext): Iterable<Hit> {
  for (const resource of mesh.virtualServices) {
    const { http = [] } = shapeOf<VirtualServiceShape>(resource);
    for (const [at, route] of http.entries()) {
      const before = coveredBy(route, http.slice(0, at));
      if (before !== undefined)
        yield {
          resource,
          path: ["spec", "http", at],
          title: `${nameOf(route, at)} is never taken: ${nameOf(http[before], before)} takes all of its requests`,
        };
    }
  }
}

function nameOf(route: HttpRoute | undefined, at: number): string {
  return route?.name === undefined ? `\`http[${at}]\`` : `\`${route.name}\``;
}

/** The last of the earlier routes that it takes; undefined where something is left, or others tell it. */
function coveredBy({ match = [] }: HttpRoute, earlier: readonly HttpRoute[]): number | undefined {
  let last: number | undefined;
  let isOurs = false;
  for (const own of match) {
    const at = earlier.findIndex((route) => takes(route, own));
    if (at < 0) return undefined;
    last = Math.max(last ?? 0, at);
    const matches = earlier[at]?.match ?? [];
    if (matches.length > 0 && !matches.some((other) => isSameMatch(own, other))) isOurs = true;
  }
  return isOurs ? last : undefined;
}

function takes({ match = [] }: HttpRoute, own: HttpMatch): boolean {
  return match.length === 0 || match.some((other) => isMatchWithin(own, other));
}
