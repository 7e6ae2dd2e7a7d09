import type { FlowDestination, FlowSource } from "../model/flow-record.ts";
import { nowRfc3339Nanos } from "../model/flow-record.ts";
import { plainTarget, withAuthority } from "../policy/outbound/targets.ts";
import type {
  ClusterPlan,
  CorsPlan,
  DialedDestination,
  ForwardDecision,
  HeaderOps,
  OutboundDecision,
  OutboundPolicy,
  OutboundTarget,
  RouteRef,
} from "../policy/outbound/types.ts";
import {
  type FieldLines,
  fieldLines,
  type HeadEdit,
  joinFieldLines,
  NO_FIELD_LINES,
} from "./codec/head-writer.ts";
import { explainRefusal } from "./explain-denial.ts";
import type { HttpAction, HttpService, MutableFlow, RequestView } from "./http-service.ts";
import type { EndpointPicker } from "./pick-endpoint.ts";
import { pickTarget } from "./pick-endpoint.ts";
import type { Snapshot } from "./proxy-environment.ts";
import { noteHeaders, protocolName } from "./request-headers.ts";
import { requestId } from "./request-ids.ts";
import { headerOf } from "./routed/call.ts";
import type { Mirror } from "./routed/mirror.ts";
import { retryRule } from "./routed/retry-rule.ts";
import type { RoutedPlan } from "./routed/routed-exchange.ts";

/** The client's side of a sidecar at present. */
export interface OutboundState {
  readonly policy: OutboundPolicy;
  readonly picker: EndpointPicker;
}

/** What every request of one outbound connection has in common. */
export interface OutboundPeer {
  readonly dialed: DialedDestination;
  readonly connectionId: string;
  readonly source: FlowSource;
  readonly reporter: string;
  readonly http2: boolean;
}

/** Headers of the client that end at its own proxy. */
const PROXY_FIELDS: ReadonlySet<string> = new Set(["proxy-authorization", "proxy-connection"]);

/** The client's sidecar: every request routed as Istio's client would, and the workload's own claims about itself taken off. */
export class OutboundService implements HttpService {
  readonly #peer: OutboundPeer;
  readonly #state: () => OutboundState;
  readonly #snapshot: () => Snapshot;

  /** @param snapshot whose mesh explains what is refused. */
  constructor(peer: OutboundPeer, state: () => OutboundState, snapshot: () => Snapshot) {
    this.#peer = peer;
    this.#state = state;
    this.#snapshot = snapshot;
  }

