/** Which requests a rule takes, in a VirtualService's terms, and which of several rules is asked first. */
import type { HttpMatch, HttpRoute, StringMatch } from "../outbound/resource-shapes.ts";
import type { GrpcRouteMatch, HttpRouteMatch, NamedMatch } from "./shapes.ts";

export function httpMatch({ path, headers = [], queryParams = [], method }: HttpRouteMatch): HttpMatch {
  return {
    uri: pathMatch(path?.type ?? "PathPrefix", path?.value ?? "/"),
    ...(headers.length === 0 ? {} : { headers: named(headers, true) }),
    ...(queryParams.length === 0 ? {} : { queryParams: named(queryParams, false) }),
    ...(method === undefined ? {} : { method: { exact: method } }),
  };
}

export function grpcMatch({ method, headers = [] }: GrpcRouteMatch): HttpMatch {
  const uri = method === undefined ? undefined : grpcPath(method);
  return {
    ...(uri === undefined ? {} : { uri }),
    ...(headers.length === 0 ? {} : { headers: named(headers, true) }),
  };
}

function pathMatch(type: string, value: string): StringMatch {
  if (type === "Exact") return { exact: value };
  if (type === "RegularExpression") return { regex: value };
  const prefix = value.replace(/\/+$/, "");
  return prefix === "" ? { prefix: "/" } : { pathPrefix: prefix };
}

/** Of several conditions on one name the first counts. */
function named(matches: readonly NamedMatch[], ignoreCase: boolean): Readonly<Record<string, StringMatch>> {
  const byName: Record<string, StringMatch> = {};
  for (const { type, name, value } of matches) {
    const key = ignoreCase ? name.toLowerCase() : name;
    if (!Object.hasOwn(byName, key))
      byName[key] = type === "RegularExpression" ? { regex: value } : { exact: value };
  }
  return byName;
}

function grpcPath({
  type,
  service = "",
  method = "",
}: NonNullable<GrpcRouteMatch["method"]>): StringMatch | undefined {
  if (service === "" && method === "") return undefined;
  if (type === "RegularExpression") return { regex: `/${service || "[^/]+"}/${method || "[^/]+"}` };
  if (service === "") return { regex: `/[^/]+/${method.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}` };
  return method === "" ? { prefix: `/${service}/` } : { exact: `/${service}/${method}` };
}

/**
 * Sorts routes of one host so that the first that matches is the one that the Gateway API wants: exact paths before prefixes,
 * longer before shorter, then those with a method, more headers, more query parameters. Equal ones keep their order.
 */
export function bySpecificity(routes: readonly HttpRoute[]): readonly HttpRoute[] {
  return [...routes].sort((a, b) => {
    const left = weightsOf(a.match?.[0]);
    const right = weightsOf(b.match?.[0]);
    for (const [index, weight] of left.entries()) {
      const difference = (right[index] ?? 0) - weight;
      if (difference !== 0) return difference;
    }
    return 0;
  });
}

function weightsOf(match: HttpMatch | undefined): readonly number[] {
  if (match === undefined) return [-1, 0, 0, 0, 0];
  const { uri } = match;
  const prefix = uri?.prefix ?? uri?.pathPrefix;
  const rank = uri?.exact !== undefined ? 3 : prefix !== undefined ? 2 : uri?.regex !== undefined ? 1 : -1;
  return [
    rank,
    (uri?.exact ?? prefix ?? uri?.regex ?? "").length,
    match.method === undefined ? 0 : 1,
    Object.keys(match.headers ?? {}).length,
    Object.keys(match.queryParams ?? {}).length,
  ];
}
