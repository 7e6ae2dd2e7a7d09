/** The product's own answer, from the compiled policy. */

import { changeHeaders } from "../../src/dataplane/ext-authz/header-change.ts";
import type { Workload } from "../../src/model/mesh.ts";
import { type AuthorizerAnswer, Connection } from "../../src/policy/connection.ts";
import { HttpRequest, requestRefusal } from "../../src/policy/http-request.ts";
import {
  type AuthorizerDemand,
  chainOf,
  decideConnection,
  decideRequest,
  type InboundPolicy,
  requiredAuthorizer,
} from "../../src/policy/inbound.ts";
import { verifyRequestJwt } from "../../src/policy/jwt/verify-jwt.ts";
import type { HttpHop } from "../../src/policy/proxy-headers.ts";
import type { Verdict } from "../../src/policy/verdict.ts";
import type { ConnectionSpec } from "./differential-case.ts";
import { fixedAnswer, isFixedlyAllowed, NOBODY_LISTENS } from "./fixed-authorizer.ts";
import type { SentRequest } from "./materialize.ts";
import { EDGE_MUTUAL_PORT } from "./materialize.ts";
import { forwardedAs, type Outcome } from "./outcome.ts";

export function connectionOf(spec: ConnectionSpec, workload: Workload): Connection {
  // Nobody shows a certificate where none is asked for.
  const asked = workload.role !== "gateway" || spec.port === EDGE_MUTUAL_PORT;
  const hasCertificate = asked && (spec.tls === "mtls" || spec.tls === "rogue");
  return new Connection({
    tls: asked || spec.tls === "plaintext" ? spec.tls : "simple",
    principal: hasCertificate ? spec.principal : null,
    sourceIp: spec.sourceIp,
    destinationIp: workload.addresses[0] ?? "",
    destinationPort: spec.port,
    sni: spec.tls === "plaintext" ? "" : spec.sni,
    alpn: spec.tls === "plaintext" ? [] : spec.alpn,
    speaksHttp: spec.http,
    ...(workload.role === "gateway" ? { hop: atGateway(spec) } : {}),
  });
}

function atGateway({ tls, principal, port }: ConnectionSpec): HttpHop {
  const shown = tls === "mtls" && port === EDGE_MUTUAL_PORT;
  return {
    position: "gateway",
    ...(shown ? { clientCert: `By=edge;Hash=;Subject="";URI=spiffe://${principal}` } : {}),
  };
}

/** One outcome for each request sent; one for a connection that speaks no HTTP. */
export async function decidedOutcomes(
  policy: InboundPolicy,
  spec: ConnectionSpec,
  requests: readonly SentRequest[],
): Promise<Outcome[]> {
  const connection = connectionOf(spec, policy.workload);
  const demand = requiredAuthorizer(policy, connection, undefined);
  if (demand !== null) connection.authorizer = connectionAnswer(demand, spec.sourceIp);
  const verdict = decideConnection(policy, connection);
  const isHttp = chainOf(policy, connection).protocol === "http";
  if (!isHttp || !verdict.allowed) {
    const outcome = { ...outcomeOf(verdict), code: 0 };
    // Which of both it is hangs on how istiod tells a gateway's chains apart; here there is one a port.
    const reason = policy.gateway !== null && outcome.reason === "no-chain" ? "tls" : outcome.reason;
    return requests.map(() => ({ ...outcome, reason }));
  }
  return Promise.all(requests.map((request) => decided(policy, connection, spec, request)));
}

