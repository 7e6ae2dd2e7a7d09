/** What a rule of a route does, in a VirtualService's terms. */
import type { Resource } from "../../resources/resource.ts";
import { CLUSTER_DOMAIN } from "../outbound/host-name.ts";
import type {
  CorsPolicy,
  Destination,
  HeaderOperations,
  Headers,
  HttpRedirect,
  HttpRewrite,
  HttpRoute,
  RouteDestination,
} from "../outbound/resource-shapes.ts";
import type { MayRefer } from "./reference-grants.ts";
import type { BackendReference, HeaderFilter, PathModifier, RouteFilter, RouteRule } from "./shapes.ts";

/** What routes' conversion asks of its surroundings. */
export interface RuleContext {
  readonly route: Resource;
  readonly mayRefer: MayRefer;
  /** Of this rule. */
  readonly report: (path: readonly (string | number)[], why: string) => void;
}

/** Stands for a backend that there is not, or that may not be used: nothing has this name. */
const NOWHERE: Destination = { host: "" };

/** Everything of a rule but its conditions. A filter that is not understood makes it answer 500: what it asked for is not left out. */
export function actionsOf(rule: RouteRule, context: RuleContext): HttpRoute {
  const filters = rule.filters ?? [];
  const broken = filters.find((filter) => !isKnown(filter));
  if (broken !== undefined) {
    context.report(
      ["filters", filters.indexOf(broken)],
      `filter \`${broken.type}\` is not known: its requests get 500`,
    );
    return BROKEN;
  }
  const redirect = filters.find(({ requestRedirect }) => requestRedirect !== undefined)?.requestRedirect;
  const rewrite = rewriteOf(filters);
  const cors = corsOf(filters);
  const headers = headersOf(filters);
  const common: HttpRoute = {
    ...(headers === undefined ? {} : { headers }),
    ...(cors === undefined ? {} : { corsPolicy: cors }),
  };
  if (redirect !== undefined) return { ...common, redirect: redirectOf(redirect) };
  const route = destinationsOf(rule.backendRefs ?? [], context);
  if (!route.some(({ weight = 0 }) => weight > 0)) return BROKEN;
  return {
    ...common,
    route,
    ...(rewrite === undefined ? {} : { rewrite }),
    mirrors: mirrorsOf(filters, context),
    ...timesOf(rule),
  };
}

/** As for a route without anywhere to go. */
const BROKEN: HttpRoute = Object.freeze({ directResponse: { status: 500 } });

const FILTERS: Readonly<Record<string, keyof RouteFilter>> = {
  RequestHeaderModifier: "requestHeaderModifier",
  ResponseHeaderModifier: "responseHeaderModifier",
  RequestMirror: "requestMirror",
  RequestRedirect: "requestRedirect",
  URLRewrite: "urlRewrite",
  CORS: "cors",
};

function isKnown(filter: RouteFilter): boolean {
  const field = FILTERS[filter.type];
  return field !== undefined && filter[field] !== undefined;
}

const CONNECTION_FAILURES = ["connect-failure", "refused-stream", "unavailable", "cancelled"];

function timesOf({ timeouts, retry }: RouteRule): HttpRoute {
  const { request, backendRequest } = timeouts ?? {};
  if (retry === undefined) {
    const timeout = isTime(backendRequest) ? backendRequest : request;
    return isTime(timeout) ? { timeout } : {};
  }
  const codes = retry.codes ?? [];
  return {
    ...(isTime(request) ? { timeout: request } : {}),
    retries: {
      attempts: retry.attempts ?? 2,
      retryOn: [...CONNECTION_FAILURES, ...codes].join(","),
      ...(isTime(backendRequest) ? { perTryTimeout: backendRequest } : {}),
    },
  };
}

/** `0s` means without limit. */
function isTime(text: string | undefined): text is string {
  return text !== undefined && /[1-9]/.test(text);
}

function destinationsOf(
  references: readonly BackendReference[],
  context: RuleContext,
): readonly RouteDestination[] {
  return references.map((reference, index) => {
    const headers = headersOf(reference.filters ?? []);
    return {
      destination: destinationOf(reference, context, ["backendRefs", index]),
      weight: reference.weight ?? 1,
      ...(headers === undefined ? {} : { headers }),
    };
  });
}

export function destinationOf(
  reference: BackendReference,
  { route, mayRefer, report }: RuleContext,
  at: readonly (string | number)[],
): Destination {
  const { group = "", kind = "Service", namespace = route.namespace, name, port } = reference;
  const refuse = (why: string): Destination => {
    report(at, why);
    return NOWHERE;
  };
  if (!mayRefer(route, { group, kind, namespace, name }))
    return refuse(`no ReferenceGrant in namespace ${namespace} lets it use ${kind} \`${namespace}/${name}\``);
  const where = port === undefined ? {} : { port: { number: port } };
  if (group === "networking.istio.io" && kind === "Hostname") return { host: name, ...where };
  if (group !== "" || kind !== "Service") return refuse(`backends of kind \`${kind}\` are not known`);
  if (port === undefined) return refuse(`Service \`${name}\` needs a port`);
  return { host: `${name}.${namespace}.svc.${CLUSTER_DOMAIN}`, ...where };
}

