import type { FlowAuthorizer, FlowDestination, FlowSource, FlowTls } from "../model/flow-record.ts";
import { nowRfc3339Nanos } from "../model/flow-record.ts";
import type { Connection } from "../policy/connection.ts";
import { HttpRequest, requestRefusal } from "../policy/http-request.ts";
import type { InboundPolicy } from "../policy/inbound.ts";
import { type AuthorizerDemand, decideConnection, requiredAuthorizer } from "../policy/inbound.ts";
import type { JwtPolicy } from "../policy/jwt/jwt-policy.ts";
import { type JwtEnvironment, verifyRequestJwt } from "../policy/jwt/verify-jwt.ts";
import { authorizeRequest, type Denial, type Permit } from "../policy/permit.ts";
import { withElement } from "../policy/proxy-headers.ts";
import type { Verdict } from "../policy/verdict.ts";
import { type FieldLines, fieldLines, joinFieldLines, NO_FIELD_LINES } from "./codec/head-writer.ts";
import { explainDenial } from "./explain-denial.ts";
import { askAboutRequest, type Passed } from "./ext-authz/ask-request.ts";
import { askedPeers } from "./ext-authz/authorize-asked.ts";
import type { AuthorizerClient } from "./ext-authz/authorizer-client.ts";
import { headersAfter, joinEdits, type LineEdit } from "./ext-authz/edit-lines.ts";
import { withToldHeaders } from "./ext-authz/told-answer.ts";
import type {
  BodySource,
  ForwardAction,
  HttpAction,
  HttpService,
  MutableFlow,
  RequestView,
} from "./http-service.ts";
import { connectionRefusal, type Revocation, revokedRequest } from "./recheck.ts";
import { type NotedHeaders, noteHeaders, protocolName } from "./request-headers.ts";
import { requestId } from "./request-ids.ts";
import type { RoutedPlan } from "./routed/routed-exchange.ts";
import { shadowOf } from "./shadow-verdicts.ts";
import { claimLines, withTokenHeaders } from "./token-headers.ts";
import type { UpstreamTarget } from "./upstream-target.ts";

const NO_DESTINATION: FlowDestination = {};

/** What every request of one inbound connection has in common. */
export interface InboundPeer {
  readonly connection: Connection;
  readonly connectionId: string;
  readonly source: FlowSource;
  readonly destination: FlowDestination;
  readonly reporter: string;
  readonly tls: FlowTls | undefined;
  readonly http2: boolean;
  /** This hop's element of XFCC; undefined for a peer without a certificate. */
  readonly clientCertElement: string | undefined;
  /** What an external authorizer said about the connection, on TCP chains. */
  readonly authorizer?: FlowAuthorizer;
}

/** The policy now in force: asked for at each request, so that a change holds on connections that are already there. */
export type CurrentPolicy = () => InboundPolicy;

/** What a request is decided with. INVARIANT: of one snapshot, also where asking an authorizer takes a while. */
interface Deciding {
  readonly policy: InboundPolicy;
  readonly view: RequestView;
  readonly noted: NotedHeaders;
  /** The request's id for the application. */
  readonly lines: FieldLines;
  readonly flow: MutableFlow;
}

const BRIDGED: RoutedPlan = { bridged: true, retries: undefined, mirrors: [] };

/** The server's sidecar: every request authorized, sanitised, and sent to the application. */
export class InboundService implements HttpService {
  readonly #peer: InboundPeer;
  readonly #policy: CurrentPolicy;
  readonly #application: UpstreamTarget;
  readonly #bridge: RoutedPlan | undefined;
  readonly #clientCertLine: FieldLines;
  readonly #jwt: JwtEnvironment;
  readonly #perRequest: boolean;
  #lastDestination: FlowDestination = NO_DESTINATION;
  readonly #authorizers: (() => AuthorizerClient) | undefined;

  /** @param authorizers who asks those of CUSTOM policies, of the same snapshot as `policy`; without, what they match is refused. */
  constructor(
    peer: InboundPeer,
    policy: CurrentPolicy,
    application: UpstreamTarget,
    jwt: JwtEnvironment,
    authorizers?: () => AuthorizerClient,
  ) {
    this.#jwt = jwt;
    this.#authorizers = authorizers;
    this.#peer = peer;
    this.#perRequest = decideConnection(policy(), peer.connection).cause === "per-request";
    this.#policy = policy;
    this.#application = application;
    this.#bridge = application.protocol === (peer.http2 ? "http2" : "http1") ? undefined : BRIDGED;
    this.#clientCertLine = clientCertLine(peer.clientCertElement);
  }

