/** What a gateway writes down of connections, and how it ends those that it refuses. */
import type { FlowDestination } from "../model/flow-record.ts";
import type { Connection } from "../policy/connection.ts";
import { causeText } from "../policy/explain.ts";
import type { Verdict } from "../policy/verdict.ts";
import { handshakeCause, handshakeText } from "./connection-failure.ts";
import { explainDenial } from "./explain-denial.ts";
import type { GatewayConnection } from "./gateway-connection.ts";
import type { GatewayState } from "./gateway-state.ts";
import type { MutableFlow } from "./http-service.ts";
import { outboundFlow } from "./outbound-service.ts";
import type { ProxyEnvironment } from "./proxy-environment.ts";
import { shadowOf } from "./shadow-verdicts.ts";
import type { HandshakeFailure } from "./tls-acceptor.ts";

/** INVARIANT: every refusal leaves one record and no open socket. */
export class GatewayRecords {
  readonly #env: ProxyEnvironment;
  readonly #state: () => GatewayState;

  constructor(env: ProxyEnvironment, state: () => GatewayState) {
    this.#env = env;
    this.#state = state;
  }

  /** A handshake that did not come about: `tls-acceptor` has ended the socket. */
  handshakeFailed(accepted: GatewayConnection, failure: HandshakeFailure): void {
    const principal = failure.certificate?.spiffeId?.slice("spiffe://".length) ?? null;
    const flow = this.flow({ ...accepted, source: { ...accepted.source, principal } }, accepted.sni);
    flow.kind = "handshake";
    flow.protocol = "tls";
    flow.verdict = failure.code === "closed" ? "error" : "deny";
    const cause = handshakeCause(failure.code);
    flow.layer = cause === undefined ? "tls" : "transport";
    flow.reason = cause ?? failure.code;
    flow.explanation = [...(cause === undefined ? [] : [causeText(cause)]), handshakeText(failure)];
    this.#env.http.counters.denied += 1;
    flow.durationMs = performance.now() - accepted.startedMs;
    this.#env.http.flows.push(flow);
  }

  /** Refused by policy. @param name of the TLS inside, where it was that one's. */
  refuseBy(
    accepted: GatewayConnection,
    verdict: Verdict,
    name: string | undefined,
    connection: Connection,
  ): void {
    const flow = this.flow(accepted, name ?? accepted.sni);
    flow.explanation = explainDenial(this.#state().policy, connection, undefined);
    if (verdict.layer === "authorization")
      flow.shadow = shadowOf(this.#state().policy, connection, undefined);
    if (name !== accepted.sni) flow.innerSni = name;
    Object.assign(flow, {
      verdict: "deny",
      layer: verdict.layer,
      reason: verdict.cause,
      policy: verdict.policy,
      rule: verdict.rule,
    });
    this.deny(accepted, flow);
  }

  /** Refused by anything else. */
  refuse(accepted: GatewayConnection, layer: string, reason: string, explanation?: string): void {
    const flow = this.flow(accepted, accepted.sni);
    Object.assign(flow, { verdict: "deny", layer, reason });
    if (explanation !== undefined) flow.explanation = [explanation];
    this.deny(accepted, flow);
  }

  /** Ends the connection with a record that is otherwise filled in. */
  deny(accepted: GatewayConnection, flow: MutableFlow): void {
    flow.verdict = "deny";
    flow.durationMs = performance.now() - accepted.startedMs;
    this.#env.http.counters.denied += 1;
    this.#env.http.flows.push(flow);
    accepted.socket.destroy();
  }

  /** A record to fill in. */
  flow(accepted: GatewayConnection, host: string | undefined): MutableFlow {
    const destination: FlowDestination = { host, ip: this.#env.pod.address, port: accepted.port };
    const flow = outboundFlow(
      "connection",
      accepted.source,
      destination,
      this.#state().snapshot.workload.key,
      accepted.id,
    );
    flow.direction = "inbound";
    flow.sni = accepted.sni;
    flow.protocol = accepted.sni === undefined ? "tcp" : "tls";
    flow.authorizer = accepted.asked?.record;
    return flow;
  }
}
