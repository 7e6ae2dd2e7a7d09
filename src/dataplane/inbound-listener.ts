import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { FlowSource, FlowTls } from "../model/flow-record.ts";
import { Connection } from "../policy/connection.ts";
import { decideConnection, type FilterChain, type InboundPolicy, selectChain } from "../policy/inbound.ts";
import type { Denial, Permit } from "../policy/permit.ts";
import { authorizeBytes, bytesRefusal } from "./authorize-bytes.ts";
import { clientCertElement } from "./client-cert-header.ts";
import type { AuthorizerClient } from "./ext-authz/authorizer-client.ts";
import { judgeFirstBytes } from "./first-bytes.ts";
import type { InboundConnection } from "./inbound-connection.ts";
import { declaredHttp, serviceOf } from "./inbound-ports.ts";
import { InboundRecords } from "./inbound-records.ts";
import { type InboundPeer, InboundService } from "./inbound-service.ts";
import { type FirstBytes, protocolJudge } from "./judge-protocol.ts";
import type { MeshPeer, MeshTlsServer } from "./mesh-tls-server.ts";
import { openTunnel } from "./open-tunnel.ts";
import type { ProxyEnvironment, Snapshot } from "./proxy-environment.ts";
import type { ApplicationLookup } from "./proxy-options.ts";
import { serveHttp } from "./serve-http.ts";
import { shadowOf } from "./shadow-verdicts.ts";
import { upstreamTarget } from "./upstream-target.ts";

/** The server's side of a sidecar at present. */
export interface InboundState {
  readonly snapshot: Snapshot;
  readonly policy: InboundPolicy;
  readonly authorizers: AuthorizerClient;
}

/** Judged from the ClientHello or the ALPN that was agreed on: which names make a connection HTTP/2. */
const HTTP2_ALPN: ReadonlySet<string> = new Set(["h2", "istio-h2"]);
const HTTP1_ALPN: ReadonlySet<string> = new Set(["istio-http/1.1", "istio-http/1.0", "http/1.1", "http/1.0"]);

/** Takes connections for a workload: transport by PeerAuthentication, then TCP or HTTP, and on to the application. */
export class InboundListener {
  readonly #env: ProxyEnvironment;
  readonly #application: ApplicationLookup;
  readonly #tls: MeshTlsServer;
  readonly #records: InboundRecords;
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
    this.#records = new InboundRecords(env.http, () => this.#state.snapshot.workload.key);
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

  #choose(accepted: InboundConnection, first: FirstBytes, unread: Buffer): void {
    if (first.kind === "broken-tls") {
      this.#records.refuse(accepted, { layer: "protocol", reason: first.reason, policy: null, rule: null });
      return;
    }
    const { policy } = this.#state;
    const hello = first.kind === "tls" ? first.hello : undefined;
    const speaksHttp = first.kind === "http1" || first.kind === "http2";
    const seen = { tls: hello !== undefined, alpn: hello?.alpn ?? [], speaksHttp };
    const chain = selectChain(policy, accepted.port, seen, hello?.serverName ?? "");
    if (chain.refusal !== null) this.#records.refuseBy(this.#state.policy, accepted, chain.refusal);
    else if (chain.tls === "terminate") this.#handshake(accepted, seen.alpn);
    else this.#plain(accepted, chain, first, unread);
  }

  #plain(accepted: InboundConnection, chain: FilterChain, first: FirstBytes, unread: Buffer): void {
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
  #handshake(accepted: InboundConnection, offered: readonly string[] | undefined): void {
    this.#tls.accept(accepted.socket, (outcome) => {
      if ("socket" in outcome) this.#secured(accepted, outcome, offered);
      else this.#records.handshakeFailed(this.#state.policy, accepted, outcome);
    });
  }

  #secured(unsecured: InboundConnection, mesh: MeshPeer, offered: readonly string[] | undefined): void {
    const accepted: InboundConnection = { ...unsecured, socket: mesh.socket };
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
    this.#records.handshake({ ...accepted, source }, mesh.tls, connection.sni);
    if (protocol === "tcp") this.#serveTcp(accepted, mesh.socket, peer, NOTHING);
    else if (http2 || (mesh.alpn !== undefined && HTTP1_ALPN.has(mesh.alpn)))
      this.#serveHttp(accepted, mesh.socket, peer, http2);
    else this.#serveUnnamed(accepted, mesh.socket, peer);
  }

  /** HTTP without an ALPN that says which: by its first bytes. */
  #serveUnnamed(accepted: InboundConnection, socket: TLSSocket, peer: InboundPeer): void {
    judgeFirstBytes(socket, this.#env.http.limits.headTimeoutMs, protocolJudge(), (first) => {
      if (first === undefined) return;
      this.#serveHttp(accepted, socket, { ...peer, http2: first.kind === "http2" }, first.kind === "http2");
    });
  }

  #serveHttp(accepted: InboundConnection, socket: Socket, peer: InboundPeer, http2: boolean): void {
    const verdict = decideConnection(this.#state.policy, peer.connection);
    const application = this.#application.get(accepted.port, accepted.destination.ip);
    if (!verdict.allowed || application === undefined) {
      this.#records.refuseBy(this.#state.policy, accepted, verdict, peer);
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
    serveHttp(socket, http2, service, this.#env);
  }

  #serveTcp(accepted: InboundConnection, socket: Socket, peer: InboundPeer, unread: Buffer): void {
    const { connection, source, tls } = peer;
    const bytes = { socket, connection, source, secured: tls !== undefined };
    authorizeBytes(
      () => this.#state.policy,
      this.#state.authorizers,
      bytes,
      (outcome, asked) => {
        const known = asked === undefined ? peer : { ...peer, authorizer: asked.record };
        this.#tunnel(accepted, socket, known, outcome, unread);
      },
    );
  }

  #tunnel(
    accepted: InboundConnection,
    socket: Socket,
    peer: InboundPeer,
    outcome: Permit | Denial,
    unread: Buffer,
  ): void {
    const application = this.#application.get(accepted.port, accepted.destination.ip);
    if (!outcome.allowed || application === undefined) {
      this.#records.refuseBy(this.#state.policy, accepted, outcome.verdict, peer);
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
        ...this.#records.flow(accepted, peer, outcome.verdict, "allow"),
        shadow: shadowOf(this.#state.policy, peer.connection, undefined),
      },
      startedMs: accepted.startedMs,
      next: (attempt) => (attempt === 0 ? target : undefined),
      recheck: () => bytesRefusal(this.#state.policy, peer.connection, outcome, peer.authorizer),
    });
  }

  #peer(
    accepted: InboundConnection,
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

  #describe(socket: Socket, port: number, dialledIp: string): InboundConnection {
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
}

const NOTHING = Buffer.alloc(0);
