/** Root VirtualServices and their delegates made one list of HTTP routes. */
import type { HttpMatch, HttpRoute, StringMatch } from "./resource-shapes.ts";

/**
 * The delegate's routes under the root's conditions, with the root's settings where the delegate has none.
 * A delegate's route whose conditions are not within the root's is left out.
 */
export function mergeDelegate(root: HttpRoute, delegate: readonly HttpRoute[]): (HttpRoute | undefined)[] {
  return delegate.map((route) => mergeRoute(root, route));
}

/** The settings that a delegate's route inherits. Routes, redirects and delegates are not among them. */
const INHERITED = [
  "rewrite",
  "directResponse",
  "timeout",
  "retries",
  "fault",
  "mirror",
  "mirrorPercent",
  "mirrorPercentage",
  "corsPolicy",
  "mirrors",
  "headers",
] as const;

function mergeRoute(root: HttpRoute, route: HttpRoute): HttpRoute | undefined {
  const match = mergeMatches(root.match ?? [], route.match ?? []);
  if (match === undefined) return undefined;
  const inherited: Record<string, unknown> = {};
  for (const key of INHERITED)
    if (route[key] === undefined && root[key] !== undefined) inherited[key] = root[key];
  const name = joinNames(root.name, route.name);
  return { ...route, ...inherited, ...(name === undefined ? {} : { name }), match };
}

function joinNames(root: string | undefined, own: string | undefined): string | undefined {
  if (own === undefined || own === "") return root;
  return root === undefined || root === "" ? own : `${root}-${own}`;
}

/** Every condition of the delegate must lie within at least one of the root's; undefined where one does not. */
function mergeMatches(
  root: readonly HttpMatch[],
  delegate: readonly HttpMatch[],
): readonly HttpMatch[] | undefined {
  if (root.length === 0) return delegate;
  if (delegate.length === 0) return root;
  const merged: HttpMatch[] = [];
  for (const own of delegate) {
    const within = root.filter((outer) => !conflicts(outer, own));
    if (within.length === 0) return undefined;
    merged.push(...within.map((outer) => mergeMatch(outer, own)));
  }
  return merged;
}

function mergeMatch(root: HttpMatch, own: HttpMatch): HttpMatch {
  const name = joinNames(root.name, own.name);
  return {
    ...root,
    ...definedOf(own),
    ...(name === undefined ? {} : { name }),
    headers: { ...root.headers, ...own.headers },
    withoutHeaders: { ...root.withoutHeaders, ...own.withoutHeaders },
    queryParams: { ...root.queryParams, ...own.queryParams },
    sourceLabels: { ...root.sourceLabels, ...own.sourceLabels },
    // Conflict otherwise, so the two agree.
    ignoreUriCase: own.ignoreUriCase === true,
  };
}

/** Without the values that mean "not set" in the resource's own encoding. */
function definedOf(match: HttpMatch): HttpMatch {
  const isSet = (value: unknown): boolean =>
    value !== 0 && value !== "" && !(Array.isArray(value) && value.length === 0);
  return Object.fromEntries(Object.entries(match).filter(([, value]) => isSet(value)));
}

function conflicts(root: HttpMatch, own: HttpMatch): boolean {
  return (
    stringsConflict(root.uri, own.uri) ||
    stringsConflict(root.scheme, own.scheme) ||
    stringsConflict(root.method, own.method) ||
    stringsConflict(root.authority, own.authority) ||
    mapsConflict(root.headers, own.headers) ||
    mapsConflict(root.withoutHeaders, own.withoutHeaders) ||
    mapsConflict(root.queryParams, own.queryParams) ||
    (root.ignoreUriCase === true) !== (own.ignoreUriCase === true) ||
    sourcesConflict(root, own)
  );
}

function sourcesConflict(root: HttpMatch, own: HttpMatch): boolean {
  if ((root.port ?? 0) > 0 && (own.port ?? 0) > 0 && root.port !== own.port) return true;
  if ((root.sourceNamespace ?? "") !== "" && root.sourceNamespace !== own.sourceNamespace) return true;
  for (const [key, value] of Object.entries(root.sourceLabels ?? {}))
    if ((own.sourceLabels?.[key] ?? value) !== value) return true;
  const { gateways: outer = [] } = root;
  const { gateways: inner = [] } = own;
  if (outer.length === 0) return false;
  // Istio counts before it compares, so one that is named twice is one too many.
  return outer.length < inner.length || inner.some((gateway) => !outer.includes(gateway));
}

function mapsConflict(
  root: Readonly<Record<string, StringMatch>> | undefined,
  own: Readonly<Record<string, StringMatch>> | undefined,
): boolean {
  return Object.entries(own ?? {}).some(([key, match]) => stringsConflict(root?.[key], match));
}

/** Whether `own` is not surely within `root`. A regular expression is within nothing, and nothing within it. */
function stringsConflict(root: StringMatch | undefined, own: StringMatch | undefined): boolean {
  if (root === undefined || own === undefined) return false;
  const { exact = "", prefix = "" } = root;
  if (exact !== "") return own.exact !== exact;
  return prefix === "" || !(own.exact ?? own.prefix ?? "").startsWith(prefix);
}
