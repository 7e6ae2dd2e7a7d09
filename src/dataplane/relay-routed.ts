import type { Socket } from "node:net";
import type { Connection } from "../policy/connection.ts";
import type { InboundPolicy } from "../policy/inbound.ts";
import type { OutboundDecision } from "../policy/outbound/types.ts";
import type { Permit } from "../policy/permit.ts";
import type { Verdict } from "../policy/verdict.ts";
import type { MutableFlow } from "./http-service.ts";
import { openTunnel } from "./open-tunnel.ts";
import { noteDecision } from "./outbound-service.ts";
import { type EndpointPicker, pickTarget, type RequestedDestination } from "./pick-endpoint.ts";
import type { ProxyEnvironment } from "./proxy-environment.ts";
import type { Refusal } from "./recheck.ts";
import { shadowOf } from "./shadow-verdicts.ts";

/** Bytes that may pass, and where routes send them. */
export interface RoutedBytes {
  readonly leave: Permit;
  readonly decision: OutboundDecision;
  readonly picker: EndpointPicker;
  /** By which port they came, and under which name. */
  readonly asked: RequestedDestination;
  readonly socket: Socket;
  /** What the client sent before it ended, where it could not be put back. */
  readonly unread: Buffer;
  /** To be filled in with what was decided. */
  readonly flow: MutableFlow;
  readonly startedMs: number;
  readonly policy: InboundPolicy;
  /** As policy saw it. */
  readonly connection: Connection;
  readonly recheck: () => Refusal | undefined;
}

/**
 * Relays them to one of the route's targets.
 * @param deny given the record of what no route takes; ends the connection.
 */
export function relayRouted(
  env: ProxyEnvironment,
  bytes: RoutedBytes,
  deny: (flow: MutableFlow) => void,
): void {
  const { leave, decision, picker, asked, socket, unread, flow, startedMs, recheck } = bytes;
  noteDecision(flow, decision);
  const target = decision.kind === "forward" ? pickTarget(decision.targets, Math.random()) : undefined;
  if (decision.kind !== "forward" || target === undefined) {
    flow.layer = "route";
    deny(flow);
    return;
  }
  flow.shadow = shadowOf(bytes.policy, bytes.connection, undefined);
  noteVerdict(flow, leave.verdict);
  const next = picker.next(decision, target, asked, "tcp");
  openTunnel(env, { leave, socket, unread, flow, startedMs, next, recheck });
}

/** Writes into a record who allowed it. */
export function noteVerdict(flow: MutableFlow, { layer, cause, policy, rule }: Verdict): void {
  Object.assign(flow, { layer, reason: cause, policy, rule });
}
