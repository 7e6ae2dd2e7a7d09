import type { FlowSource, FlowTls } from "../model/flow-record.ts";
import type { Connection } from "../policy/connection.ts";
import { HttpRequest, requestRefusal } from "../policy/http-request.ts";
import { decideConnection, type InboundPolicy, requiredAuthorizer } from "../policy/inbound.ts";
import type { JwtResult } from "../policy/jwt/jwt-result.ts";
import { type JwtEnvironment, verifyRequestJwt } from "../policy/jwt/verify-jwt.ts";
import { authorizeRequest } from "../policy/permit.ts";
import { trustedProto, withPeer } from "../policy/proxy-headers.ts";
import type { Verdict } from "../policy/verdict.ts";
import { type FieldLines, fieldLines, joinFieldLines, NO_FIELD_LINES } from "./codec/head-writer.ts";
import { explainDenial } from "./explain-denial.ts";
import { askAboutRequest, type Passed } from "./ext-authz/ask-request.ts";
import { headersAfter, joinEdits, type LineEdit } from "./ext-authz/edit-lines.ts";
import { withToldHeaders } from "./ext-authz/told-answer.ts";
import type { GatewayState } from "./gateway-state.ts";
import type { BodySource, HttpAction, HttpService, MutableFlow, RequestView } from "./http-service.ts";
import { DENIAL_BODIES } from "./inbound-service.ts";
import { answered, forwardHttp, hostOf, noteDecision, originFor, outboundFlow } from "./outbound-service.ts";
import { connectionRefusal, type Revocation, revokedRequest } from "./recheck.ts";
import { type NotedHeaders, noteHeaders, protocolName } from "./request-headers.ts";
import { requestId } from "./request-ids.ts";
import { shadowOf } from "./shadow-verdicts.ts";
import { claimLines, headersAfterToken, withTokenHeaders } from "./token-headers.ts";

/** What every request of one connection at a gateway has in common. */
export interface GatewayPeer {
  readonly connection: Connection;
  readonly connectionId: string;
  readonly source: FlowSource;
  readonly reporter: string;
  readonly tls: FlowTls | undefined;
  readonly http2: boolean;
  /** The port that the gateway's pod listens on. */
  readonly port: number;
  readonly sni: string | undefined;
  /** Of XFCC; undefined for a peer without a certificate. */
  readonly clientCertElement: string | undefined;
}

/** A request that could be read, and what has been made of it so far. */
interface JudgedRequest {
  /** INVARIANT: one snapshot decides a request, also where verifying its token takes a while. */
  readonly state: GatewayState;
  readonly view: RequestView;
  readonly request: HttpRequest;
  readonly noted: NotedHeaders;
  /** The request's id for the next hop. */
  readonly lines: FieldLines;
  readonly flow: MutableFlow;
  /** What an authorizer made of it, where one was asked. */
  readonly passed?: Passed;
}

/** Headers that tell what only the first proxy of the mesh can know: never the client's word. */
const CLAIMED: ReadonlySet<string> = new Set([
  "x-forwarded-client-cert",
  "x-forwarded-proto",
  "x-forwarded-for",
]);

/** HTTP at a gateway: authorized as at any server, then routed by the VirtualServices that are bound to it. */
export class GatewayHttpService implements HttpService {
  readonly #peer: GatewayPeer;
  readonly #state: () => GatewayState;
  readonly #jwt: JwtEnvironment;
  readonly #perRequest: boolean;

  constructor(peer: GatewayPeer, state: () => GatewayState, jwt: JwtEnvironment) {
    this.#peer = peer;
    this.#perRequest = decideConnection(state().policy, peer.connection).cause === "per-request";
    this.#state = state;
    this.#jwt = jwt;
  }

