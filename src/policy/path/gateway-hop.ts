/** A gateway on the way: who may use it, for which names, and where it sends what it lets through. */
import type { Workload } from "../../model/mesh.ts";
import { chainOf, type InboundPolicy } from "../inbound.ts";
import { joinedField } from "../joined-field.ts";
import { withoutParameters } from "../jwt/extract-token.ts";
import type { JwtResult } from "../jwt/jwt-result.ts";
import { nameRoute } from "../outbound/explain-outbound.ts";
import type { GatewayConnection, GatewayPolicy, OutboundDecision } from "../outbound/types.ts";
import { withPeer } from "../proxy-headers.ts";
import type { Verdict } from "../verdict.ts";
import { routeStep } from "./client-hop.ts";
import {
  type Arrival,
  type Flight,
  type HopResult,
  type JourneyContext,
  type Sender,
  type Step,
  speaksHttp,
  unknownStep,
} from "./journey.ts";
import { judgeRequest } from "./judge-request.ts";
import { withoutHeaders } from "./rewrite-flight.ts";
import { connectionOf, explainVerdict, judgeConnection, verdictFields } from "./server-hop.ts";
import { ruleFor } from "./settle-token.ts";
import { pastWaypoints } from "./waypoint-end.ts";

export async function gatewayHop(
  context: JourneyContext,
  flight: Flight,
  arrival: Arrival,
): Promise<HopResult> {
  const { workload } = arrival;
  const policy = context.compiled.inbound(workload);
  const routes = context.compiled.gateway(workload);
  const connection = connectionOf(arrival, flight);
  const chain = chainOf(policy, connection);
  const onConnection = judgeConnection(policy, connection);
  const says = (verdict: Verdict) => explainVerdict(policy, connection, undefined, verdict);
  if (!onConnection.allowed) return { step: refusalStep(policy, arrival, onConnection, says) };
  const certificate = missingCertificate(routes, arrival);
  if (certificate !== null) return { step: certificate };
  if (chain.protocol === "http") return httpAtGateway(context, flight, arrival, policy, routes);
  const inner = innerNameRefused(policy, flight, arrival);
  if (inner !== null) return { step: inner };
  const decision = routeBytes(routes, flight, arrival);
  return routed(context, policy, onConnection, arrival, flight, decision, says);
}

function refusalStep(
  policy: InboundPolicy,
  { workload, port }: Arrival,
  verdict: Verdict,
  says: (verdict: Verdict) => readonly string[],
): Step {
  return {
    ...verdictFields(policy, verdict, port),
    hop: workload.key,
    side: "gateway",
    answersHttp: false,
    explain: () => says(verdict),
  };
}

/** TLS mode MUTUAL asks clients from outside for a certificate of a CA that only the gateway's credential names. */
function missingCertificate(
  routes: GatewayPolicy,
  { workload, port, sni, tls, principal }: Arrival,
): Step | null {
  const server = tls === "plaintext" ? undefined : routes.selectServer(port, sni);
  if (server?.tls?.mode !== "MUTUAL") return null;
  const line = `${server.gateway} server ${server.index} takes only clients with a certificate (TLS mode MUTUAL)`;
  if (principal !== null || tls === "rogue")
    return unknownStep(
      workload.key,
      "gateway",
      "client-certificate-unknown",
      false,
      `${line}; whether its CA signed this one is not known`,
    );
  return {
    ...unknownStep(workload.key, "gateway", "no-client-certificate", false, line),
    reason: "tls",
    policy: server.gateway,
  };
}

/** Strict: what the application's own TLS names inside must be allowed as well as the name outside. */
function innerNameRefused(policy: InboundPolicy, flight: Flight, arrival: Arrival): Step | null {
  if (policy.semantics === "istio" || arrival.tls !== "mtls") return null;
  // Without a name inside this asks about the one outside again, which is allowed: routing refuses it.
  const inner = connectionOf(arrival, flight, flight.ownSni);
  const verdict = judgeConnection(policy, inner);
  if (verdict.allowed) return null;
  return refusalStep(policy, arrival, verdict, (own) => [
    `the server name inside the mesh's TLS is \`${flight.ownSni}\`, outside it is \`${arrival.sni ?? ""}\`: both must be allowed`,
    ...explainVerdict(policy, inner, undefined, own),
  ]);
}

function routeBytes(routes: GatewayPolicy, flight: Flight, arrival: Arrival): OutboundDecision {
  const { port, sni, tls } = arrival;
  const seen = seenFrom(arrival);
  const mode = tls === "plaintext" ? undefined : routes.selectServer(port, sni)?.tls?.mode;
  if (mode === "PASSTHROUGH" || mode === "AUTO_PASSTHROUGH") return routes.routeTls(seen);
  const inside = flight.protocol === "tls" && tls === "mtls" ? { innerSni: flight.ownSni ?? null } : {};
  return routes.routeTcp({ ...seen, ...inside });
}

