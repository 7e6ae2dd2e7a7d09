/** HTTP routes compiled: which requests each takes and what becomes of them. */
import { durationMs } from "../../model/mesh-config.ts";
import { compileCors } from "./cors.ts";
import { compileFault } from "./fault.ts";
import { forwardHttp, type HttpForward } from "./forward-http.ts";
import { compileHeaders, joinHeaderOps, NO_HEADER_OPS, type RouteHeaders } from "./header-ops.ts";
import { clusterName } from "./host-name.ts";
import {
  compileClauses,
  concernsClient,
  conjunction,
  isCatchAll,
  type MatchClause,
  type RequestPredicate,
  type RouteClient,
} from "./http-match.ts";
import type { RegistryService } from "./registry.ts";
import type { Destination, HttpMatch, HttpRetry, HttpRoute, RouteDestination } from "./resource-shapes.ts";
import { respondDirectly, respondRedirect } from "./respond.ts";
import { compilePathRewrite, compileRedirect } from "./rewrite.ts";
import type { RouteAction } from "./route-action.ts";
import { plainTarget } from "./targets.ts";
import type { ClusterPlan, HttpRoutePlan, MirrorPlan, OutboundTarget, RetryPlan, RouteRef } from "./types.ts";
import type { VirtualService, WrittenHttpRoute } from "./virtual-services.ts";

export interface CompiledRoute {
  readonly by: RouteRef;
  readonly takes: RequestPredicate;
  /** What `takes` is made of. */
  readonly clauses: readonly MatchClause[];
  readonly catchesAll: boolean;
  readonly decide: RouteAction;
}

/** What a route's destinations are looked up in. */
export interface RouteContext extends RouteClient {
  readonly isTls: boolean;
  readonly defaultRetries: HttpRetry | undefined;
  service(host: string): RegistryService | undefined;
  cluster(host: string, port: number, subset: string): ClusterPlan | undefined;
}

/**
 * The routes of a VirtualService that concern a client on a port, in order; one that takes everything ends the list.
 * Empty where none concerns it: then the VirtualService counts as absent there.
 */
export function compileRoutes(service: VirtualService, context: RouteContext): readonly CompiledRoute[] {
  const routes: CompiledRoute[] = [];
  for (const written of service.http) {
    const { match: conditions = [] } = written.route;
    for (const match of conditions.length === 0 ? [undefined] : conditions) {
      if (match !== undefined && !concernsClient(match, context)) continue;
      const route = compileRoute(written, match, context);
      routes.push(route);
      if (route.catchesAll) return routes;
    }
  }
  return routes;
}

/** The route of a service that no VirtualService takes. */
export function compileDefaultRoute(
  cluster: string,
  plan: ClusterPlan | undefined,
  retries: HttpRetry | undefined,
): CompiledRoute {
  const by: RouteRef = { resource: null, section: "default", route: null };
  const http: HttpRoutePlan = {
    requestHeaders: NO_HEADER_OPS,
    responseHeaders: NO_HEADER_OPS,
    retries: compileRetries(undefined, retries),
    mirrors: [],
  };
  const forward: HttpForward = { by, http, targets: [plainTarget(cluster, plan)], weighted: false };
  return { by, takes: () => true, clauses: [], catchesAll: true, decide: forwardHttp(forward) };
}

function compileRoute(
  { route, by }: WrittenHttpRoute,
  match: HttpMatch | undefined,
  context: RouteContext,
): CompiledRoute {
  const clauses = match === undefined ? [] : compileClauses(match, context.isTls ? "https" : "http");
  return {
    by,
    takes: conjunction(clauses),
    clauses,
    catchesAll: isCatchAll(match),
    decide: compileFault(route.fault, compileAction(route, by, match, context)),
  };
}

function compileAction(
  route: HttpRoute,
  by: RouteRef,
  match: HttpMatch | undefined,
  context: RouteContext,
): RouteAction {
  const headers = compileHeaders(route.headers);
  if (route.redirect !== undefined) {
    const redirect = compileRedirect(route.redirect, match, context.listenPort, context.isTls);
    return respondRedirect(by, redirect, headers.response);
  }
  if (route.directResponse !== undefined) return respondDirectly(by, route.directResponse, headers.response);
  return forwardHttp(compileForward(route, by, match, headers, context));
}

