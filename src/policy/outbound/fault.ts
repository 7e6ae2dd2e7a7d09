/** Faults injected before a route's own action. */
import { durationMs } from "../../model/mesh-config.ts";
import { NO_HEADER_OPS } from "./header-ops.ts";
import type { HttpFault } from "./resource-shapes.ts";
import type { RouteAction } from "./route-action.ts";
import type { FaultPlan, OutboundDecision, RespondDecision } from "./types.ts";

/** gRPC's status codes by name (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). */
const GRPC_STATUSES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** The action with the route's fault before it. */
export function compileFault(fault: HttpFault | undefined, action: RouteAction): RouteAction {
  const plan = fault === undefined ? undefined : planFault(fault);
  if (plan === undefined) return action;
  return (request, listener) => {
    const decision = action(request, listener);
    const delayed = happens(plan.delayPercent, request.roll) ? plan.delayMs : 0;
    if (happens(plan.abortPercent, request.roll)) return abort(plan, decision, delayed);
    if (delayed > 0 && decision.kind !== "refuse") return withPlan({ ...decision, delayMs: delayed }, plan);
    return withPlan(decision, plan);
  };
}

function happens(percent: number, roll: number): boolean {
  return percent >= 100 || roll * 100 < percent;
}

function planFault({ delay = {}, abort: aborted = {} }: HttpFault): FaultPlan | undefined {
  const delayMs = durationMs(delay.fixedDelay) ?? 0;
  const grpcStatus = GRPC_STATUSES.indexOf(aborted.grpcStatus ?? "");
  const status = aborted.httpStatus ?? (grpcStatus >= 0 ? 200 : 0);
  if (delayMs === 0 && status === 0) return undefined;
  return {
    delayMs,
    delayPercent: delayMs === 0 ? 0 : (delay.percentage?.value ?? delay.percent ?? 0),
    abortStatus: status,
    ...(grpcStatus >= 0 ? { abortGrpcStatus: grpcStatus } : {}),
    abortPercent: status === 0 ? 0 : (aborted.percentage?.value ?? 0),
  };
}

function abort(plan: FaultPlan, decision: OutboundDecision, delayMs: number): RespondDecision {
  const targets = "targets" in decision ? decision.targets : undefined;
  const cluster = targets?.length === 1 ? targets[0]?.name : undefined;
  return {
    kind: "respond",
    allowed: false,
    code: plan.abortStatus,
    reason: "fault",
    by: decision.by,
    listener: decision.listener,
    ...(plan.abortGrpcStatus === undefined ? {} : { grpcStatus: plan.abortGrpcStatus }),
    ...(delayMs > 0 ? { delayMs } : {}),
    ...(cluster === undefined ? {} : { cluster }),
    ...(targets === undefined ? {} : { targets }),
    ...(decision.kind === "forward" && decision.http !== undefined ? { http: decision.http } : {}),
    responseHeaders: NO_HEADER_OPS,
  };
}

function withPlan(decision: OutboundDecision, fault: FaultPlan): OutboundDecision {
  if (decision.kind !== "forward" || decision.http === undefined) return decision;
  return { ...decision, http: { ...decision.http, fault } };
}
