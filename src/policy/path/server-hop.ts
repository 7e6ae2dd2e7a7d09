/** The server's side: a sidecar, or an application that has none. */
import { Connection } from "../connection.ts";
import { explainInbound } from "../explain.ts";
import { asSeenBy, chainOf, decideConnection, decideRequest, type InboundPolicy } from "../inbound.ts";
import type { HttpHop } from "../proxy-headers.ts";
import { isUndecidedThroughHbone, throughHbone } from "../through-hbone.ts";
import type { Verdict } from "../verdict.ts";
import {
  type Arrival,
  type Flight,
  type HopResult,
  type JourneyContext,
  meshAlpn,
  speaksHttp,
  unknownStep,
} from "./journey.ts";
import { judgeRequest } from "./judge-request.ts";
import { isByRules, unknownVerdict } from "./unknown-address.ts";

export function connectionOf(arrival: Arrival, flight: Flight, sni = arrival.sni): Connection {
  const connection = new Connection({
    tls: arrival.tls,
    principal: arrival.principal,
    sourceIp: arrival.sourceIp,
    destinationIp: arrival.destinationIp,
    destinationPort: arrival.port,
    sni,
    alpn: arrival.alpn,
    speaksHttp: speaksHttp(flight),
    hop: hopOf(arrival),
  });
  connection.authorizer = flight.authorizer;
  return connection;
}

/** The certificate's hash stands for nobody: which certificate a caller will show is not known here. */
function hopOf({ workload, principal }: Arrival): HttpHop {
  const position = workload.role === "gateway" ? "gateway" : "sidecar";
  if (principal === null) return { position };
  return { position, clientCert: `By=${workload.spiffeId};Hash=;Subject="";URI=spiffe://${principal}` };
}

export async function serverHop(
  context: JourneyContext,
  flight: Flight,
  arrival: Arrival,
  policy: InboundPolicy = context.compiled.inbound(arrival.workload),
): Promise<HopResult> {
  const connection = connectionOf(arrival, flight);
  const chain = chainOf(policy, connection);
  const onConnection = judgeConnection(policy, connection);
  if (!onConnection.allowed || chain.protocol === "tcp" || policy.unprotected) {
    // Behind a TCP chain the application itself answers HTTP, unless it is given TLS.
    const answered = onConnection.allowed && speaksHttp(flight) && chain.tls !== "pass";
    const explain = () => explainVerdict(policy, connection, undefined, onConnection);
    return { step: serverStep(policy, arrival, onConnection, answered ? 200 : onConnection.code, explain) };
  }
  const { verdict, request } = await judgeRequest(context, policy, connection, flight);
  const explain = () => [
    ...explainVerdict(policy, connection, request, verdict),
    ...unreadTokenLines(policy, flight),
  ];
  return { step: serverStep(policy, arrival, verdict, verdict.code, explain) };
}

/** A sidecar that is spoken to through HBONE. */
export async function hboneServerHop(
  context: JourneyContext,
  flight: Flight,
  arrival: Arrival,
): Promise<HopResult> {
  const { workload } = arrival;
  const policy = context.compiled.inbound(workload);
  if (isUndecidedThroughHbone(policy, speaksHttp(flight)))
    return {
      step: unknownStep(
        workload.key,
        "server",
        "ambient-to-sidecar",
        speaksHttp(flight),
        "unknown: CUSTOM policies at a sidecar that is spoken to through HBONE are not decided, as Istio's do not see the tunnel's client there",
      ),
    };
  return serverHop(context, flight, { ...arrival, alpn: meshAlpn(flight) }, throughHbone(policy));
}

/** Whoever gives a token believes that it counts. */
function unreadTokenLines(
  { jwt, unprotected }: InboundPolicy,
  { claims, headers }: Flight,
): readonly string[] {
  if (jwt !== null || unprotected) return [];
  if (claims === undefined && !headers.includes("authorization")) return [];
  return ["tokens and claims count for nothing here: no RequestAuthentication applies to the workload"];
}

/** As decideConnection, but unknown where what nobody knows could turn it. */
export function judgeConnection(policy: InboundPolicy, connection: Connection): Verdict {
  const verdict = decideConnection(policy, connection);
  if (!isByRules(verdict)) return verdict;
  const seen = asSeenBy(chainOf(policy, connection), connection);
  return unknownVerdict(policy.tcp, seen, null, connection.authorizer) ?? verdict;
}

function serverStep(
  policy: InboundPolicy,
  { workload, port }: Arrival,
  verdict: Verdict,
  code: number,
  explain: () => readonly string[],
): HopResult["step"] {
  return {
    ...verdictFields(policy, verdict, port),
    hop: workload.key,
    side: "server",
    code,
    answersHttp: false,
    explain,
  };
}

/** A refused transport is PeerAuthentication's doing, although no rule of it matched. */
export function verdictFields(policy: InboundPolicy, verdict: Verdict, port: number): Verdict {
  const { allowed, code, reason, cause, layer, rule } = verdict;
  const transport =
    layer === "transport" && !allowed && policy.gateway === null ? policy.transport(port).policy : null;
  return { allowed, code, reason, cause, layer, policy: verdict.policy ?? transport, rule };
}

const ONLY_HERE: Readonly<Record<string, string>> = {
  "address-unknown":
    "unknown: rules ask for an address that is not known (give from.ip, or a mesh with status.podIP)",
  "metadata-unknown":
    "unknown: rules ask for metadata of an Envoy filter (`experimental.envoy.filters.…`), and which filters there are and what they note no file tells",
  "jwks-not-fetched":
    'unknown: the token\'s keys are fetched by HTTP, which is not done here (give {"claims": …} to take it as verified)',
};

export function explainVerdict(
  policy: InboundPolicy,
  connection: Connection,
  request: Parameters<typeof explainInbound>[2],
  verdict: Verdict,
): readonly string[] {
  const here = ONLY_HERE[verdict.cause];
  if (here !== undefined) return [here];
  if (verdict.cause === "bad-request")
    return [`refused with ${verdict.code}: not an acceptable HTTP request`];
  if (verdict.cause === "no-relative-path") return ["refused with 404: the request target has no path"];
  const lines = explainInbound(policy, connection, request);
  return verdict.cause === "ext-authz-unanswered"
    ? [...lines, ...ifItAllowed(policy, connection, request)]
    : lines;
}

/** What hangs on the authorizer that nobody asks here. */
function ifItAllowed(
  policy: InboundPolicy,
  connection: Connection,
  request: Parameters<typeof explainInbound>[2],
): readonly string[] {
  const hint = "its answer decides: give --ext-authz allow or deny (`extAuthz` in a file of requests)";
  if (request === undefined) return [hint];
  const { authorizer } = request;
  request.authorizer = "allow";
  const { allowed, cause, policy: by, rule } = decideRequest(policy, connection, request);
  request.authorizer = authorizer;
  const name = by === null ? "" : `, ${by}${rule === null ? "" : ` rule ${rule}`}`;
  return [hint, `were it to allow, the request would be ${allowed ? "allowed" : "denied"} (${cause}${name})`];
}
