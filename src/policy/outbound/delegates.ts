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
  const gateways = own.gateways === undefined || own.gateways.length === 0 ? root.gateways : own.gateways;
  return {
    ...root,
    ...definedOf(own),
    ...(name === undefined ? {} : { name }),
    ...(gateways === undefined ? {} : { gateways }),
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
  const entries = Object.entries(match).filter(
    ([, value]) => value !== undefined && value !== 0 && value !== "",
  );
  return Object.fromEntries(entries);
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
  for (const [key, value] of Object.entries(own.sourceLabels ?? {})) {
    const outer = root.sourceLabels?.[key];
    if (outer !== undefined && outer !== value) return true;
  }
  const outer = root.gateways ?? [];
  const inner = own.gateways ?? [];
  if (outer.length === 0 || inner.length === 0) return false;
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
  const exact = root.exact ?? "";
  const prefix = root.prefix ?? "";
  const ownExact = own.exact ?? "";
  const ownPrefix = own.prefix ?? "";
  const ownRegex = own.regex ?? "";
  if ((root.regex ?? "") !== "" && (ownRegex !== "" || ownPrefix !== "" || ownExact !== "")) return true;
  if (ownRegex !== "" && (prefix !== "" || exact !== "")) return true;
  if (exact !== "") return ownPrefix !== "" || ownExact !== exact;
  if (prefix === "") return true;
  if (ownPrefix !== "") return !ownPrefix.startsWith(prefix);
  return ownExact === "" || !ownExact.startsWith(prefix);
}
