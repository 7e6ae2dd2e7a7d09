/** Matches of VirtualServices' routes against those before them, as Istio's validation compares them. */
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { ROUTE_LISTS } from "./route-destinations.ts";
import { type Fields, fieldsOf, itemsOf, textOf } from "./written.ts";

export interface UnusedRoute {
  readonly resource: Resource;
  readonly path: FieldPath;
  readonly route: string;
  readonly reason: string;
}

export interface UnusedMatch {
  readonly resource: Resource;
  readonly path: FieldPath;
  readonly match: string;
  /** Which match before takes everything that it would. */
  readonly by: string;
  /** It is the second of two of one route that say the same: without it the route takes what it takes. */
  readonly isSpare: boolean;
}

interface Compared {
  readonly name: string;
  readonly key: string;
  readonly match: Fields;
}

export interface ComparedRoutes {
  readonly routes: readonly UnusedRoute[];
  readonly matches: readonly UnusedMatch[];
}

export function comparedRoutes(audit: AuditContext): ComparedRoutes {
  const all = audit
    .every("networking.istio.io", "VirtualService")
    .flatMap((resource) => ROUTE_LISTS.map((list) => compareList(resource, list)));
  return { routes: all.flatMap(({ routes }) => routes), matches: all.flatMap(({ matches }) => matches) };
}

function compareList(resource: Resource, list: (typeof ROUTE_LISTS)[number]): ComparedRoutes {
  const routes: UnusedRoute[] = [];
  const matches: UnusedMatch[] = [];
  const before: Compared[] = [];
  let catchAll: string | undefined;
  for (const [index, { name: written, match }] of itemsOf(fieldsOf(resource.spec)[list])) {
    const path = ["spec", list, index];
    const route = textOf(written) === "" ? `#${index}` : textOf(written);
    const own = [...itemsOf(match)];
    if (catchAll !== undefined)
      routes.push({ resource, path, route, reason: `\`${catchAll}\` before it matches everything` });
    if (own.length === 0) catchAll ??= route;
    let repeated = 0;
    for (const [at, one] of own) {
      const compared = { name: `${route} match #${at}`, key: keyOf(one), match: one };
      const same = before.find(({ key }) => key === compared.key);
      const wider =
        same ?? (list === "http" ? before.find((other) => isPrefixOf(other.match, one)) : undefined);
      if (same !== undefined) repeated += 1;
      if (wider !== undefined)
        matches.push({
          resource,
          path: [...path, "match", at],
          match: compared.name,
          by: wider.name,
          // Where several go, the places of the others move.
          isSpare: same !== undefined && own.filter((other) => keyOf(other[1]) === compared.key).length === 2,
        });
      if (same === undefined) before.push(compared);
    }
    if (own.length > 0 && repeated === own.length && catchAll === undefined)
      routes.push({ resource, path, route, reason: "all that it matches is taken by routes before it" });
  }
  return { routes, matches };
}

/** Its name matches nothing. */
function keyOf(match: Fields): string {
  return JSON.stringify(match, (key, value: unknown) => {
    if (key === "name") return undefined;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

const MAPS = ["headers", "queryParams", "withoutHeaders"] as const;
/** Of these Istio's own check knows nothing: where one differs, the first does not take what the second does. */
const OTHERS = [
  "sourceLabels",
  "sourceNamespace",
  "gateways",
  "scheme",
  "statPrefix",
  "ignoreUriCase",
] as const;

/** Whether `a` takes every request that `b` takes because its prefix of the path is shorter. */
function isPrefixOf(a: Fields, b: Fields): boolean {
  const [short, long] = [textOf(fieldsOf(a.uri).prefix), textOf(fieldsOf(b.uri).prefix)];
  if (short === "" || short === long || !long.startsWith(short)) return false;
  if (
    (a.port ?? 0) !== (b.port ?? 0) ||
    OTHERS.some((field) => JSON.stringify(a[field]) !== JSON.stringify(b[field]))
  )
    return false;
  if (!["method", "authority"].every((field) => textForm(b[field]).startsWith(textForm(a[field]))))
    return false;
  return MAPS.every((field) => {
    const [first, second] = [fieldsOf(a[field]), fieldsOf(b[field])];
    const names = Object.keys(first);
    return (
      names.length === Object.keys(second).length &&
      names.every(
        (name) => second[name] !== undefined && textForm(second[name]).startsWith(textForm(first[name])),
      )
    );
  });
}

/** `exact`, `prefix` or nothing, and the value: an exact one begins with no prefix. */
function textForm(match: unknown): string {
  const { exact, prefix } = fieldsOf(match);
  if (exact !== undefined) return `exact${textOf(exact)}`;
  return prefix === undefined ? "" : `prefix${textOf(prefix)}`;
}
