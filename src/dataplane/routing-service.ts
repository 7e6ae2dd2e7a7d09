import type { FlowDestination, FlowSource, FlowTls } from "../model/flow-record.ts";
import type { Connection } from "../policy/connection.ts";
import { HttpRequest, requestRefusal } from "../policy/http-request.ts";
import { decideConnection, type InboundPolicy, requiredAuthorizer } from "../policy/inbound.ts";
import { type JwtEnvironment, verifyRequestJwt } from "../policy/jwt/verify-jwt.ts";
import type { OutboundDecision } from "../policy/outbound/types.ts";
import { authorizeRequest, type Permit } from "../policy/permit.ts";
import type { Verdict } from "../policy/verdict.ts";
import { type FieldLines, joinFieldLines, NO_FIELD_LINES } from "./codec/head-writer.ts";
import { explainDenial } from "./explain-denial.ts";
import { askAboutRequest, type Passed } from "./ext-authz/ask-request.ts";
import { askedPeers } from "./ext-authz/authorize-asked.ts";
import type { AuthorizerClient } from "./ext-authz/authorizer-client.ts";
import { headersAfter, joinEdits, type LineEdit } from "./ext-authz/edit-lines.ts";
import { withToldHeaders } from "./ext-authz/told-answer.ts";
import type { BodySource, HttpAction, HttpService, MutableFlow, RequestView } from "./http-service.ts";
import { DENIAL_BODIES } from "./inbound-service.ts";
import { answered, forwardHttp, hostOf, noteDecision, originFor, outboundFlow } from "./outbound-service.ts";
import type { EndpointPicker } from "./pick-endpoint.ts";
import { connectionRefusal, type Revocation, revokedRequest, routeGone } from "./recheck.ts";
import { type NotedHeaders, noteHeaders, protocolName } from "./request-headers.ts";
import { requestId } from "./request-ids.ts";
import { shadowOf } from "./shadow-verdicts.ts";
import { claimLines, headersAfterToken, withTokenHeaders } from "./token-headers.ts";

/** What every request of one connection, at a proxy that routes what it authorizes, has in common. */
export interface RoutingPeer {
  readonly connection: Connection;
  readonly connectionId: string;
  readonly source: FlowSource;
  /** For records: each request's own host takes the place of its host. */
  readonly destination: FlowDestination & { readonly port: number };
  readonly reporter: string;
  readonly tls: FlowTls | undefined;
  readonly http2: boolean;
  readonly sni: string | undefined;
}

/** Who may pass, and where it goes. INVARIANT: of one snapshot, which decides a request to its end. */
export interface RoutingFront {
  readonly policy: InboundPolicy;
  readonly authorizers: AuthorizerClient;
  /** What the proxy itself takes off every request and puts in place, besides the request's id. */
  ownEdit(view: RequestView, noted: NotedHeaders): LineEdit;
  /** Where a request goes that has leave. */
  send(request: PermittedRequest): HttpAction | Promise<HttpAction>;
}

/** A request that may pass, as routes see it and as it is to go on. */
export interface PermittedRequest {
  readonly leave: Permit;
  readonly view: RequestView;
  readonly method: string;
  /** Normalized, without what a token asks to be taken off. */
  readonly path: string;
  readonly authority: string;
  /** Those that routes match. */
  readonly headers: readonly string[];
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly own: { readonly remove: ReadonlySet<string>; readonly add: FieldLines };
  readonly http2: boolean;
  readonly flow: MutableFlow;
}

/** A request that could be read, and what has been made of it so far. */
interface JudgedRequest {
  readonly front: RoutingFront;
  readonly view: RequestView;
  readonly request: HttpRequest;
  /** The proxy's own. */
  readonly edit: LineEdit;
  readonly flow: MutableFlow;
  /** What an authorizer made of it, where one was asked. */
  readonly passed?: Passed;
}

/** HTTP at a proxy between client and server: authorized as at any server, then routed. */
export class RoutingService implements HttpService {
  readonly #peer: RoutingPeer;
  readonly #front: () => RoutingFront | undefined;
  readonly #jwt: JwtEnvironment;
  readonly #perRequest: boolean;

