/** Why the client's side decided as it did, in lines for a person. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { normalizePath } from "../normalize-path.ts";
import { type LocatedListener, sidecarOf } from "./compile-outbound.ts";
import { explainMissingCluster, explainUnknownHost } from "./explain-destination.ts";
import { explainNoServerName } from "./explain-server-name.ts";
import type { Opening } from "./filter-chains.ts";
import type { HttpTable } from "./http-table.ts";
import type { ProxyView } from "./proxy-view.ts";
import { authorityHost, RequestView } from "./request-view.ts";
import type {
  ClusterPlan,
  DialedDestination,
  OutboundDecision,
  OutboundHttpRequest,
  OutboundPolicy,
  OutboundTlsConnection,
  RouteRef,
} from "./types.ts";

export type OutboundQuestion =
  | ({ readonly protocol: "http" } & OutboundHttpRequest)
  | ({ readonly protocol: "tls" } & OutboundTlsConnection)
  | ({ readonly protocol: "tcp" } & DialedDestination);

/** One line for each step: listener, routes that did not take it and why, the one that did, cluster and TLS, or the refusal. */
export function explainOutbound(mesh: Mesh, workload: Workload, question: OutboundQuestion): string[] {
  const { view, policy, locate } = sidecarOf(mesh, workload);
  const located = locate(question);
  const decision = decideQuestion(policy, question);
  return [
    explainListener(view, located, question),
    ...(question.protocol === "http" ? explainRoutes(view, located, question) : []),
    ...explainDecision(view, decision, question),
  ];
}

function decideQuestion(policy: OutboundPolicy, question: OutboundQuestion): OutboundDecision {
  switch (question.protocol) {
    case "http":
      return policy.routeHttp(question);
    case "tls":
      return policy.routeTls(question);
    case "tcp":
      return policy.routeTcp(question);
  }
}

function explainListener(view: ProxyView, { listener }: LocatedListener, question: OutboundQuestion): string {
  const where = `${question.ip ?? question.host ?? "an unknown address"}:${question.port}`;
  const told =
    view.scope.sidecar === null
      ? "everything exported to its namespace"
      : `what ${view.scope.sidecar} imports`;
  if (listener === undefined)
    return `no listener of the client's sidecar takes ${where}; it is told of ${told}`;
  return `listener ${listener.name} (${listener.protocol}) takes ${where}; the sidecar is told of ${told}`;
}

function httpTableOf({ destination, matcher }: LocatedListener): HttpTable | undefined {
  const opening: Opening = { kind: "http" };
  const target = matcher?.find(destination.address, opening);
  return target?.kind === "http" ? target.table : undefined;
}

function explainRoutes(view: ProxyView, located: LocatedListener, request: OutboundHttpRequest): string[] {
  const table = httpTableOf(located);
  if (table === undefined)
    return ["the request is not read as HTTP there: it is forwarded as bytes, routes for HTTP do not count"];
  const path = normalizePath(view.index.mesh.config.pathNormalization, request.path);
  if (path === null) return [`the path \`${request.path}\` cannot be normalized`];
  const host = table.virtualHost(request.authority, view.namespace);
  if (host === undefined) return [`no virtual host takes the authority \`${request.authority}\``];
  const lines = [`virtual host ${host.name} takes the authority \`${request.authority}\``];
  const read = new RequestView(request, request.path, path);
  for (const route of host.routes) {
    const failed = route.clauses.find((clause) => !clause.holds(read));
    if (failed === undefined) return [...lines, `${nameRoute(route.by)} takes it`];
    lines.push(`${nameRoute(route.by)} does not: it wants ${failed.text()}`);
  }
  lines.push(
    ...explainDropped(
      view,
      host.routes.map((route) => route.by),
    ),
  );
  return [
    ...lines,
    "no route takes it, and nothing else is asked: one VirtualService has the host for itself",
  ];
}

