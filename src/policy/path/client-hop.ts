/** The client's side: where its sidecar sends the request, or whether it refuses it. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { explainOutbound } from "../outbound/explain-outbound.ts";
import type { DialedDestination, OutboundDecision, OutboundPolicy } from "../outbound/types.ts";
import type { Verdict } from "../verdict.ts";
import { waypointOfService } from "../waypoint/waypoints.ts";
import { type ClientFields, clientFields } from "./client-fields.ts";
import {
  type Flight,
  type HopResult,
  type JourneyContext,
  type Sender,
  type Step,
  speaksHttp,
} from "./journey.ts";
import { withoutHeaders } from "./rewrite-flight.ts";
import { isTunnelled } from "./tunnelled.ts";
import { pastWaypoint } from "./waypoint-end.ts";

export interface ClientHop extends HopResult {
  readonly fields: Partial<ClientFields>;
}

export function clientHop(
  { mesh, compiled, semantics }: JourneyContext,
  flight: Flight,
  workload: Workload,
  sender: Sender,
  dialled: DialedDestination,
): ClientHop {
  const decision = route(compiled.outbound(workload), flight, dialled);
  const explain = () => [
    ...explainOutbound(mesh, workload, questionOf(flight, dialled)),
    ...chanceLines(decision),
    ...ambientLines(mesh, decision),
  ];
  const step = routeStep(decision, workload.key, "client", explain);
  const unreadable = flight.unreadable?.[semantics];
  if (unreadable && readsHttp(decision)) return { step: unreadableStep(step, unreadable), fields: {} };
  const fields = clientFields(decision, dialled);
  if (decision.kind !== "forward") return { step, fields };
  return {
    step: { ...step, ...whereTo(fields) },
    fields,
    onward: {
      flight: readsHttp(decision) ? tellingNothing(flight) : flight,
      sender,
      by: "sidecar",
      decision,
      dialled,
    },
  };
}

const TOLD_BY_SERVERS: ReadonlySet<string> = new Set(["x-forwarded-client-cert"]);

/** What an application says of certificates ends at its own sidecar (Envoy's SANITIZE, which istiod leaves in force outbound). */
function tellingNothing(flight: Flight): Flight {
  return { ...flight, headers: withoutHeaders(flight.headers, TOLD_BY_SERVERS) };
}

/** Whether the listener ends HTTP, whatever it then answers. */
function readsHttp(decision: OutboundDecision): boolean {
  if (decision.kind === "forward") return decision.http !== undefined;
  return decision.kind === "respond" || decision.code !== 0;
}

function unreadableStep({ hop, side, answersHttp }: Step, verdict: Verdict): Step {
  const explain = () => [`refused with ${verdict.code}: not an acceptable HTTP request`];
  return { ...verdict, hop, side, answersHttp, explain };
}

function route(policy: OutboundPolicy, flight: Flight, dialled: DialedDestination): OutboundDecision {
  const question = questionOf(flight, dialled);
  switch (question.protocol) {
    case "http":
      return policy.routeHttp(question);
    case "tls":
      return policy.routeTls(question);
    case "tcp":
      return policy.routeTcp(question);
  }
}

function questionOf(flight: Flight, dialled: DialedDestination): Parameters<typeof explainOutbound>[2] {
  const { authority, method, path, headers, ownSni, protocol } = flight;
  if (speaksHttp(flight))
    return {
      protocol: "http",
      ...dialled,
      authority,
      method,
      path,
      headers: withoutHeaders(headers, TOLD_BY_SERVERS),
    };
  if (ownSni === undefined) return { protocol: protocol === "tls" ? "tls" : "tcp", ...dialled };
  return { protocol: "tls", ...dialled, sni: ownSni };
}

/** A routing decision as one hop's word. */
export function routeStep(
  decision: OutboundDecision,
  hop: string,
  side: Step["side"],
  explain: Step["explain"],
): Step {
  const { allowed, code, reason, by } = decision;
  return {
    hop,
    side,
    allowed,
    code,
    reason,
    cause: causeOf(decision),
    layer: side === "client" ? "client-route" : "route",
    policy: by.resource,
    rule: by.route,
    answersHttp: decision.kind === "respond" || (decision.kind === "forward" && decision.http !== undefined),
    explain,
  };
}

function causeOf(decision: OutboundDecision): string {
  switch (decision.kind) {
    case "forward":
      return decision.reason === "ok" ? "routed" : "passthrough";
    case "respond":
      return decision.reason;
    case "refuse":
      return decision.cause ?? (decision.code === 400 ? "bad-request" : decision.reason);
  }
}

function whereTo({ cluster, clusters, tls }: Partial<ClientFields>): Partial<Step> {
  const to = cluster ?? (clusters ?? []).map((own) => `${own.cluster} (${own.weight})`).join(", ");
  return { to, ...(tls === undefined ? {} : { tls }) };
}

/** What is otherwise where the endpoints are in ambient mode. */
function ambientLines(mesh: Mesh, decision: OutboundDecision): readonly string[] {
  const clusters =
    decision.kind === "forward" ? decision.targets.flatMap(({ cluster }) => cluster ?? []) : [];
  return clusters.flatMap((cluster) => {
    const pods = cluster.endpoints.flatMap(({ endpoint }) => endpoint.workload ?? []);
    const tunnelled = pods.filter((pod) => isTunnelled(pod, cluster));
    if (tunnelled.length === 0) return [];
    return [
      `${tunnelled.map(({ key }) => key).join(", ")}: in ambient mode: HBONE to its ztunnel instead, of which no account is expected`,
      ...pastWaypoint(waypointOfService(mesh, cluster.service), cluster.service),
    ];
  });
}

/** Faults that happen to some requests only. */
function chanceLines(decision: OutboundDecision): string[] {
  const fault = decision.kind === "forward" ? decision.http?.fault : undefined;
  if (fault === undefined) return [];
  const parts = [
    ...(fault.abortPercent > 0
      ? [`${fault.abortPercent} % are answered with an injected ${fault.abortStatus}`]
      : []),
    ...(fault.delayPercent > 0 ? [`${fault.delayPercent} % wait ${fault.delayMs} ms first`] : []),
  ];
  return parts.length === 0 ? [] : [`of such requests ${parts.join(", ")}`];
}