  /** @param front the present one; undefined once the proxy serves nothing there any more. */
  constructor(peer: RoutingPeer, front: () => RoutingFront | undefined, jwt: JwtEnvironment) {
    this.#peer = peer;
    const present = front();
    this.#perRequest =
      present === undefined || decideConnection(present.policy, peer.connection).cause === "per-request";
    this.#front = front;
    this.#jwt = jwt;
  }

  decide(view: RequestView, body: BodySource): HttpAction | Promise<HttpAction> {
    const front = this.#front();
    const noted = noteHeaders(view.headers);
    const id = requestId(noted.traceparent, noted.requestId);
    const flow = this.#flow(view, noted, id.traceId);
    if (front === undefined) return refuseWith(flow, 404, routeGone("not-served"));
    const { policy } = front;
    const request = HttpRequest.read(
      policy.pathNormalization,
      view.method,
      view.target,
      view.authority,
      view.headers,
      this.#peer.http2 ? 2 : 1,
    );
    if (request === null) return refuse(flow, requestRefusal(view.method, view.target));
    const own = front.ownEdit(view, noted);
    const edit = { ...own, add: joinFieldLines(id.lines, own.add) };
    const judged: JudgedRequest = { front, view, request, edit, flow };
    return policy.http.custom === null ? this.#authenticate(judged) : this.#askFirst(judged, body);
  }

  #authenticate(judged: JudgedRequest): HttpAction | Promise<HttpAction> {
    const { jwt: policy } = judged.front.policy;
    if (policy === null) return this.#authorize(judged);
    return verifyRequestJwt(policy, judged.request, this.#jwt).then((jwt) => {
      judged.request.jwt = jwt;
      return this.#authorize(judged);
    });
  }

  async #askFirst(judged: JudgedRequest, body: BodySource): Promise<HttpAction> {
    const { front, view, request, edit, flow } = judged;
    const { policy } = front;
    const { connection, source, tls, http2 } = this.#peer;
    const demand = requiredAuthorizer(policy, connection, request);
    if (demand === null) return this.#authenticate(judged);
    const passed = await askAboutRequest({
      client: front.authorizers,
      demand,
      policy,
      connection,
      request,
      view,
      body,
      ...askedPeers(policy, connection, source.port, tls !== undefined),
      http2,
      forwarded: headersAfter(view.headers, edit),
      flow,
    });
    if (passed.kind !== "passed") return passed;
    const action = await this.#authenticate({ ...judged, request: passed.request, passed });
    return withToldHeaders(action, passed.responseEdit);
  }

  #authorize(judged: JudgedRequest): HttpAction | Promise<HttpAction> {
    const { front, view, request, flow } = judged;
    const { policy } = front;
    const { connection, http2 } = this.#peer;
    const outcome = authorizeRequest(policy, connection, request);
    if (policy.http.observers.length > 0 && outcome.verdict.layer === "authorization")
      flow.shadow = shadowOf(policy, connection, request);
    if (!outcome.allowed) {
      flow.explanation = explainDenial(policy, connection, request);
      return refuse(flow, outcome.verdict);
    }
    const { method, forwardedPath: path, authority, jwt } = request;
    const claims = jwt?.claims ?? undefined;
    return front.send({
      leave: outcome,
      view,
      method,
      path,
      authority,
      headers: routedBy(judged),
      own: editFor(judged),
      http2,
      flow,
      ...(claims === undefined ? {} : { claims }),
    });
  }

  recheckConnection(): MutableFlow | undefined {
    const { connection, source, destination, reporter, connectionId, tls, sni, http2 } = this.#peer;
    const front = this.#front();
    const refusal =
      front === undefined
        ? routeGone("not-served")
        : connectionRefusal(front.policy, connection, this.#perRequest);
    if (refusal === undefined) return undefined;
    const flow = outboundFlow("connection", source, destination, reporter, connectionId);
    const protocol = http2 ? "http2" : "http";
    return { ...flow, direction: "inbound", protocol, tls, sni, verdict: "deny", ...refusal };
  }

  /** Judged as if it came now, its token too; an authorizer that let it pass is not asked again. */
  async recheckRequest(view: RequestView): Promise<Revocation | undefined> {
    const { connection, http2 } = this.#peer;
    const front = this.#front();
    if (front === undefined) return { ...routeGone("not-served"), status: 404, body: "" };
    return await revokedRequest(front.policy, connection, view, http2 ? 2 : 1, this.#jwt);
  }

  malformed(status: number, reason: string): MutableFlow {
    const { source, destination, reporter, connectionId } = this.#peer;
    const flow = outboundFlow("request", source, destination, reporter, connectionId);
    return { ...flow, direction: "inbound", status, verdict: "deny", layer: "protocol", reason };
  }

  #flow(view: RequestView, noted: NotedHeaders, traceId: string | undefined): MutableFlow {
    const { source, reporter, connectionId, destination, http2, tls, sni } = this.#peer;
    const named = { ...destination, host: hostOf(view.authority) };
    const flow = outboundFlow("request", source, named, reporter, connectionId);
    flow.direction = "inbound";
    flow.protocol = protocolName(http2, noted.contentType, view.upgrade);
    flow.method = view.method;
    flow.path = view.target;
    flow.traceId = traceId;
    flow.tls = tls;
    flow.sni = sni;
    return flow;
  }
}