  decide(view: RequestView, body: BodySource): HttpAction | Promise<HttpAction> {
    const state = this.#state();
    const { policy } = state;
    const noted = noteHeaders(view.headers);
    const id = requestId(noted.traceparent, noted.requestId);
    const flow = this.#flow(view, noted, id.traceId);
    const request = HttpRequest.read(
      policy.pathNormalization,
      view.method,
      view.target,
      view.authority,
      view.headers,
      this.#peer.http2 ? 2 : 1,
    );
    if (request === null) return refuse(flow, requestRefusal(view.method, view.target));
    const judged: JudgedRequest = { state, view, request, noted, lines: id.lines, flow };
    return policy.http.custom === null ? this.#authenticate(judged) : this.#askFirst(judged, body);
  }

  #authenticate(judged: JudgedRequest): HttpAction | Promise<HttpAction> {
    const { jwt: policy } = judged.state.policy;
    if (policy === null) return this.#route(judged);
    return verifyRequestJwt(policy, judged.request, this.#jwt).then((jwt) => {
      judged.request.jwt = jwt;
      return this.#route(judged);
    });
  }

  async #askFirst(judged: JudgedRequest, body: BodySource): Promise<HttpAction> {
    const { state, view, request, flow } = judged;
    const { connection, source, tls, http2 } = this.#peer;
    const demand = requiredAuthorizer(state.policy, connection, request);
    if (demand === null) return this.#authenticate(judged);
    const passed = await askAboutRequest({
      client: state.authorizers,
      demand,
      policy: state.policy,
      connection,
      request,
      view,
      body,
      source: { ip: connection.sourceIp, port: source.port ?? 0, principal: connection.subject ?? "" },
      destination: {
        ip: connection.destinationIp,
        port: connection.destinationPort,
        principal: tls === undefined ? "" : state.policy.workload.spiffeId,
      },
      http2,
      forwarded: headersAfter(view.headers, this.#ownEdit(judged)),
      flow,
    });
    if (passed.kind !== "passed") return passed;
    const action = await this.#authenticate({ ...judged, request: passed.request, passed });
    return withToldHeaders(action, passed.responseEdit);
  }

  #route(judged: JudgedRequest): HttpAction | Promise<HttpAction> {
    const { state, view, request, flow, passed } = judged;
    const { policy, routes, picker } = state;
    const { connection, http2, port, sni } = this.#peer;
    const outcome = authorizeRequest(policy, connection, request);
    if (policy.http.observers.length > 0 && outcome.verdict.layer === "authorization")
      flow.shadow = shadowOf(policy, connection, request);
    if (!outcome.allowed) {
      flow.explanation = explainDenial(policy, connection, request);
      return refuse(flow, outcome.verdict);
    }
    const { method, forwardedPath: path, authority, jwt } = request;
    const claims = jwt?.claims ?? undefined;
    const decision = routes.routeHttp({
      port,
      authority,
      method,
      path,
      headers: routedBy(state.policy, view, request, passed),
      roll: Math.random(),
      ...(claims === undefined ? {} : { claims }),
      ...(sni === undefined ? {} : { sni }),
    });
    noteDecision(flow, decision);
    if (decision.kind !== "forward") {
      if (decision.kind === "refuse") flow.layer = "route";
      return answered(decision, flow);
    }
    const own = editFor(this.#ownEdit(judged), passed, jwt);
    const normal = decision.path === undefined && path !== view.path ? { ...decision, path } : decision;
    return forwardHttp(
      normal,
      picker,
      { port, name: hostOf(authority) },
      { remove: own.remove, lines: own.add, http2, origin: originFor(decision, view.headers) },
      flow,
    );
  }

  recheckConnection(): MutableFlow | undefined {
    const { connection, source, reporter, connectionId, port, tls, sni, http2 } = this.#peer;
    const { policy } = this.#state();
    const refusal = connectionRefusal(policy, connection, this.#perRequest);
    if (refusal === undefined) return undefined;
    const flow = outboundFlow("connection", source, { port }, reporter, connectionId);
    const protocol = http2 ? "http2" : "http";
    return { ...flow, direction: "inbound", protocol, tls, sni, verdict: "deny", ...refusal };
  }

  /** Judged as if it came now, its token too; an authorizer that let it pass is not asked again. */
  async recheckRequest(view: RequestView): Promise<Revocation | undefined> {
    const { connection, http2 } = this.#peer;
    return await revokedRequest(this.#state().policy, connection, view, http2 ? 2 : 1, this.#jwt);
  }

  malformed(status: number, reason: string): MutableFlow {
    const { source, reporter, connectionId, port } = this.#peer;
    const flow = outboundFlow("request", source, { port }, reporter, connectionId);
    return { ...flow, direction: "inbound", status, verdict: "deny", layer: "protocol", reason };
  }

  /** What the gateway itself takes off and adds. */
  #ownEdit(judged: JudgedRequest): LineEdit {
    const { noted, lines } = judged;
    const remove = noted.forged === undefined ? CLAIMED : CLAIMED.union(noted.forged);
    return { remove, add: joinFieldLines(lines, this.#claims(judged)) };
  }

  /** The peer's address behind those that it claims itself, and its certificate in place of any that it claims (SANITIZE_SET). */
  #claims({ state, view, noted }: JudgedRequest) {
    const { source, clientCertElement, tls } = this.#peer;
    const chain = withPeer(noted.forwardedFor ?? null, source.ip ?? "");
    const told = trustedProto(view.headers, state.policy.forwardedFor);
    const proto = told ?? (tls === undefined ? "http" : "https");
    const fields = ["x-forwarded-for", chain, "x-forwarded-proto", proto];
    if (clientCertElement !== undefined) fields.push("x-forwarded-client-cert", clientCertElement);
    return fieldLines(...fields) ?? NO_FIELD_LINES;
  }

  #flow(view: RequestView, noted: NotedHeaders, traceId: string | undefined): MutableFlow {
    const { source, reporter, connectionId, connection, port, http2, tls, sni } = this.#peer;
    const destination = { host: hostOf(view.authority), ip: connection.destinationIp, port };
    const flow = outboundFlow("request", source, destination, reporter, connectionId);
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

/** The gateway's own edit, then the authorizer's, then that of the token. */
function editFor(
  own: LineEdit,
  passed: Passed | undefined,
  jwt: JwtResult | undefined,
): { remove: ReadonlySet<string>; add: FieldLines } {
  const { remove = CLAIMED, add } = own;
  if (passed?.edit === undefined) {
    if (jwt === undefined) return { remove, add };
    return { remove: withTokenHeaders(remove, jwt) ?? remove, add: joinFieldLines(add, claimLines(jwt)) };
  }
  const authorized = joinEdits(own, passed.edit);
  if (jwt === undefined) return authorized;
  return joinEdits(authorized, { remove: withTokenHeaders(undefined, jwt), add: claimLines(jwt) });
}

/**
 * The headers that routes match. Envoy chooses the route before the authorizer is asked, and again only where the provider
 * says so; a token's claims always make it choose again.
 */
function routedBy(
  policy: InboundPolicy,
  view: RequestView,
  { headers, jwt }: HttpRequest,
  passed: Passed | undefined,
): readonly string[] {
  if (jwt !== undefined) return headersAfterToken(headers, jwt);
  return passed !== undefined && !clearsRoute(policy) ? view.headers : headers;
}

/** All demands of a workload are of one provider. */
function clearsRoute({ http }: InboundPolicy): boolean {
  const [demand] = http.custom?.demands.values() ?? [];
  return demand?.provider.clearRouteCache === true;
}

function refuse(flow: MutableFlow, verdict: Verdict): HttpAction {
  Object.assign(flow, {
    verdict: "deny",
    layer: verdict.layer,
    reason: verdict.cause,
    policy: verdict.policy,
    rule: verdict.rule,
  });
  flow.status = verdict.code === 0 ? 403 : verdict.code;
  const body = DENIAL_BODIES[verdict.reason] ?? "";
  return { kind: "reply", status: flow.status, fields: NO_FIELD_LINES, body, flow };
}
