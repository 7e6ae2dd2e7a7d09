import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { FlowSource, FlowTls } from "../model/flow-record.ts";
import { Connection } from "../policy/connection.ts";
import { decideConnection, type FilterChain, type InboundPolicy, selectChain } from "../policy/inbound.ts";
import { HTTP1_ALPN, HTTP2_ALPN, TCP_ALPN } from "../policy/path/journey.ts";
import type { Denial, Permit } from "../policy/permit.ts";
import { isUndecidedThroughHbone } from "../policy/through-hbone.ts";
import { authorizeBytes, bytesRefusal } from "./authorize-bytes.ts";
import { clientCertElement } from "./client-cert-header.ts";
import type { AuthorizerClient } from "./ext-authz/authorizer-client.ts";
import { judgeFirstBytes } from "./first-bytes.ts";
import type { HboneTunnel } from "./hbone/hbone-server.ts";
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
const HTTP2_ALPN_NAMES: ReadonlySet<string> = new Set(["h2", "istio-h2"]);
const HTTP1_ALPN_NAMES: ReadonlySet<string> = new Set([
  "istio-http/1.1",
  "istio-http/1.0",
  "http/1.1",
  "http/1.0",
]);

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
    const accepted: InboundConnection = { ...this.#describe(socket, port, ip), socket };
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

  /**
   * What came out of a tunnel to the pod: its client is known, and the port's protocol alone says how what is inside is taken. INVARIANT: the policy in force is
   * that of `throughHbone`.
   */
  acceptTunnel(tunnel: HboneTunnel): void {
    const { ip, port, peer } = tunnel;
    const asBytes = this.#chainInside(port, TCP_ALPN);
    if (this.#chainInside(port, HTTP1_ALPN) === "tcp") {
      this.#acceptBytes(tunnel);
      return;
    }
    const socket = tunnel.accept();
    const accepted: InboundConnection = { ...this.#describe(socket, port, ip), socket };
    const { limits } = this.#env.http;
    const { protocolDetectionTimeoutMs } = this.#state.snapshot.mesh.config;
    const timeoutMs = asBytes === "http" ? limits.headTimeoutMs : protocolDetectionTimeoutMs;
    judgeFirstBytes(socket, timeoutMs, protocolJudge(), (first, unread) => {
      if (first === undefined) return;
      const isHttp = asBytes === "http" || first.kind === "http1" || first.kind === "http2";
      this.#inside(accepted, peer, isHttp ? first : undefined, unread);
    });
  }

  /** What is refused whatever is inside is told to who asks. */
  #acceptBytes(tunnel: HboneTunnel): void {
    const { ip, port, peer: mesh, source } = tunnel;
    const facts = this.#describe({ remoteAddress: source.ip, remotePort: source.port }, port, ip);
    const peer = this.#meshPeer(facts, mesh, { sni: undefined, alpn: TCP_ALPN, http2: false });
    const { policy } = this.#state;
    const unopened = { ...facts, socket: { destroy: () => tunnel.refuse(403, "denied") } };
    const verdict = decideConnection(policy, peer.connection);
    if (isUndecidedThroughHbone(policy, false)) this.#records.refuse(unopened, UNDECIDED, peer);
    else if (!verdict.allowed) this.#records.refuseBy(policy, unopened, verdict, peer);
    else this.#inside({ ...facts, socket: tunnel.accept() }, mesh, undefined, NOTHING);
  }

  #chainInside(port: number, alpn: readonly string[]): FilterChain["protocol"] {
    return selectChain(this.#state.policy, port, { tls: true, alpn, speaksHttp: true }, "").protocol;
  }

  /** @param http what its first bytes are, where it is taken as HTTP. */
  #inside(accepted: InboundConnection, mesh: MeshPeer, http: FirstBytes | undefined, unread: Buffer): void {
    const http2 = http?.kind === "http2";
    const alpn = http === undefined ? TCP_ALPN : http2 ? HTTP2_ALPN : HTTP1_ALPN;
    const peer = this.#meshPeer(accepted, mesh, { sni: undefined, alpn, http2 });
    if (isUndecidedThroughHbone(this.#state.policy, http !== undefined))
      this.#records.refuse(accepted, UNDECIDED, peer);
    else if (http === undefined) this.#serveTcp(accepted, accepted.socket, peer, unread);
    else this.#serveHttp(accepted, accepted.socket, peer, http2);
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
    const http2 = mesh.alpn !== undefined && HTTP2_ALPN_NAMES.has(mesh.alpn);
    const peer = this.#meshPeer(accepted, mesh, { sni: mesh.sni, alpn, http2 });
    const { source, connection } = peer;
    const protocol = chain.refusal === null ? chain.protocol : "tcp";
    this.#records.handshake({ ...accepted, source }, mesh.tls, connection.sni);
    if (protocol === "tcp") this.#serveTcp(accepted, mesh.socket, peer, NOTHING);
    else if (http2 || (mesh.alpn !== undefined && HTTP1_ALPN_NAMES.has(mesh.alpn)))
      this.#serveHttp(accepted, mesh.socket, peer, http2);
    else this.#serveUnnamed(accepted, mesh.socket, peer);
  }

  /** A client whose certificate is known. */
  #meshPeer(
    accepted: Omit<InboundConnection, "socket">,
    mesh: MeshPeer,
    { sni, alpn, http2 }: { sni: string | undefined; alpn: readonly string[]; http2: boolean },
  ): InboundPeer {
    const element = clientCertElement(this.#state.snapshot.workload.spiffeId, mesh.certificate);
    const connection = new Connection({
      tls: "mtls",
      principal: mesh.principal,
      sourceIp: accepted.source.ip ?? "",
      destinationIp: accepted.destination.ip ?? this.#env.pod.address,
      destinationPort: accepted.port,
      sni,
      alpn,
      hop: { position: "sidecar", clientCert: element },
    });
    const source = { ...accepted.source, principal: mesh.principal };
    return this.#peer(accepted, connection, source, mesh.tls, element, http2);
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
    accepted: Omit<InboundConnection, "socket">,
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

  #describe(
    { remoteAddress: ip, remotePort }: Pick<Socket, "remoteAddress" | "remotePort">,
    port: number,
    dialledIp: string,
  ): Omit<InboundConnection, "socket"> {
    const { snapshot } = this.#state;
    this.#connections += 1;
    return {
      port,
      id: `${this.#env.pod.name}-${this.#connections}`,
      source: {
        workload: ip === undefined ? undefined : snapshot.workloadByAddress.get(ip),
        principal: null,
        ip,
        port: remotePort,
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

/** As `can` has it: what is not known to be decided alike is not let in. */
const UNDECIDED = {
  layer: "transport",
  reason: "ambient-to-sidecar",
  policy: null,
  rule: null,
  explanation: [
    "CUSTOM policies at a sidecar that is spoken to through HBONE are not decided, as Istio's do not see the tunnel's client there",
  ],
} as const;