/** Carries out what routes say of a request that may pass. @param port that it came to. */
export function sendRouted(
  decision: OutboundDecision,
  picker: EndpointPicker,
  { view, path, authority, own, http2, flow }: PermittedRequest,
  port: number,
): HttpAction | Promise<HttpAction> {
  noteDecision(flow, decision);
  if (decision.kind !== "forward") {
    flow.layer = "route";
    return answered(decision, flow);
  }
  const normal = decision.path === undefined && path !== view.path ? { ...decision, path } : decision;
  return forwardHttp(
    normal,
    picker,
    { port, name: hostOf(authority) },
    { remove: own.remove, lines: own.add, http2, origin: originFor(decision, view.headers) },
    flow,
  );
}

/** The proxy's own edit, then the authorizer's, then that of the token. */
function editFor({ edit, passed, request: { jwt } }: JudgedRequest): PermittedRequest["own"] {
  const { remove = NOTHING, add } = edit;
  if (passed?.edit === undefined) {
    if (jwt === undefined) return { remove, add };
    return { remove: withTokenHeaders(remove, jwt) ?? remove, add: joinFieldLines(add, claimLines(jwt)) };
  }
  const authorized = joinEdits(edit, passed.edit);
  if (jwt === undefined) return authorized;
  return joinEdits(authorized, { remove: withTokenHeaders(undefined, jwt), add: claimLines(jwt) });
}

const NOTHING: ReadonlySet<string> = new Set();

/**
 * The headers that routes match. Envoy chooses the route before the authorizer is asked, and again only where the provider
 * says so; a token's claims always make it choose again.
 */
function routedBy({ front, view, request, passed }: JudgedRequest): readonly string[] {
  const { headers, jwt } = request;
  if (jwt !== undefined) return headersAfterToken(headers, jwt);
  return passed !== undefined && !clearsRoute(front.policy) ? view.headers : headers;
}

/** All demands of a workload are of one provider. */
function clearsRoute({ http }: InboundPolicy): boolean {
  const [demand] = http.custom?.demands.values() ?? [];
  return demand?.provider.clearRouteCache === true;
}

function refuse(flow: MutableFlow, verdict: Verdict): HttpAction {
  const { layer, cause: reason, policy, rule, code } = verdict;
  const status = code === 0 ? 403 : code;
  return refuseWith(flow, status, { layer, reason, policy, rule }, DENIAL_BODIES[verdict.reason]);
}

function refuseWith(flow: MutableFlow, status: number, why: Partial<MutableFlow>, body = ""): HttpAction {
  Object.assign(flow, why, { verdict: "deny", status });
  return { kind: "reply", status, fields: NO_FIELD_LINES, body, flow };
}