/** Delegates that take no part in the VirtualServices concerned. */
function explainDropped(view: ProxyView, concerned: readonly RouteRef[]): string[] {
  const roots = new Set(concerned.map((by) => by.delegatedBy ?? by.resource));
  return view.index.virtualServices.all
    .filter((service) => roots.has(service.ref))
    .flatMap((service) =>
      service.dropped.map(({ route, why }) => `${service.ref} route ${route} takes no part: ${why}`),
    );
}

export function nameRoute({ resource, section, route, routeName, delegatedBy }: RouteRef): string {
  if (resource === null || section === "default") return "the service's default route";
  const name = routeName === undefined ? "" : ` (${routeName})`;
  const from = delegatedBy === undefined ? "" : `, delegated by ${delegatedBy}`;
  return `${resource} ${section} route ${route}${name}${from}`;
}

function explainDecision(view: ProxyView, decision: OutboundDecision, question: OutboundQuestion): string[] {
  if (decision.kind === "respond")
    return [`answered by the sidecar itself with ${decision.code} (${decision.reason})`];
  const named = namesOf(question);
  if (decision.kind === "forward") {
    if (decision.reason === "passthrough")
      return [
        ...explainUnknownHost(view, named, question.port),
        explainPolicy(view, "lets it pass, in clear as far as the sidecar goes"),
      ];
    return [
      ...(question.protocol === "http" && decision.http !== undefined
        ? []
        : [`${nameRoute(decision.by)} takes it`]),
      ...decision.targets.map(({ name, weight, cluster }) => {
        const share = decision.weighted ? ` (weight ${weight})` : "";
        return cluster === undefined
          ? `to ${name}${share}: no such cluster, such requests fail`
          : `to ${name}${share}, ${explainTls(cluster)}`;
      }),
    ];
  }
  switch (decision.reason) {
    case "blackhole":
      return [
        ...explainUnknown(view, named, question),
        explainPolicy(view, "refuses what is not registered"),
      ];
    case "no-cluster":
      return (decision.targets ?? []).flatMap((target) => explainMissingCluster(view, target.name));
    case "no-healthy-upstream":
      return [`${decision.cluster ?? "the route"} has no endpoint`];
    case "unknown":
      return [
        ...explainUnknownHost(view, named, question.port),
        explainPolicy(
          view,
          "has the Host of clear HTTP looked up anew, in TLS where the mesh says so: where it comes out is unknown, and Bulwark's own proxies refuse it",
        ),
      ];
    default:
      return ["refused: no route"];
  }
}

function explainUnknown(view: ProxyView, named: readonly string[], question: OutboundQuestion): string[] {
  const isNameless =
    question.protocol === "tcp" || (question.protocol === "tls" && question.sni === undefined);
  const nameless = isNameless ? explainNoServerName(view, question, question.protocol === "tls") : [];
  return nameless.length > 0 ? nameless : explainUnknownHost(view, named, question.port);
}

function namesOf(question: OutboundQuestion): readonly string[] {
  const said =
    question.protocol === "http"
      ? authorityHost(question.authority)
      : question.protocol === "tls"
        ? question.sni
        : undefined;
  return [...new Set([said, question.host].filter((name) => name !== undefined))];
}

function explainPolicy(view: ProxyView, effect: string): string {
  const { mode, by } = view.scope.outboundTraffic;
  return `outboundTrafficPolicy ${mode} (${by ?? "of the mesh"}) ${effect}`;
}

function explainTls({ tls, tlsSettings, destinationRules, endpoints }: ClusterPlan): string {
  const rules = destinationRules.length === 0 ? "" : ` (${destinationRules.join(", ")})`;
  const identities = tlsSettings?.sans === undefined ? "" : `, expecting ${tlsSettings.sans.join(" or ")}`;
  return `${endpoints.length} endpoint${endpoints.length === 1 ? "" : "s"}, TLS ${tls}${rules}${identities}`;
}
