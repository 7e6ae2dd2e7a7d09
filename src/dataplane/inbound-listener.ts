import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import {
  type FlowDestination,
  type FlowSource,
  type FlowTls,
  nowRfc3339Nanos,
} from "../model/flow-record.ts";
import { Connection } from "../policy/connection.ts";
import { causeText } from "../policy/explain.ts";
import { decideConnection, type FilterChain, type InboundPolicy, selectChain } from "../policy/inbound.ts";
import type { Denial, Permit } from "../policy/permit.ts";
import type { Verdict } from "../policy/verdict.ts";
import { ByteStream } from "./byte-stream.ts";
import { clientCertElement } from "./client-cert-header.ts";
import { handshakeCause, handshakeText } from "./connection-failure.ts";
import { explainDenial } from "./explain-denial.ts";
import { type AskedPeers, authorizeAsked, forgetOthers } from "./ext-authz/authorize-asked.ts";
import type { AuthorizerClient } from "./ext-authz/authorizer-client.ts";
import { judgeFirstBytes } from "./first-bytes.ts";
import type { MutableFlow } from "./http-service.ts";
import { Http1Server } from "./http1-server.ts";
import { serveHttp2 } from "./http2-server.ts";
import { declaredHttp, serviceOf } from "./inbound-ports.ts";
import { type InboundPeer, InboundService } from "./inbound-service.ts";
import { type FirstBytes, protocolJudge } from "./judge-protocol.ts";
import type { HandshakeFailure, MeshPeer, MeshTlsServer } from "./mesh-tls-server.ts";
import { openTunnel } from "./open-tunnel.ts";
import type { ProxyEnvironment, Snapshot } from "./proxy-environment.ts";
import type { ApplicationLookup } from "./proxy-options.ts";
import { connectionRefusal, type Refusal } from "./recheck.ts";
import { shadowOf } from "./shadow-verdicts.ts";
import { upstreamTarget } from "./upstream-target.ts";

/** The server's side of a sidecar at present. */
export interface InboundState {
  readonly snapshot: Snapshot;
  readonly policy: InboundPolicy;
  readonly authorizers: AuthorizerClient;
}

/** One connection on its way in. */
interface Accepted {
  readonly socket: Socket;
  /** The container's port. */
  readonly port: number;
  readonly id: string;
  readonly source: FlowSource;
  readonly destination: FlowDestination;
  readonly startedMs: number;
}

/** Judged from the ClientHello or the ALPN that was agreed on: which names make a connection HTTP/2. */
const HTTP2_ALPN: ReadonlySet<string> = new Set(["h2", "istio-h2"]);
const HTTP1_ALPN: ReadonlySet<string> = new Set(["istio-http/1.1", "istio-http/1.0", "http/1.1", "http/1.0"]);

/** Takes connections for a workload: transport by PeerAuthentication, then TCP or HTTP, and on to the application. */
export class InboundListener {
  readonly #env: ProxyEnvironment;
  readonly #application: ApplicationLookup;
  readonly #tls: MeshTlsServer;
  #state: InboundState;
  #connections = 0;

  constructor(
    env: ProxyEnvironment,
    application: ApplicationLookup,
    tls: MeshTlsServer,
    state: InboundState,
  ) {
    this.#env = env;
    this.#application = application;
    this.#tls = tls;
    this.#state = state;
  }

  set state(state: InboundState) {
    this.#state = state;
  }

  /**
   * @param port the container's port that the socket stands for.
   * @param ip the pod's address that the client dialled.
   */
  accept(socket: Socket, port: number, ip = this.#env.pod.address): void {
    const accepted = this.#describe(socket, port, ip);
    const { policy, snapshot } = this.#state;
    if (policy.transport(port).mode === "STRICT") {
      this.#handshake(accepted, undefined);
      return;
    }
    judgeFirstBytes(
      socket,
      snapshot.mesh.config.protocolDetectionTimeoutMs,
      protocolJudge(),
      (first, unread) => {
        if (first !== undefined) this.#choose(accepted, first, unread);
      },
    );
  }

