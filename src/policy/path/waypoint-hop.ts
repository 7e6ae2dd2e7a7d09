/** A waypoint on the way: who may pass to a service or a workload, and where it sends what it lets through. */
import { takesHbone } from "../ambient/hbone.ts";
import { Connection } from "../connection.ts";
import { chainOf, type InboundPolicy } from "../inbound.ts";
import type { OutboundDecision } from "../outbound/types.ts";
import type { Verdict } from "../verdict.ts";
import {
  waypointHop as hopOf,
  type WaypointPolicy,
  type WaypointService,
} from "../waypoint/waypoint-policy.ts";
import { routeStep } from "./client-hop.ts";
import { afterToken, routeLines, senderOfProxy } from "./gateway-hop.ts";
import { hboneArrival } from "./hbone-arrival.ts";
import {
  type Addressed,
  type Arrival,
  type End,
  type Flight,
  type HopResult,
  type JourneyContext,
  type Step,
  speaksHttp,
} from "./journey.ts";
import { judgeRequest } from "./judge-request.ts";
import { explainVerdict, judgeConnection, verdictFields } from "./server-hop.ts";

export async function waypointHop(
  context: JourneyContext,
  flight: Flight,
  arrival: Arrival,
  addressed: Addressed,
): Promise<HopResult> {
  const policy = context.compiled.waypoint(arrival.workload);
  const own = addressed.kind === "service" ? policy.service(addressed.service) : undefined;
  const inbound = own?.inbound ?? policy.direct;
  const connection = connectionAt(policy, arrival, flight);
  const onConnection = judgeConnection(inbound, connection);
  const says = (verdict: Verdict) => explainVerdict(inbound, connection, undefined, verdict);
  if (!onConnection.allowed) {
    const why = () => undeclared(addressed, onConnection) ?? says(onConnection);
    return { step: refusal(inbound, arrival, onConnection, why) };
  }
  if (chainOf(inbound, connection).protocol === "http")
    return httpAtWaypoint(context, flight, arrival, addressed, own, inbound, connection);
  const lines = () => says(onConnection);
  if (own === undefined) return direct(context, inbound, arrival, addressed, flight, onConnection, lines);
  const name = connection.sni === "" ? undefined : connection.sni;
  const decision = own.routes.routeTcp(arrival.port, speaksHttp(flight), name);
  return routed(inbound, onConnection, arrival, flight, decision, lines);
}

/** INVARIANT: port and address are those that the tunnel was asked for: a service's own, not a container's. */
function connectionAt(policy: WaypointPolicy, arrival: Arrival, flight: Flight): Connection {
  const { tls, principal, sourceIp, destinationIp, port, workload } = arrival;
  const sni = flight.protocol === "tls" && policy.readsServerName(port) ? flight.ownSni : undefined;
  const connection = new Connection({
    tls,
    principal,
    sourceIp,
    destinationIp,
    destinationPort: port,
    sni,
    alpn: arrival.alpn,
    speaksHttp: speaksHttp(flight),
    hop: hopOf(workload, principal),
  });
  connection.authorizer = flight.authorizer;
  return connection;
}

function undeclared(addressed: Addressed, { cause }: Verdict): readonly string[] | undefined {
  return cause === "no-chain" && addressed.kind === "service"
    ? [
        `refused: ${addressed.service.hostname} declares no port ${addressed.port}, so that its waypoint takes nothing there`,
      ]
    : undefined;
}

function refusal(
  policy: InboundPolicy,
  { workload, port }: Arrival,
  verdict: Verdict,
  explain: () => readonly string[],
): Step {
  const fields = verdictFields(policy, verdict, port);
  return { ...fields, hop: workload.key, side: "waypoint", answersHttp: false, explain };
}

async function httpAtWaypoint(
  context: JourneyContext,
  flight: Flight,
  arrival: Arrival,
  addressed: Addressed,
  own: WaypointService | undefined,
  policy: InboundPolicy,
  connection: Connection,
): Promise<HopResult> {
  const { verdict, request } = await judgeRequest(context, policy, connection, flight);
  const says = () => explainVerdict(policy, connection, request, verdict);
  if (!verdict.allowed || request === undefined) return { step: refusal(policy, arrival, verdict, says) };
  const { method, path, authority, headers, jwt } = request;
  const next = afterToken({ ...flight, path, headers }, policy, jwt);
  if (own === undefined) return direct(context, policy, arrival, addressed, next, verdict, says);
  const claims = jwt?.claims ?? undefined;
  const parts = { authority, method, path, headers, ...(claims === undefined ? {} : { claims }) };
  const decision = own.routes.routeHttp(arrival.port, parts);
  return routed(policy, verdict, arrival, next, decision, says);
}

function routed(
  policy: InboundPolicy,
  verdict: Verdict,
  arrival: Arrival,
  flight: Flight,
  decision: OutboundDecision,
  says: () => readonly string[],
): HopResult {
  const { workload, port } = arrival;
  const byRoute = routeStep(decision, workload.key, "waypoint", () => [...says(), ...routeLines(decision)]);
  if (decision.kind !== "forward") return { step: byRoute };
  const to = decision.targets.map(({ name, cluster }) => cluster?.name ?? name).join(", ");
  const step: Step = { ...byRoute, ...verdictFields(policy, verdict, port), code: codeOf(flight), to };
  return {
    step,
    onward: { flight, sender: senderOfProxy(workload), by: "waypoint", decision, dialled: { port } },
  };
}

/** What is for a workload's own address goes to it, and nowhere else. */
function direct(
  { mesh }: JourneyContext,
  policy: InboundPolicy,
  { workload, port }: Arrival,
  addressed: Addressed,
  flight: Flight,
  verdict: Verdict,
  explain: () => readonly string[],
): HopResult {
  if (addressed.kind === "service") throw new Error("BUG: a service has routes");
  const to = `${addressed.workload.key}:${addressed.port}`;
  const step: Step = {
    ...verdictFields(policy, verdict, port),
    hop: workload.key,
    side: "waypoint",
    code: codeOf(flight),
    answersHttp: speaksHttp(flight),
    to,
    explain,
  };
  const arrival = hboneArrival(addressed.workload, addressed, senderOfProxy(workload));
  const end: End = takesHbone(mesh, addressed.workload)
    ? { kind: "workload", arrival, flight, way: to }
    : { kind: "refused", step: withoutHbone(step), way: to };
  return { step, onward: { flight, ends: [end] } };
}

function withoutHbone(step: Step): Step {
  const line = `${step.to ?? "the pod"} takes no HBONE, and a waypoint speaks nothing else to a pod's own address`;
  return {
    ...step,
    allowed: false,
    code: step.answersHttp ? 503 : 0,
    reason: "no-healthy-upstream",
    cause: "no-hbone",
    layer: "route",
    policy: null,
    rule: null,
    explain: () => [line],
  };
}

function codeOf(flight: Flight): number {
  return speaksHttp(flight) ? 200 : 0;
}