  decide(view: RequestView, body: BodySource): HttpAction | Promise<HttpAction> {
    const policy = this.#policy();
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
    if (policy.http.custom !== null && this.#authorizers !== undefined) {
      const client = this.#authorizers();
      const demand = requiredAuthorizer(policy, this.#peer.connection, request);
      if (demand !== null)
        return this.#withAuthorizer(client, demand, request, body, {
          policy,
          view,
          noted,
          lines: id.lines,
          flow,
        });
    }
    if (policy.jwt !== null) return this.#withToken(policy, request, view, noted, id.lines, flow);
    return this.#authorize(policy, request, view, noted, id.lines, flow);
  }

  recheckConnection(): MutableFlow | undefined {
    const { connection, destination, http2 } = this.#peer;
    const policy = this.#policy();
    const refusal = connectionRefusal(policy, connection, this.#perRequest);
    if (refusal === undefined) return undefined;
    const protocol = http2 ? "http2" : "http";
    return { ...this.#base(), kind: "connection", destination, protocol, verdict: "deny", ...refusal };
  }

  /** Judged as if it came now, its token too; an authorizer that let it pass is not asked again. */
  async recheckRequest(view: RequestView): Promise<Revocation | undefined> {
    const policy = this.#policy();
    const { connection, http2 } = this.#peer;
    return await revokedRequest(policy, connection, view, http2 ? 2 : 1, this.#jwt);
  }

  malformed(status: number, reason: string): MutableFlow {
    return {
      ...this.#base(),
      protocol: this.#peer.http2 ? "http2" : "http",
      status,
      verdict: "deny",
      layer: "protocol",
      reason,
      destination: this.#peer.destination,
    };
  }

  async #withAuthorizer(
    client: AuthorizerClient,
    demand: AuthorizerDemand,
    request: HttpRequest,
    body: BodySource,
    { policy, view, noted, lines, flow }: Deciding,
  ): Promise<HttpAction> {
    const { connection, source, tls, http2 } = this.#peer;
    const own = { remove: noted.forged, add: joinFieldLines(this.#clientCertLines(noted), lines) };
    const answered = await askAboutRequest({
      client,
      demand,
      policy,
      connection,
      request,
      view,
      body,
      ...askedPeers(policy, connection, source.port, tls !== undefined),
      http2,
      forwarded: headersAfter(view.headers, own),
      flow,
    });
    if (answered.kind !== "passed") return answered;
    if (policy.jwt !== null)
      answered.request.jwt = await verifyRequestJwt(policy.jwt, answered.request, this.#jwt);
    const action = this.#authorize(policy, answered.request, view, noted, lines, flow, answered);
    return action.kind === "reply" ? withToldHeaders(action, answered.responseEdit) : action;
  }

  async #withToken(
    policy: InboundPolicy,
    request: HttpRequest,
    view: RequestView,
    noted: NotedHeaders,
    lines: FieldLines,
    flow: MutableFlow,
  ): Promise<HttpAction> {
    request.jwt = await verifyRequestJwt(policy.jwt as JwtPolicy, request, this.#jwt);
    return this.#authorize(policy, request, view, noted, lines, flow);
  }

  #authorize(
    policy: InboundPolicy,
    request: HttpRequest,
    view: RequestView,
    noted: NotedHeaders,
    lines: FieldLines,
    flow: MutableFlow,
    passed?: Passed,
  ): HttpAction {
    const outcome: Permit | Denial = authorizeRequest(policy, this.#peer.connection, request);
    const { verdict } = outcome;
    flow.layer = verdict.layer;
    flow.reason = verdict.reason === "ok" ? verdict.cause : verdict.reason;
    flow.policy = verdict.policy;
    flow.rule = verdict.rule;
    // Asked first, so that the usual record keeps its shape.
    if (policy.http.observers.length > 0 && verdict.layer === "authorization")
      flow.shadow = shadowOf(policy, this.#peer.connection, request);
    if (!outcome.allowed) {
      flow.explanation = explainDenial(policy, this.#peer.connection, request);
      return refuse(flow, verdict);
    }
    const { forwardedPath } = request;
    const path = forwardedPath === view.path ? undefined : forwardedPath;
    const { jwt } = request;
    const own = this.#clientCertLines(noted);
    const changed = lines === NO_FIELD_LINES ? own : joinFieldLines(own, lines);
    if (passed?.edit !== undefined || passed?.responseEdit !== undefined)
      return this.#forwardChanged(
        outcome,
        request,
        { remove: noted.forged, add: changed },
        path,
        passed,
        flow,
      );
    const remove = jwt === undefined ? noted.forged : withTokenHeaders(noted.forged, jwt);
    return this.#bridged({
      kind: "forward",
      leave: outcome,
      edit: {
        add: jwt === undefined ? changed : joinFieldLines(changed, claimLines(jwt)),
        ...(remove === undefined ? {} : { remove }),
        ...(path === undefined ? {} : { path }),
      },
      responseEdit: undefined,
      next: this.#onlyTarget,
      timeoutMs: 0,
      flow,
    });
  }

  /** An application of the other HTTP version than the client's. */
  #bridged(action: ForwardAction): ForwardAction {
    return this.#bridge === undefined ? action : { ...action, routed: this.#bridge };
  }

  /** As the authorizer wants it: its changes stand behind the proxy's own, and what tokens ask for behind those. */
  #forwardChanged(
    leave: Permit,
    { jwt }: HttpRequest,
    own: LineEdit,
    path: string | undefined,
    { edit, responseEdit }: Passed,
    flow: MutableFlow,
  ): HttpAction {
    const authorized = edit === undefined ? own : joinEdits(own, edit);
    const tokens =
      jwt === undefined ? undefined : { remove: withTokenHeaders(undefined, jwt), add: claimLines(jwt) };
    const { remove, add } = tokens === undefined ? authorized : joinEdits(authorized, tokens);
    return this.#bridged({
      kind: "forward",
      leave,
      edit: { add, ...(remove === undefined ? {} : { remove }), ...(path === undefined ? {} : { path }) },
      responseEdit,
      next: this.#onlyTarget,
      timeoutMs: 0,
      flow,
    });
  }

  #clientCertLines(noted: NotedHeaders): FieldLines {
    return noted.clientCert === undefined ? this.#clientCertLine : this.#appendClientCert(noted.clientCert);
  }

  /** There is one application: when it does not answer, there is nobody else to ask. */
  readonly #onlyTarget = (attempt: number): UpstreamTarget | undefined =>
    attempt === 0 ? this.#application : undefined;

  /** As sidecars do: append this hop's element and forward those before it (Envoy's APPEND_FORWARD). */
  #appendClientCert(before: string): FieldLines {
    const { clientCertElement } = this.#peer;
    if (clientCertElement === undefined) return NO_FIELD_LINES;
    return (
      fieldLines("x-forwarded-client-cert", withElement(before, clientCertElement)) ?? this.#clientCertLine
    );
  }

  #flow(view: RequestView, noted: NotedHeaders, traceId: string | undefined): MutableFlow {
    const { http2 } = this.#peer;
    const flow: MutableFlow = this.#base();
    flow.destination = this.#destination(view.authority);
    flow.protocol = protocolName(http2, noted.contentType, view.upgrade);
    flow.method = view.method;
    flow.path = view.target;
    flow.traceId = traceId;
    return flow;
  }

  /** The same object for the same host: a batch of records holds it once. */
  #destination(host: string): FlowDestination {
    if (this.#lastDestination.host !== host) this.#lastDestination = { ...this.#peer.destination, host };
    return this.#lastDestination;
  }

  #base(): MutableFlow {
    const { source, reporter, tls, connectionId, connection } = this.#peer;
    return {
      time: nowRfc3339Nanos(),
      kind: "request",
      source,
      destination: undefined,
      reporter,
      direction: "inbound",
      protocol: undefined,
      sni: connection.sni === "" ? undefined : connection.sni,
      method: undefined,
      path: undefined,
      status: undefined,
      tls,
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
}

function clientCertLine(element: string | undefined): FieldLines {
  return element === undefined
    ? NO_FIELD_LINES
    : (fieldLines("x-forwarded-client-cert", element) ?? NO_FIELD_LINES);
}

/** Envoy's words for each kind of refusal: they say nothing of the policy to who was refused. */
export const DENIAL_BODIES: Readonly<Record<string, string>> = {
  rbac: "RBAC: access denied",
  jwt: "Jwt verification fails",
};

function refuse(flow: MutableFlow, verdict: Verdict): HttpAction {
  flow.verdict = "deny";
  flow.layer = verdict.layer;
  flow.reason = verdict.cause;
  flow.policy = verdict.policy;
  flow.rule = verdict.rule;
  flow.status = verdict.code === 0 ? 403 : verdict.code;
  return {
    kind: "reply",
    status: flow.status,
    fields: NO_FIELD_LINES,
    body: DENIAL_BODIES[verdict.reason] ?? "",
    flow,
  };
}