  decide(view: RequestView): HttpAction | Promise<HttpAction> {
    return this.decideFor(view, this.#peer.dialed);
  }

  /** @param dialed where this very request is to go: an explicit proxy is told anew with each. */
  decideFor(view: RequestView, dialed: DialedDestination): HttpAction | Promise<HttpAction> {
    const noted = noteHeaders(view.headers);
    const id = requestId(noted.traceparent, noted.requestId);
    const { policy, picker } = this.#state();
    const { method, path, authority, headers } = view;
    const request = { ...dialed, authority, method, path, headers, roll: Math.random() };
    const decision = policy.routeHttp(request);
    const flow = this.#flow(view, dialed);
    flow.protocol = protocolName(this.#peer.http2, noted.contentType, view.upgrade);
    flow.traceId = id.traceId;
    noteDecision(flow, decision);
    if (decision.kind === "refuse")
      flow.explanation =
        explainRefusal(this.#snapshot(), { protocol: "http", ...request }) ?? flow.explanation;
    if (decision.kind !== "forward") return answered(decision, flow);
    const remove = noted.forged === undefined ? PROXY_FIELDS : noted.forged.union(PROXY_FIELDS);
    return forwardHttp(
      decision,
      picker,
      { ...dialed, name: hostOf(authority) },
      { remove, lines: id.lines, http2: this.#peer.http2, origin: originFor(decision, headers) },
      flow,
    );
  }

  malformed(status: number, reason: string): MutableFlow {
    return {
      ...this.#flow(undefined, this.#peer.dialed),
      status,
      verdict: "deny",
      layer: "protocol",
      reason,
    };
  }

  #flow(view: RequestView | undefined, dialed: DialedDestination): MutableFlow {
    const { source, reporter, connectionId } = this.#peer;
    const host = view === undefined ? dialed.host : hostOf(view.authority);
    const destination: FlowDestination = { host, ip: dialed.ip, port: dialed.port };
    return {
      ...outboundFlow("request", source, destination, reporter, connectionId),
      method: view?.method,
      path: view?.target,
    };
  }
}

/** The record of something that leaves a workload, before it is decided. */
export function outboundFlow(
  kind: "request" | "connection",
  source: FlowSource,
  destination: FlowDestination,
  reporter: string,
  connectionId: string,
): MutableFlow {
  return {
    time: nowRfc3339Nanos(),
    kind,
    source,
    destination,
    reporter,
    direction: "outbound",
    protocol: "tcp",
    sni: undefined,
    method: undefined,
    path: undefined,
    status: undefined,
    verdict: "allow",
    layer: undefined,
    reason: undefined,
    policy: undefined,
    rule: undefined,
    bytesSent: undefined,
    bytesReceived: undefined,
    durationMs: undefined,
    traceId: undefined,
    connectionId,
    upstream: undefined,
  };
}

/** Writes into a record what was decided, and by which resource. */
export function noteDecision(flow: MutableFlow, decision: OutboundDecision): void {
  flow.layer = "client-route";
  flow.reason = decision.kind === "refuse" ? (decision.cause ?? decision.reason) : decision.reason;
  flow.policy = ruledBy(decision.by);
  flow.rule = decision.by.route;
  if (decision.kind === "refuse") {
    flow.verdict = "deny";
    flow.status = decision.code === 0 ? undefined : decision.code;
    flow.explanation = [refusalText(decision)];
  }
}

function ruledBy(by: RouteRef): string | null {
  return by.resource;
}

function refusalText(decision: OutboundDecision & { kind: "refuse" }): string {
  switch (decision.reason) {
    case "blackhole":
      return "nothing that this workload may see has this host on this port, and the outbound policy is REGISTRY_ONLY";
    case "no-route":
      return "the host is known, but no route of it matches this request";
    case "no-cluster":
      return `the route names a destination that does not exist (${decision.cluster ?? "?"})`;
    case "no-healthy-upstream":
      return `nothing serves the destination (${decision.cluster ?? "?"})`;
    case "unknown":
      return "nothing that this workload may see has this host, and the outbound policy ALLOW_ANY_DYNAMIC_DNS is not carried out for HTTP";
  }
}

/** What is answered here, without a server; an injected fault may want a wait before it. */
export function answered(
  decision: Exclude<OutboundDecision, { kind: "forward" }>,
  flow: MutableFlow,
): HttpAction | Promise<HttpAction> {
  const action = answer(decision, flow);
  const delayMs = decision.kind === "respond" ? (decision.delayMs ?? 0) : 0;
  if (delayMs === 0) return action;
  return new Promise((resolve) => setTimeout(() => resolve(action), delayMs));
}

function answer(decision: Exclude<OutboundDecision, { kind: "forward" }>, flow: MutableFlow): HttpAction {
  if (decision.kind === "refuse") {
    if (decision.code === 0) return { kind: "hang-up", flow };
    return { kind: "reply", status: decision.code, fields: NO_FIELD_LINES, body: "", flow };
  }
  flow.status = decision.code;
  const location =
    decision.location === undefined ? NO_FIELD_LINES : fieldLines("location", decision.location);
  const grpc =
    decision.grpcStatus === undefined
      ? NO_FIELD_LINES
      : fieldLines("grpc-status", String(decision.grpcStatus));
  const fields = joinFieldLines(
    location ?? NO_FIELD_LINES,
    grpc ?? NO_FIELD_LINES,
    changeLines(headerChange(decision.responseHeaders)),
  );
  return { kind: "reply", status: decision.code, fields, body: decision.body ?? "", flow };
}

/** What the proxy itself changes on every request, besides what the route asks for. */
export interface OwnEdit {
  readonly remove: ReadonlySet<string>;
  readonly lines: FieldLines;
  readonly http2: boolean;
  /** Of the request, where its route has a CORS policy. */
  readonly origin?: string | undefined;
}

/** The Origin header of a request that is decided by a route with a CORS policy; others are not looked through for it. */
export function originFor(decision: ForwardDecision, headers: readonly string[]): string | undefined {
  return decision.http?.cors === undefined ? undefined : headerOf(headers, "origin");
}

/** A request that routing lets pass, as the HTTP engine takes it. Shared by sidecars and gateways. */
export function forwardHttp(
  decision: ForwardDecision,
  picker: EndpointPicker,
  asked: DialedDestination & { readonly name: string | undefined },
  own: OwnEdit,
  flow: MutableFlow,
): HttpAction {
  const target = pickTarget(decision.targets, Math.random());
  if (target !== undefined && target.cluster === undefined) return noCluster(decision, target, flow);
  const spoken = own.http2 ? "http2" : "http1";
  const wire = target?.cluster === undefined ? spoken : wireProtocol(target.cluster, spoken);
  const change = headerChange(target?.requestHeaders, decision.http?.requestHeaders);
  const original = fieldLines(
    ...(decision.originalPath === undefined ? [] : ["x-envoy-original-path", decision.originalPath]),
    ...(decision.originalAuthority === undefined
      ? []
      : ["x-envoy-original-host", decision.originalAuthority]),
  );
  const { delayMs } = decision;
  const next =
    target === undefined ? picker.direct(decision, asked, wire) : picker.next(decision, target, asked, wire);
  const authority = decision.authority ?? target?.authority;
  return {
    kind: "forward",
    leave: decision,
    edit: {
      remove: change === undefined ? own.remove : change.remove.union(own.remove),
      add: joinFieldLines(own.lines, original ?? NO_FIELD_LINES, changeLines(change)),
      ...(decision.path === undefined ? {} : { path: decision.path }),
      ...(authority === undefined ? {} : { authority }),
    },
    responseEdit: withCors(responseEdit(decision, target), decision.http?.cors, own.origin),
    next: delayMs === undefined ? triedAsOften(next, decision) : afterDelay(delayMs, next),
    timeoutMs: decision.http?.timeoutMs ?? 0,
    flow,
    ...routedPlan(decision, picker, asked, wire !== spoken),
  };
}

/** Gateways and sidecars speak to a server what its port says, whatever the client speaks to them. */
function wireProtocol({ upstreamProtocol, followsClientProtocol }: ClusterPlan, spoken: "http1" | "http2") {
  if (upstreamProtocol === "http2") return "http2";
  return followsClientProtocol ? spoken : "http1";
}

const RELAYED = {};

function routedPlan(
  decision: ForwardDecision,
  picker: EndpointPicker,
  asked: DialedDestination & { readonly name: string | undefined },
  bridged: boolean,
): { readonly routed?: RoutedPlan } {
  const { http } = decision;
  const ownRetries = http !== undefined && http.retries.isDefault !== true && http.retries.attempts > 0;
  if (!bridged && !ownRetries && (http === undefined || http.mirrors.length === 0)) return RELAYED;
  const mirrors = (http?.mirrors ?? []).flatMap(({ name, cluster, percent }): Mirror[] => {
    if (cluster === undefined || Math.random() * 100 >= percent) return [];
    const copied = withAuthority(plainTarget(name, cluster), decision.authority ?? asked.name ?? "");
    return [{ name, next: picker.next(decision, copied, asked, wireProtocol(cluster, "http1")) }];
  });
  if (!bridged && !ownRetries && mirrors.length === 0) return RELAYED;
  return {
    routed: { bridged, retries: ownRetries ? retryRule(http.retries) : undefined, mirrors },
  };
}

/** Of several choices the one that the roll fell on leads nowhere. */
function noCluster({ http }: ForwardDecision, { name }: OutboundTarget, flow: MutableFlow): HttpAction {
  flow.verdict = "deny";
  flow.reason = "no-cluster";
  flow.explanation = [`the route names a destination that does not exist (${name})`];
  flow.status = http?.noClusterCode ?? 503;
  return { kind: "reply", status: flow.status, fields: NO_FIELD_LINES, body: "", flow };
}

type Next = ReturnType<EndpointPicker["next"]>;

/** A route that wants no retries gets none, connecting included. */
function triedAsOften(next: Next, { http }: ForwardDecision): Next {
  if (http === undefined || http.retries.attempts > 0) return next;
  return (attempt) => (attempt > 0 ? undefined : next(0));
}

function afterDelay(delayMs: number, next: Next): Next {
  return async (attempt) => {
    if (attempt === 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    return next(attempt);
  };
}

function responseEdit(decision: ForwardDecision, target: OutboundTarget | undefined): HeadEdit | undefined {
  const change = headerChange(target?.responseHeaders, decision.http?.responseHeaders);
  return change === undefined ? undefined : { remove: change.remove, add: changeLines(change) };
}

const CORS_HEADERS = [
  "access-control-allow-origin",
  "access-control-allow-credentials",
  "access-control-expose-headers",
] as const;

/** To an origin that the route allows the answer says so, whatever the server says of it. */
function withCors(
  edit: HeadEdit | undefined,
  cors: CorsPlan | undefined,
  origin: string | undefined,
): HeadEdit | undefined {
  if (cors === undefined || origin === undefined || !cors.allowsOrigin(origin)) return edit;
  const lines = fieldLines(
    "access-control-allow-origin",
    origin,
    ...(cors.allowCredentials === true ? ["access-control-allow-credentials", "true"] : []),
    ...(cors.exposeHeaders === "" ? [] : ["access-control-expose-headers", cors.exposeHeaders]),
  );
  return {
    remove: new Set([...(edit?.remove ?? []), ...CORS_HEADERS]),
    add: joinFieldLines(edit?.add ?? NO_FIELD_LINES, lines ?? NO_FIELD_LINES),
  };
}

/** What several sets of operations, applied one after the other, come to. */
interface HeaderChange {
  /** Of the headers as received. */
  readonly remove: Set<string>;
  readonly add: readonly (readonly [name: string, value: string])[];
}

/** Undefined when there is nothing to change. The first given is applied first. */
function headerChange(...sets: readonly (HeaderOps | undefined)[]): HeaderChange | undefined {
  const remove = new Set<string>();
  let add: (readonly [string, string])[] = [];
  for (const ops of sets) {
    if (ops === undefined) continue;
    const gone = new Set([...ops.remove, ...ops.set.map(([name]) => name)]);
    for (const name of gone) remove.add(name);
    add = [...add.filter(([name]) => !gone.has(name)), ...ops.set, ...ops.add];
  }
  return remove.size === 0 && add.length === 0 ? undefined : { remove, add };
}

function changeLines(change: HeaderChange | undefined): FieldLines {
  if (change === undefined) return NO_FIELD_LINES;
  return fieldLines(...change.add.flat()) ?? NO_FIELD_LINES;
}

/** A Host header without its port, in lower case. */
export function hostOf(authority: string): string {
  const name = authority.startsWith("[")
    ? authority.slice(1, authority.indexOf("]"))
    : authority.replace(/:\d*$/, "");
  return name.toLowerCase();
}