  #choose(accepted: Accepted, first: FirstBytes, unread: Buffer): void {
    if (first.kind === "broken-tls") {
      this.#refuseConnection(accepted, { layer: "protocol", reason: first.reason, policy: null, rule: null });
      return;
    }
    const { policy } = this.#state;
    const hello = first.kind === "tls" ? first.hello : undefined;
    const speaksHttp = first.kind === "http1" || first.kind === "http2";
    const seen = { tls: hello !== undefined, alpn: hello?.alpn ?? [], speaksHttp };
    const chain = selectChain(policy, accepted.port, seen, hello?.serverName ?? "");
    if (chain.refusal !== null) this.#refuseBy(accepted, chain.refusal);
    else if (chain.tls === "terminate") this.#handshake(accepted, seen.alpn);
    else this.#plain(accepted, chain, first, unread);
  }

  #plain(accepted: Accepted, chain: FilterChain, first: FirstBytes, unread: Buffer): void {
    const sni = first.kind === "tls" ? first.hello.serverName : undefined;
    const connection = new Connection({
      tls: first.kind === "tls" ? "simple" : "plaintext",
      principal: null,
      sourceIp: accepted.source.ip ?? "",
      destinationIp: accepted.destination.ip ?? this.#env.pod.address,
      destinationPort: accepted.port,
      sni,
      alpn: first.kind === "tls" ? first.hello.alpn : [],
      speaksHttp: first.kind === "http1" || first.kind === "http2",
    });
    const peer = this.#peer(
      accepted,
      connection,
      { ...accepted.source, principal: null },
      undefined,
      undefined,
      first.kind === "http2",
    );
    if (chain.protocol === "http") this.#serveHttp(accepted, accepted.socket, peer, first.kind === "http2");
    else this.#serveTcp(accepted, accepted.socket, peer, unread);
  }

  /**
   * @param offered the client's ALPN list, where its ClientHello was read. INVARIANT: the chain that was chosen by it holds
   *   after the handshake too: the name that was agreed on follows our preference, not the client's order.
   */
  #handshake(accepted: Accepted, offered: readonly string[] | undefined): void {
    this.#tls.accept(accepted.socket, (outcome) => {
      if ("socket" in outcome) this.#secured(accepted, outcome, offered);
      else this.#handshakeFailed(accepted, outcome);
    });
  }

  #secured(unsecured: Accepted, mesh: MeshPeer, offered: readonly string[] | undefined): void {
    const accepted: Accepted = { ...unsecured, socket: mesh.socket };
    const { policy } = this.#state;
    const { port } = accepted;
    const alpn = offered ?? (mesh.alpn === undefined ? [] : [mesh.alpn]);
    const chain = selectChain(policy, port, { tls: true, alpn, speaksHttp: true }, mesh.sni);
    const source: FlowSource = { ...accepted.source, principal: mesh.principal };
    const http2 = mesh.alpn !== undefined && HTTP2_ALPN.has(mesh.alpn);
    const element = clientCertElement(this.#state.snapshot.workload.spiffeId, mesh.certificate);
    const connection = new Connection({
      tls: "mtls",
      principal: mesh.principal,
      sourceIp: accepted.source.ip ?? "",
      destinationIp: accepted.destination.ip ?? this.#env.pod.address,
      destinationPort: port,
      sni: mesh.sni,
      alpn,
      hop: { position: "sidecar", clientCert: element },
    });
    const peer = this.#peer(accepted, connection, source, mesh.tls, element, http2);
    const protocol = chain.refusal === null ? chain.protocol : "tcp";
    this.#recordHandshake(accepted, peer);
    if (protocol === "tcp") this.#serveTcp(accepted, mesh.socket, peer, NOTHING);
    else if (http2 || (mesh.alpn !== undefined && HTTP1_ALPN.has(mesh.alpn)))
      this.#serveHttp(accepted, mesh.socket, peer, http2);
    else this.#serveUnnamed(accepted, mesh.socket, peer);
  }

  /** HTTP without an ALPN that says which: by its first bytes. */
  #serveUnnamed(accepted: Accepted, socket: TLSSocket, peer: InboundPeer): void {
    judgeFirstBytes(socket, this.#env.http.limits.headTimeoutMs, protocolJudge(), (first) => {
      if (first === undefined) return;
      this.#serveHttp(accepted, socket, { ...peer, http2: first.kind === "http2" }, first.kind === "http2");
    });
  }

  #serveHttp(accepted: Accepted, socket: Socket, peer: InboundPeer, http2: boolean): void {
    const verdict = decideConnection(this.#state.policy, peer.connection);
    const application = this.#application.get(accepted.port, accepted.destination.ip);
    if (!verdict.allowed || application === undefined) {
      this.#refuseBy(accepted, verdict, peer);
      return;
    }
    const target = upstreamTarget({
      ...application,
      localAddress: application.localAddress,
      tls: undefined,
      protocol: declaredHttp(this.#state.snapshot, accepted.port) ?? (http2 ? "http2" : "http1"),
      cluster: `inbound|${accepted.port}||`,
    });
    const service = new InboundService(
      peer,
      () => this.#state.policy,
      target,
      this.#env.jwt,
      () => this.#state.authorizers,
    );
    if (http2) serveHttp2(socket, service, this.#env.http, this.#env.http2, ignore);
    else new Http1Server(new ByteStream(socket, HANDED_OVER), service, this.#env.http, ignore);
  }

  #serveTcp(accepted: Accepted, socket: Socket, peer: InboundPeer, unread: Buffer): void {
    const { policy, authorizers } = this.#state;
    const { connection, source, tls } = peer;
    const principal = tls === undefined ? "" : policy.workload.spiffeId;
    const peers = (): AskedPeers => ({
      source: { ip: connection.sourceIp, port: source.port ?? 0, principal: connection.subject ?? "" },
      destination: { ip: connection.destinationIp, port: connection.destinationPort, principal },
    });
    // Nothing is read of the connection meanwhile.
    authorizeAsked(
      () => this.#state.policy,
      authorizers,
      connection,
      undefined,
      peers,
      (outcome, asked) => {
        const known = asked === undefined ? peer : { ...peer, authorizer: asked.record };
        if (!socket.destroyed) this.#tunnel(accepted, socket, known, outcome, unread);
      },
    );
  }

  #tunnel(
    accepted: Accepted,
    socket: Socket,
    peer: InboundPeer,
    outcome: Permit | Denial,
    unread: Buffer,
  ): void {
    const application = this.#application.get(accepted.port, accepted.destination.ip);
    if (!outcome.allowed || application === undefined) {
      this.#refuseBy(accepted, outcome.verdict, peer);
      return;
    }
    const target = upstreamTarget({
      ...application,
      localAddress: application.localAddress,
      tls: undefined,
      protocol: "tcp",
      cluster: `inbound|${accepted.port}||`,
    });
    openTunnel(this.#env, {
      leave: outcome,
      socket,
      unread,
      flow: {
        ...this.#flow(accepted, peer, outcome.verdict, "allow"),
        shadow: shadowOf(this.#state.policy, peer.connection, undefined),
      },
      startedMs: accepted.startedMs,
      next: (attempt) => (attempt === 0 ? target : undefined),
      recheck: () => refusalNow(this.#state.policy, peer, outcome),
    });
  }

  #peer(
    accepted: Accepted,
    connection: Connection,
    source: FlowSource,
    tls: FlowTls | undefined,
    element: string | undefined,
    http2: boolean,
  ): InboundPeer {
    const { workload } = this.#state.snapshot;
    return {
      connection,
      connectionId: accepted.id,
      source,
      destination: accepted.destination,
      reporter: workload.key,
      tls,
      http2,
      clientCertElement: element,
    };
  }

  #describe(socket: Socket, port: number, dialledIp: string): Accepted {
    const { snapshot } = this.#state;
    const ip = socket.remoteAddress;
    this.#connections += 1;
    return {
      socket,
      port,
      id: `${this.#env.pod.name}-${this.#connections}`,
      source: {
        workload: ip === undefined ? undefined : snapshot.workloadByAddress.get(ip),
        principal: null,
        ip,
        port: socket.remotePort,
      },
      destination: {
        workload: snapshot.workload.key,
        service: serviceOf(snapshot, port),
        ip: dialledIp,
        port,
      },
      startedMs: performance.now(),
    };
  }

  #recordHandshake(accepted: Accepted, peer: InboundPeer): void {
    this.#env.http.flows.push({
      ...this.#flow(accepted, peer, undefined, "allow"),
      kind: "handshake",
      layer: "tls",
      reason: "ok",
      durationMs: performance.now() - accepted.startedMs,
    });
  }

  /** Plaintext to a port that requires TLS looks like a broken handshake: the policy is what refused it. */
  #handshakeFailed(accepted: Accepted, failure: HandshakeFailure): void {
    const { mode, policy } = this.#state.policy.transport(accepted.port);
    const plaintext = PLAINTEXT_ERRORS.has(failure.code) && mode === "STRICT";
    const cause = plaintext ? "no-chain" : handshakeCause(failure.code);
    this.#env.http.counters.denied += 1;
    this.#env.http.flows.push({
      time: nowRfc3339Nanos(),
      kind: "handshake",
      source: {
        ...accepted.source,
        principal: failure.certificate?.spiffeId?.slice("spiffe://".length) ?? null,
      },
      destination: accepted.destination,
      reporter: this.#state.snapshot.workload.key,
      direction: "inbound",
      protocol: "tls",
      verdict: failure.code === "closed" ? "error" : "deny",
      layer: cause === undefined ? "tls" : "transport",
      reason: cause ?? failure.code,
      policy: cause === undefined ? null : policy,
      rule: null,
      tls:
        failure.certificate === undefined
          ? undefined
          : { peerSerial: failure.certificate.serial.toUpperCase() },
      explanation: [
        ...(cause === undefined ? [] : [causeText(cause)]),
        plaintext
          ? `plaintext to a port where ${policy ?? "the mesh"} requires mutual TLS`
          : handshakeText(failure),
      ],
      durationMs: performance.now() - accepted.startedMs,
      connectionId: accepted.id,
    });
  }

  #refuseBy(accepted: Accepted, verdict: Verdict, peer?: InboundPeer): void {
    const reason = verdict.allowed ? "no-application" : verdict.cause;
    const policy = verdict.policy ?? this.#transportPolicy(verdict, accepted.port);
    const explanation =
      peer === undefined || verdict.allowed
        ? undefined
        : explainDenial(this.#state.policy, peer.connection, undefined);
    const shadow =
      peer === undefined || verdict.layer !== "authorization"
        ? undefined
        : shadowOf(this.#state.policy, peer.connection, undefined);
    this.#refuseConnection(
      accepted,
      { layer: verdict.layer, reason, policy, rule: verdict.rule, explanation, shadow },
      peer,
    );
  }

  /** A refused transport is PeerAuthentication's doing, although no rule of it matched. */
  #transportPolicy(verdict: Verdict, port: number): string | null {
    return verdict.layer === "transport" ? this.#state.policy.transport(port).policy : null;
  }

  #refuseConnection(
    accepted: Accepted,
    refusal: Refusal & Pick<MutableFlow, "shadow">,
    peer?: InboundPeer,
  ): void {
    this.#env.http.counters.denied += 1;
    this.#env.http.flows.push({
      ...this.#flow(accepted, peer, undefined, "deny"),
      ...refusal,
      durationMs: performance.now() - accepted.startedMs,
    });
    accepted.socket.destroy();
  }

  #flow(
    accepted: Accepted,
    peer: InboundPeer | undefined,
    verdict: Verdict | undefined,
    outcome: "allow" | "deny",
  ): MutableFlow {
    return {
      time: nowRfc3339Nanos(),
      kind: "connection",
      source: peer?.source ?? accepted.source,
      destination: accepted.destination,
      reporter: this.#state.snapshot.workload.key,
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

const NOTHING = Buffer.alloc(0);
const PLAINTEXT_ERRORS: ReadonlySet<string> = new Set([
  "ERR_SSL_HTTP_REQUEST",
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_UNKNOWN_PROTOCOL",
  "ERR_SSL_BAD_RECORD_TYPE",
]);

function ignore(): void {}

/** Whoever takes the stream over sets its own handler in its constructor. */
const HANDED_OVER = { onData: ignore, onDrain: ignore, onEnd: ignore, onClose: ignore };

function refusalNow(
  policy: InboundPolicy,
  { connection, authorizer }: InboundPeer,
  permit: Permit,
): Refusal | undefined {
  forgetOthers(policy, connection, authorizer);
  return connectionRefusal(policy, connection, permit.verdict.cause === "per-request");
}