async function decided(
  policy: InboundPolicy,
  connection: Connection,
  spec: ConnectionSpec,
  sent: SentRequest,
): Promise<Outcome> {
  const request = spec.http ? readRequest(policy, sent, versionOf(spec)) : null;
  if (request === null) return outcomeOf(requestRefusal(sent.method, sent.target));
  const demand = requiredAuthorizer(policy, connection, request);
  const asked =
    demand === null ? unasked(request) : askedAbout(policy, demand, request, sent, versionOf(spec));
  const { request: judged } = asked;
  if (policy.jwt !== null) judged.jwt = await verifyRequestJwt(policy.jwt, judged, ENVIRONMENT);
  const verdict = decideRequest(policy, connection, judged);
  const path = judged.forwardedPath;
  return {
    ...outcomeOf(verdict),
    ...(verdict.cause === "ext-authz-denied" ? { code: asked.denialCode } : {}),
    forwarded: forwardedAs(path, judged.authority, sent.method, pairs(judged.headers), sent.body?.text ?? ""),
    told: asked.told,
  };
}

interface Asked {
  /** With the headers as the authorizer leaves them. */
  readonly request: HttpRequest;
  readonly denialCode: number;
  readonly told: string;
}

/** Refused without a question, whatever the provider does where none can be asked. */
function tooLarge(request: HttpRequest): Asked {
  request.authorizer = "deny";
  return { request, denialCode: 413, told: "" };
}

export function versionOf({ http2 = false }: ConnectionSpec): 1 | 2 {
  return http2 ? 2 : 1;
}

function unasked(request: HttpRequest): Asked {
  return { request, denialCode: 0, told: "" };
}

function askedAbout(
  policy: InboundPolicy,
  { provider }: AuthorizerDemand,
  request: HttpRequest,
  sent: SentRequest,
  version: 1 | 2,
): Asked {
  if (provider.port === NOBODY_LISTENS) {
    request.authorizer = provider.failOpen ? "allow" : "error";
    return unasked(request);
  }
  const { method, path } = request;
  const text = sent.body?.text ?? "";
  const { body: shown } = provider;
  if (shown !== null && !shown.allowPartial && text.length > shown.maxBytes) return tooLarge(request);
  const body = shown === null ? "" : text.slice(0, shown.maxBytes);
  const answer = fixedAnswer({
    overHttp: provider.kind === "http",
    method,
    path,
    role: rolesOf(request.headers),
    body,
  });
  if (answer.status !== 200) {
    request.authorizer = "deny";
    return { request, denialCode: answer.status, told: answer.decided };
  }
  const set = answer.set.map(([name, value]) => ({ name, value, action: "set" as const }));
  const headers = pairs(changeHeaders(request.headers, set, answer.remove));
  const changed = readRequest(policy, { ...sent, headers }, version);
  if (changed === null) throw new Error("BUG: headers alone make no request unreadable");
  changed.authorizer = "allow";
  return { request: changed, denialCode: 0, told: answer.decided };
}

function connectionAnswer({ provider }: AuthorizerDemand, sourceIp: string): AuthorizerAnswer {
  if (provider.port === NOBODY_LISTENS) return provider.failOpen ? "allow" : "error";
  return isFixedlyAllowed(sourceIp) ? "allow" : "deny";
}

function rolesOf(headers: readonly string[]): string {
  return pairs(headers)
    .flatMap(([name, value]) => (name === "x-role" ? [value] : []))
    .join(",");
}

function pairs(flat: readonly string[]): (readonly [string, string])[] {
  return flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? ""] as const] : []));
}

export function readRequest(
  policy: InboundPolicy,
  { method, target, host, headers }: SentRequest,
  version: 1 | 2,
): HttpRequest | null {
  const flat = headers.flatMap(([name, value]) => [name.toLowerCase(), value.trim()]);
  return HttpRequest.read(policy.pathNormalization, method, target, host, flat, version);
}

const ENVIRONMENT = {
  fetchJwks: (): Promise<string> => Promise.reject(new Error("keys are inline here")),
  nowSeconds: (): number => Date.now() / 1000,
};

function outcomeOf({ allowed, reason, cause, layer, code, policy, rule }: Verdict): Outcome {
  const name = rule === null || policy === null ? null : `${policy.split(" ")[1]}#${rule}`;
  const byAuthorizer = cause === "ext-authz-denied" || cause === "ext-authz-failed";
  return { allowed, reason: byAuthorizer ? layer : reason, code, rule: name, forwarded: null, told: null };
}
