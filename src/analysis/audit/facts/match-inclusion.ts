/** Whether every request that one HTTP match takes is taken by another: true only where that is certain. */
import type { HttpMatch, StringMatch } from "../../../policy/outbound/resource-shapes.ts";

type Texts = Readonly<Record<string, StringMatch>>;

export function isSameMatch(a: HttpMatch, b: HttpMatch): boolean {
  return (
    JSON.stringify(sorted({ ...a, name: undefined })) === JSON.stringify(sorted({ ...b, name: undefined }))
  );
}

function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

export function isMatchWithin(inner: HttpMatch, outer: HttpMatch): boolean {
  return (
    isUriWithin(inner, outer) &&
    isTextWithin(inner.scheme, outer.scheme) &&
    isTextWithin(inner.method, outer.method) &&
    isTextWithin(inner.authority, outer.authority) &&
    areTextsWithin(inner.headers, outer.headers) &&
    areTextsWithin(inner.queryParams, outer.queryParams) &&
    areLacksWithin(inner.withoutHeaders, outer.withoutHeaders) &&
    isSourceWithin(inner, outer)
  );
}

function isUriWithin(inner: HttpMatch, outer: HttpMatch): boolean {
  if (outer.ignoreUriCase === true && outer.uri?.regex === undefined)
    return isTextWithin(folded(inner.uri), folded(outer.uri));
  return outer.uri === undefined || (inner.ignoreUriCase !== true && isTextWithin(inner.uri, outer.uri));
}

function folded(uri: StringMatch | undefined): StringMatch | undefined {
  if (uri?.exact !== undefined) return { exact: uri.exact.toLowerCase() };
  return uri?.prefix === undefined ? uri : { prefix: uri.prefix.toLowerCase() };
}

function isTextWithin(inner: StringMatch | undefined, outer: StringMatch | undefined): boolean {
  if (outer === undefined) return true;
  if (outer.regex !== undefined) return inner?.regex === outer.regex;
  if (outer.prefix !== undefined) {
    const beginning = inner?.exact ?? inner?.prefix;
    return beginning?.startsWith(outer.prefix) === true;
  }
  // Neither: that it is there is enough.
  return outer.exact === undefined ? inner !== undefined : inner?.exact === outer.exact;
}

function areTextsWithin(inner: Texts = {}, outer: Texts = {}): boolean {
  return Object.entries(outer).every(
    ([name, text]) => inner[name] !== undefined && isTextWithin(inner[name], text),
  );
}

function areLacksWithin(inner: Texts = {}, outer: Texts = {}): boolean {
  return Object.entries(outer).every(([name, text]) => JSON.stringify(inner[name]) === JSON.stringify(text));
}

function isSourceWithin(inner: HttpMatch, outer: HttpMatch): boolean {
  const labels = Object.entries(outer.sourceLabels ?? {});
  const gateways = outer.gateways ?? [];
  return (
    (outer.port === undefined || outer.port === inner.port) &&
    (outer.sourceNamespace === undefined || outer.sourceNamespace === inner.sourceNamespace) &&
    labels.every(([key, value]) => inner.sourceLabels?.[key] === value) &&
    (gateways.length === 0 ||
      ((inner.gateways?.length ?? 0) > 0 && inner.gateways?.every((own) => gateways.includes(own)) === true))
  );
}
