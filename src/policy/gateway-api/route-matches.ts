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
  const prefix = value.replace(/\/$/, "");
  return prefix === "" ? { prefix: "/" } : { pathPrefix: prefix };
}

/** Of several conditions on one name the first counts. */
function named(matches: readonly NamedMatch[], ignoreCase: boolean): Readonly<Record<string, StringMatch>> {
  const entries = matches.map(({ type, name, value }): [string, StringMatch] => [
    ignoreCase ? name.toLowerCase() : name,
    type === "RegularExpression" ? { regex: value } : { exact: value },
  ]);
  return Object.fromEntries(entries.reverse());
}

function grpcPath({
  type,
  service = "",
  method = "",
}: NonNullable<GrpcRouteMatch["method"]>): StringMatch | undefined {
  if (service === "") return method === "" ? undefined : { regex: `/[^/]+/${method}` };
  if (type === "RegularExpression") return { regex: `/${service}/${method || ".+"}` };
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

function weightsOf({ uri = {}, method, headers = {}, queryParams = {} }: HttpMatch = {}): readonly number[] {
  const { exact, prefix = uri.pathPrefix, regex } = uri;
  const rank = exact !== undefined ? 3 : prefix !== undefined ? 2 : regex !== undefined ? 1 : 0;
  return [
    rank,
    (exact ?? prefix ?? regex ?? "").length,
    method === undefined ? 0 : 1,
    Object.keys(headers).length,
    Object.keys(queryParams).length,
  ];
}
