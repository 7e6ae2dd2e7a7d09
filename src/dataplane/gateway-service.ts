import type { FlowSource, FlowTls } from "../model/flow-record.ts";
import type { Connection } from "../policy/connection.ts";
import { HttpRequest, requestRefusal } from "../policy/http-request.ts";
import { type JwtEnvironment, verifyRequestJwt } from "../policy/jwt/verify-jwt.ts";
import { authorizeRequest } from "../policy/permit.ts";
import type { Verdict } from "../policy/verdict.ts";
import { type FieldLines, fieldLines, joinFieldLines, NO_FIELD_LINES } from "./codec/head-writer.ts";
import { explainDenial } from "./explain-denial.ts";
import type { GatewayState } from "./gateway-state.ts";
import type { HttpAction, HttpService, MutableFlow, RequestView } from "./http-service.ts";
import { DENIAL_BODIES } from "./inbound-service.ts";
import { answer, forwardHttp, hostOf, noteDecision, outboundFlow } from "./outbound-service.ts";
import { type NotedHeaders, noteHeaders, protocolName } from "./request-headers.ts";
import { requestId } from "./request-ids.ts";
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

  constructor(peer: GatewayPeer, state: () => GatewayState, jwt: JwtEnvironment) {
    this.#peer = peer;
    this.#state = state;
    this.#jwt = jwt;
  }

  decide(view: RequestView): HttpAction | Promise<HttpAction> {
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
    if (policy.jwt === null) return this.#route(judged);
    return verifyRequestJwt(policy.jwt, request, this.#jwt).then((jwt) => {
      request.jwt = jwt;
      return this.#route(judged);
    });
  }

  #route({ state, view, request, noted, lines, flow }: JudgedRequest): HttpAction {
    const { policy, routes, picker } = state;
    const { connection, http2, port, sni } = this.#peer;
    const outcome = authorizeRequest(policy, connection, request);
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
      headers: jwt === undefined ? request.headers : headersAfterToken(request.headers, jwt),
      roll: Math.random(),
      ...(claims === undefined ? {} : { claims }),
      ...(sni === undefined ? {} : { sni }),
    });
    noteDecision(flow, decision);
    if (decision.kind !== "forward") {
      if (decision.kind === "refuse") flow.layer = "route";
      return answer(decision, flow);
    }
    const claimed = noted.forged === undefined ? CLAIMED : CLAIMED.union(noted.forged);
    const remove = jwt === undefined ? claimed : (withTokenHeaders(claimed, jwt) ?? claimed);
    const own = joinFieldLines(
      lines,
      this.#claims(noted),
      jwt === undefined ? NO_FIELD_LINES : claimLines(jwt),
    );
    const normal = decision.path === undefined && path !== view.path ? { ...decision, path } : decision;
    return forwardHttp(
      normal,
      picker,
      { port, name: hostOf(authority) },
      { remove, lines: own, http2 },
      flow,
    );
  }

  malformed(status: number, reason: string): MutableFlow {
    const { source, reporter, connectionId, port } = this.#peer;
    const flow = outboundFlow("request", source, { port }, reporter, connectionId);
    return { ...flow, direction: "inbound", status, verdict: "deny", layer: "protocol", reason };
  }

  /** The peer's address behind those that it claims itself, and its certificate in place of any that it claims (SANITIZE_SET). */
  #claims(noted: NotedHeaders) {
    const { source, clientCertElement, tls } = this.#peer;
    const chain =
      noted.forwardedFor === undefined ? (source.ip ?? "") : `${noted.forwardedFor},${source.ip ?? ""}`;
    const fields = ["x-forwarded-for", chain, "x-forwarded-proto", tls === undefined ? "http" : "https"];
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