function seenFrom({ port, sni }: Arrival): GatewayConnection {
  return { port, ...(sni === undefined ? {} : { sni }) };
}

async function httpAtGateway(
  context: JourneyContext,
  flight: Flight,
  arrival: Arrival,
  policy: InboundPolicy,
  routes: GatewayPolicy,
): Promise<HopResult> {
  const connection = connectionOf(arrival, flight);
  const { verdict, request } = await judgeRequest(context, policy, connection, flight);
  const says = (own: Verdict) => explainVerdict(policy, connection, request, own);
  if (!verdict.allowed || request === undefined) return { step: refusalStep(policy, arrival, verdict, says) };
  const { method, path, authority, headers, jwt } = request;
  const claims = jwt?.claims ?? undefined;
  const decision = routes.routeHttp({
    ...seenFrom(arrival),
    authority,
    method,
    path,
    headers,
    ...(claims === undefined ? {} : { claims }),
  });
  const next = afterToken({ ...flight, path, headers: forwardedHeaders(headers, arrival) }, policy, jwt);
  return routed(context, policy, verdict, arrival, next, decision, says);
}

/** The peer's address behind those that it claims itself. */
function forwardedHeaders(headers: readonly string[], { sourceIp }: Arrival): readonly string[] {
  if (sourceIp === "") return headers;
  return [...withoutHeaders(headers, new Set([XFF])), XFF, withPeer(joinedField(headers, XFF), sourceIp)];
}

const XFF = "x-forwarded-for";

/** A token that is not to be forwarded ends here, and so do claims that stand for one. */
export function afterToken(flight: Flight, { jwt }: InboundPolicy, result: JwtResult | undefined): Flight {
  if (jwt === null || result === undefined) return flight;
  const headers = [
    ...withoutHeaders(flight.headers, new Set(result.removeHeaders)),
    ...result.setHeaders.flat(),
  ];
  const { claims, ...rest } = flight;
  const kept = claims !== undefined && ruleFor(jwt, claims)?.forward === true;
  const path = withoutParameters(flight.path, result.removeParams);
  return { ...rest, path, headers, ...(kept ? { claims } : {}) };
}

function routed(
  { mesh }: JourneyContext,
  policy: InboundPolicy,
  verdict: Verdict,
  arrival: Arrival,
  flight: Flight,
  decision: OutboundDecision,
  says: (verdict: Verdict) => readonly string[],
): HopResult {
  const { workload, port } = arrival;
  const onRoute = (): readonly string[] => [
    ...says(verdict),
    ...routeLines(decision),
    ...pastWaypoints(mesh, decision),
  ];
  const byRoute = routeStep(decision, workload.key, "gateway", onRoute);
  if (decision.kind !== "forward") return { step: byRoute };
  const http = speaksHttp(flight);
  const step: Step = {
    ...byRoute,
    ...verdictFields(policy, verdict, port),
    code: http ? 200 : 0,
    to: decision.targets.map(({ name }) => name).join(", "),
  };
  const sender = senderOfProxy(workload);
  return { step, onward: { flight, sender, by: "gateway", decision, dialled: { port } } };
}

/** A proxy that sends on by itself. */
export function senderOfProxy({ key, spiffeId, addresses }: Workload): Sender {
  return { name: key, principal: spiffeId.slice("spiffe://".length), ip: addresses[0] ?? "" };
}

/** Why a gateway routes, or does not. */
export function routeLines(decision: OutboundDecision): readonly string[] {
  const by = decision.by.section === "default" ? decision.by.resource : nameRoute(decision.by);
  if (decision.kind === "forward")
    return [`${by ?? "its route"} sends it to ${decision.targets.map(({ name }) => name).join(", ")}`];
  if (decision.kind === "respond")
    return [`${by ?? "its route"} answers it with ${decision.code} (${decision.reason})`];
  const why = decision.cause === undefined ? decision.reason : CAUSES[decision.cause];
  return [`refused${by === null ? "" : ` by ${by}`}: ${why}`];
}

const CAUSES = {
  "host-lookup-unknown": "where its Host leads is not decided",
  "no-server": "no server of the gateway takes this port and name",
  "no-virtual-service": "no VirtualService is bound to the server",
  "outer-name-not-allowed":
    "the name outside is not among those that the server and a VirtualService are for",
  "inner-name-not-allowed":
    "the name inside is not among those that the server and the VirtualService are for",
  "inner-name-missing": "the application's TLS inside names no server, so nobody can tell where it goes",
} as const;
