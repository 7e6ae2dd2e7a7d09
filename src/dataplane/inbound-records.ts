/** What a server's proxy writes down of connections, and how it ends those that it refuses. */
import { type FlowTls, nowRfc3339Nanos } from "../model/flow-record.ts";
import { causeText } from "../policy/explain.ts";
import type { InboundPolicy } from "../policy/inbound.ts";
import type { Verdict } from "../policy/verdict.ts";
import { handshakeCause, handshakeText } from "./connection-failure.ts";
import { explainDenial } from "./explain-denial.ts";
import type { HttpEnvironment } from "./http-environment.ts";
import type { MutableFlow } from "./http-service.ts";
import type { InboundConnection } from "./inbound-connection.ts";
import type { InboundPeer } from "./inbound-service.ts";
import type { Refusal } from "./recheck.ts";
import { shadowOf } from "./shadow-verdicts.ts";
import type { HandshakeFailure } from "./tls-acceptor.ts";

/** What is refused: a connection, or a tunnel that is not opened. */
export type Refusable = Omit<InboundConnection, "socket"> & { readonly socket: { destroy(): void } };

/** INVARIANT: every refusal leaves one record and no open socket. */
export class InboundRecords {
  readonly #http: HttpEnvironment;
  readonly #reporter: () => string;

  /** @param reporter `namespace/name` of the workload whose proxy it is. */
  constructor(http: HttpEnvironment, reporter: () => string) {
    this.#http = http;
    this.#reporter = reporter;
  }

  /** One that stands. */
  handshake(accepted: Omit<InboundConnection, "socket">, tls: FlowTls | undefined, sni?: string): void {
    this.#http.flows.push({
      ...this.flow(accepted, undefined, undefined, "allow"),
      kind: "handshake",
      sni: sni === "" ? undefined : sni,
      tls,
      layer: "tls",
      reason: "ok",
      durationMs: performance.now() - accepted.startedMs,
    });
  }

  /**
   * Plaintext to a port that requires TLS looks like a broken handshake: the policy is what refused it. `tls-acceptor` has ended the socket.
   */
  handshakeFailed(
    policy: InboundPolicy,
    accepted: Omit<InboundConnection, "socket">,
    failure: HandshakeFailure,
  ): void {
    const { mode, policy: by } = policy.transport(accepted.port);
    const plaintext = PLAINTEXT_ERRORS.has(failure.code) && mode === "STRICT";
    const cause = plaintext ? "no-chain" : handshakeCause(failure.code);
    const { certificate } = failure;
    this.#http.counters.denied += 1;
    this.#http.flows.push({
      time: nowRfc3339Nanos(),
      kind: "handshake",
      source: { ...accepted.source, principal: certificate?.spiffeId?.slice("spiffe://".length) ?? null },
      destination: accepted.destination,
      reporter: this.#reporter(),
      direction: "inbound",
      protocol: "tls",
      verdict: failure.code === "closed" ? "error" : "deny",
      layer: cause === undefined ? "tls" : "transport",
      reason: cause ?? failure.code,
      policy: cause === undefined ? null : by,
      rule: null,
      tls: certificate === undefined ? undefined : { peerSerial: certificate.serial.toUpperCase() },
      explanation: [
        ...(cause === undefined ? [] : [causeText(cause)]),
        plaintext
          ? `plaintext to a port where ${by ?? "the mesh"} requires mutual TLS`
          : handshakeText(failure),
      ],
      durationMs: performance.now() - accepted.startedMs,
      connectionId: accepted.id,
    });
  }

  /** @param verdict an allowing one where no application serves the port. */
  refuseBy(policy: InboundPolicy, accepted: Refusable, verdict: Verdict, peer?: InboundPeer): void {
    const explained = peer !== undefined && !verdict.allowed;
    const shadowed = peer !== undefined && verdict.layer === "authorization";
    this.refuse(
      accepted,
      {
        layer: verdict.layer,
        reason: verdict.allowed ? "no-application" : verdict.cause,
        policy: verdict.policy ?? transportPolicy(policy, verdict, accepted.port),
        rule: verdict.rule,
        explanation: explained ? explainDenial(policy, peer.connection, undefined) : undefined,
        shadow: shadowed ? shadowOf(policy, peer.connection, undefined) : undefined,
      },
      peer,
    );
  }

  refuse(accepted: Refusable, refusal: Refusal & Pick<MutableFlow, "shadow">, peer?: InboundPeer): void {
    this.deny(accepted, { ...this.flow(accepted, peer, undefined, "deny"), ...refusal });
  }

  /** Ends it with a record that is otherwise filled in. */
  deny(accepted: Refusable, flow: MutableFlow): void {
    flow.verdict = "deny";
    flow.durationMs = performance.now() - accepted.startedMs;
    this.#http.counters.denied += 1;
    this.#http.flows.push(flow);
    accepted.socket.destroy();
  }

  /** A record to fill in. */
  flow(
    accepted: Omit<InboundConnection, "socket">,
    peer: InboundPeer | undefined,
    verdict: Verdict | undefined,
    outcome: "allow" | "deny",
  ): MutableFlow {
    return {
      time: nowRfc3339Nanos(),
      kind: "connection",
      source: peer?.source ?? accepted.source,
      destination: accepted.destination,
      reporter: this.#reporter(),
      direction: "inbound",
      protocol: "tcp",
      sni: peer === undefined || peer.connection.sni === "" ? undefined : peer.connection.sni,
      tls: peer?.tls,
      verdict: outcome,
      layer: verdict?.layer,
      reason: verdict?.cause,
      policy: verdict?.policy,
      rule: verdict?.rule,
      connectionId: accepted.id,
      authorizer: peer?.authorizer,
    };
  }
}

/** A refused transport is PeerAuthentication's doing, although no rule of it matched. */
function transportPolicy(policy: InboundPolicy, verdict: Verdict, port: number): string | null {
  return verdict.layer === "transport" ? policy.transport(port).policy : null;
}

const PLAINTEXT_ERRORS: ReadonlySet<string> = new Set([
  "ERR_SSL_HTTP_REQUEST",
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_UNKNOWN_PROTOCOL",
  "ERR_SSL_BAD_RECORD_TYPE",
]);