function headersOf(filters: readonly RouteFilter[]): Headers | undefined {
  const request = filters.find((filter) => filter.requestHeaderModifier !== undefined)?.requestHeaderModifier;
  const response = filters.find(
    (filter) => filter.responseHeaderModifier !== undefined,
  )?.responseHeaderModifier;
  if (request === undefined && response === undefined) return undefined;
  return {
    ...(request === undefined ? {} : { request: operationsOf(request) }),
    ...(response === undefined ? {} : { response: operationsOf(response) }),
  };
}

function operationsOf({ set = [], add = [], remove = [] }: HeaderFilter): HeaderOperations {
  return { set: firstByName(set), add: firstByName(add), remove };
}

/** Of several entries of one name, whatever its case, the first counts. */
function firstByName(entries: NonNullable<HeaderFilter["set"]>): Readonly<Record<string, string>> {
  return Object.fromEntries(entries.map(({ name, value }) => [name.toLowerCase(), value]).reverse());
}

function redirectOf(redirect: NonNullable<RouteFilter["requestRedirect"]>): HttpRedirect {
  const { scheme, hostname, path, port, statusCode = 302 } = redirect;
  return {
    redirectCode: statusCode,
    ...(scheme === undefined ? {} : { scheme }),
    ...(hostname === undefined ? {} : { authority: hostname }),
    ...(port === undefined ? portFrom(scheme) : { port }),
    ...(path === undefined ? {} : redirectedPath(path)),
  };
}

/** A new scheme has its own port; else the request's stays. */
function portFrom(scheme: string | undefined): HttpRedirect {
  return { derivePort: scheme === undefined ? "FROM_REQUEST_PORT" : "FROM_PROTOCOL_DEFAULT" };
}

function redirectedPath({
  type,
  replaceFullPath = "/",
  replacePrefixMatch = "",
}: PathModifier): HttpRedirect {
  return type === "ReplacePrefixMatch"
    ? { prefixRewrite: replacePrefixMatch === "" ? "/" : replacePrefixMatch }
    : { uri: replaceFullPath };
}

function rewriteOf(filters: readonly RouteFilter[]): HttpRewrite | undefined {
  const rewrite = filters.find(({ urlRewrite }) => urlRewrite !== undefined)?.urlRewrite;
  if (rewrite === undefined) return undefined;
  const { hostname, path } = rewrite;
  return {
    ...(hostname === undefined ? {} : { authority: hostname }),
    ...(path === undefined ? {} : rewrittenPath(path)),
  };
}

function rewrittenPath({ type, replaceFullPath = "", replacePrefixMatch = "" }: PathModifier): HttpRewrite {
  return type === "ReplacePrefixMatch"
    ? { uri: replacePrefixMatch === "" ? "/" : replacePrefixMatch }
    : { wholePath: replaceFullPath === "" ? "/" : replaceFullPath };
}

function mirrorsOf(filters: readonly RouteFilter[], context: RuleContext): NonNullable<HttpRoute["mirrors"]> {
  return filters.flatMap(({ requestMirror }, index) => {
    if (requestMirror?.backendRef === undefined) return [];
    const destination = destinationOf(requestMirror.backendRef, context, ["filters", index, "requestMirror"]);
    return destination === NOWHERE ? [] : [{ destination, percentage: { value: shareOf(requestMirror) } }];
  });
}

/** Per cent. */
function shareOf({ percent, fraction }: NonNullable<RouteFilter["requestMirror"]>): number {
  if (percent !== undefined) return percent;
  return fraction === undefined ? 100 : (100 * (fraction.numerator ?? 0)) / (fraction.denominator ?? 100);
}

function corsOf(filters: readonly RouteFilter[]): CorsPolicy | undefined {
  const cors = filters.find((filter) => filter.cors !== undefined)?.cors;
  if (cors === undefined) return undefined;
  const { allowOrigins = [], allowMethods = [], allowHeaders = [], exposeHeaders = [], maxAge } = cors;
  return {
    allowOrigins: allowOrigins.map(originMatch),
    allowMethods,
    allowHeaders,
    exposeHeaders,
    allowCredentials: cors.allowCredentials === true,
    maxAge: `${maxAge ?? 5}s`,
    unmatchedPreflights: "IGNORE",
  };
}

function originMatch(origin: string): { readonly exact: string } | { readonly regex: string } {
  if (!origin.includes("*")) return { exact: origin };
  const parts = origin.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return { regex: parts.join(".*") };
}