function compileForward(
  route: HttpRoute,
  by: RouteRef,
  match: HttpMatch | undefined,
  headers: RouteHeaders,
  context: RouteContext,
): HttpForward {
  const destinations = route.route ?? [];
  const only = destinations.length === 1 ? destinations[0] : undefined;
  const own = compileHeaders(only?.headers);
  const rewritePath = compilePathRewrite(route.rewrite, match);
  const authority = nonEmpty(route.rewrite?.authority) ?? headers.authority ?? own.authority;
  const timeoutMs = durationMs(route.timeout);
  const targets =
    only === undefined
      ? destinations.filter(({ weight = 0 }) => weight > 0).map((choice) => weightedTarget(choice, context))
      : [targetOf(only.destination, context)];
  return {
    by,
    http: {
      requestHeaders: joinHeaderOps(headers.request, own.request),
      responseHeaders: joinHeaderOps(headers.response, own.response),
      ...(timeoutMs === undefined || timeoutMs === 0 ? {} : { timeoutMs }),
      ...(route.origin === undefined ? {} : { noClusterCode: 500 }),
      retries: compileRetries(route.retries, context.defaultRetries),
      mirrors: compileMirrors(route, context),
      ...(route.corsPolicy === undefined ? {} : { cors: compileCors(route.corsPolicy) }),
    },
    targets,
    weighted: targets.length > 1,
    ...(rewritePath === undefined ? {} : { rewritePath }),
    ...(authority === undefined ? {} : { authority }),
  };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function weightedTarget(choice: RouteDestination, context: RouteContext): OutboundTarget {
  const headers = compileHeaders(choice.headers);
  return {
    ...targetOf(choice.destination, context, choice.weight ?? 0),
    requestHeaders: headers.request,
    responseHeaders: headers.response,
    ...(headers.authority === undefined ? {} : { authority: headers.authority }),
  };
}

function targetOf(destination: Destination | undefined, context: RouteContext, weight = 1): OutboundTarget {
  if (destination === undefined || destination.host === "")
    return plainTarget("UnknownService", undefined, weight);
  const { host, port, subset } = resolveTarget(destination, context);
  return plainTarget(clusterName(port, subset, host), context.cluster(host, port, subset), weight);
}

/** An alias leads to what it is an alias of. Without a port: the service's only one, else the one being listened on. */
export function resolveTarget(
  destination: Destination,
  context: Pick<RouteContext, "service" | "listenPort">,
): { readonly host: string; readonly port: number; readonly subset: string } {
  const service = context.service(destination.host.toLowerCase());
  const only = service?.ports.length === 1 ? service.ports[0]?.port : undefined;
  return {
    host: service?.externalName ?? destination.host.toLowerCase(),
    port: destination.port?.number ?? only ?? context.listenPort,
    subset: destination.subset ?? "",
  };
}

const DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
const DEFAULT_RETRIES: RetryPlan = Object.freeze({
  isDefault: true,
  attempts: 2,
  retryOn: DEFAULT_RETRY_ON,
});

function compileRetries(own: HttpRetry | undefined, meshDefault: HttpRetry | undefined): RetryPlan {
  const policy = own ?? meshDefault;
  if (policy === undefined) return DEFAULT_RETRIES;
  const attempts = policy.attempts ?? 0;
  if (attempts <= 0) return { attempts: 0, retryOn: "" };
  const perTryTimeoutMs = durationMs(policy.perTryTimeout);
  return {
    attempts,
    ...(perTryTimeoutMs === undefined ? {} : { perTryTimeoutMs }),
    retryOn: nonEmpty(policy.retryOn) ?? DEFAULT_RETRY_ON,
  };
}

function compileMirrors(route: HttpRoute, context: RouteContext): MirrorPlan[] {
  const mirrors: MirrorPlan[] = [];
  const add = (destination: Destination | undefined, percent: number): void => {
    if (destination === undefined || percent <= 0) return;
    const { name, cluster } = targetOf(destination, context);
    mirrors.push({ name, ...(cluster === undefined ? {} : { cluster }), percent });
  };
  const own = route.mirrorPercentage;
  add(route.mirror, own === undefined ? (route.mirrorPercent ?? 100) : (own.value ?? 0));
  for (const { destination, percentage } of route.mirrors ?? [])
    add(destination, percentage === undefined ? 100 : (percentage.value ?? 0));
  return mirrors;
}
