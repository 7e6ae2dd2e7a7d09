import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { FlowDestination, FlowSource } from "../model/flow-record.ts";
import { Connection } from "../policy/connection.ts";
import { causeText } from "../policy/explain.ts";
import type { GatewayServer, OutboundDecision } from "../policy/outbound/types.ts";
import type { Denial, Permit } from "../policy/permit.ts";
import type { Verdict } from "../policy/verdict.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { ByteStream } from "./byte-stream.ts";
import { clientCertElement, edgeCertElement } from "./client-cert-header.ts";
import { handshakeCause, handshakeText } from "./connection-failure.ts";
import { subjectOf } from "./edge-tls-server.ts";
import { endsEdgeTls } from "./edge-tls-servers.ts";
import { ENCRYPTED_HELLO } from "./encrypted-hello.ts";
import { explainDenial } from "./explain-denial.ts";
import {
  type AskedAnswer,
  type AskedPeers,
  authorizeAsked,
  forgetOthers,
} from "./ext-authz/authorize-asked.ts";
import { judgeFirstBytes } from "./first-bytes.ts";
import { GatewayHttpService } from "./gateway-service.ts";
import type { GatewayState } from "./gateway-state.ts";
import type { MutableFlow } from "./http-service.ts";
import { Http1Server } from "./http1-server.ts";
import { serveHttp2 } from "./http2-server.ts";
import { type FirstBytes, protocolJudge } from "./judge-protocol.ts";
import type { MeshTlsServer } from "./mesh-tls-server.ts";
import { openTunnel } from "./open-tunnel.ts";
import { noteDecision, outboundFlow } from "./outbound-service.ts";
import { pickTarget } from "./pick-endpoint.ts";
import type { ProxyEnvironment } from "./proxy-environment.ts";
import { connectionRefusal, type Refusal, routeGone } from "./recheck.ts";
import { shadowOf } from "./shadow-verdicts.ts";
import type { HandshakeFailure, SecuredPeer } from "./tls-acceptor.ts";

/** One connection at the gateway, and what has been learnt of it. */
interface Accepted {
  readonly socket: Socket;
  /** The port that the gateway's pod listens on, in the model. */
  readonly port: number;
  readonly id: string;
  readonly source: FlowSource;
  readonly startedMs: number;
  /** Server name of the TLS that reached us. */
  readonly sni: string | undefined;
  /** What the authorizer of a CUSTOM policy said of it, where one was asked. */
  readonly asked?: AskedAnswer | undefined;
}

/** A connection whose mesh's TLS has ended here, and leave to look at what is inside. */
interface Outer {
  readonly connection: Connection;
  readonly permit: Permit;
}

/**
 * A gateway: chooses a server by port and server name, ends the mesh's TLS where the server says so, authorizes, and
 * forwards. For egress the application's own TLS inside is read for its server name, checked like the one outside, and
 * passed on untouched.
 */
export class GatewayListener {
  readonly #env: ProxyEnvironment;
  readonly #tls: MeshTlsServer;
  #state: GatewayState;
  #connections = 0;

  constructor(env: ProxyEnvironment, tls: MeshTlsServer, state: GatewayState) {
    this.#env = env;
    this.#tls = tls;
    this.#state = state;
  }

  set state(state: GatewayState) {
    this.#state = state;
  }

  accept(socket: Socket, port: number): void {
    const ip = socket.remoteAddress;
    this.#connections += 1;
    const accepted: Accepted = {
      socket,
      port,
      id: `${this.#env.pod.name}-${this.#connections}`,
      source: {
        workload: ip === undefined ? undefined : this.#state.snapshot.workloadByAddress.get(ip),
        principal: null,
        ip,
        port: socket.remotePort,
      },
      startedMs: performance.now(),
      sni: undefined,
    };
    judgeFirstBytes(socket, this.#env.http.limits.handshakeTimeoutMs, protocolJudge(), (first, unread) => {
      if (first !== undefined) this.#choose(accepted, first, unread);
    });
  }

  #choose(accepted: Accepted, first: FirstBytes, unread: Buffer): void {
    if (first.kind === "broken-tls") {
      this.#refuse(accepted, "protocol", first.reason);
      return;
    }
    const named = { ...accepted, sni: first.kind === "tls" ? first.hello.serverName : undefined };
    const server = this.#state.routes.selectServer(accepted.port, named.sni);
    if (server === undefined)
      this.#refuse(
        named,
        "route",
        "no-server",
        `no server of this gateway takes the name \`${named.sni ?? ""}\``,
      );
    else if (first.kind === "tls" && !isOpaque(server)) this.#tlsServer(named, server, first, unread);
    else if (endsTls(server)) this.#refuse(named, "transport", "plaintext-to-tls-port");
    else if (server.protocol === "http")
      this.#serveHttp(
        named,
        named.socket,
        this.#plainConnection(named, first),
        first.kind === "http2",
        server,
      );
    else this.#routeOpaque(named, named.socket, this.#plainConnection(named, first), undefined, unread);
  }

  #tlsServer(
    accepted: Accepted,
    server: GatewayServer,
    first: FirstBytes & { kind: "tls" },
    unread: Buffer,
  ): void {
    if (endsEdgeTls(server)) {
      this.#edgeTls(accepted, server);
      return;
    }
    switch (endsTls(server) ? server.tls?.mode : undefined) {
      case "ISTIO_MUTUAL":
        this.#tls.accept(accepted.socket, (outcome) => this.#shaken(accepted, outcome, server));
        return;
      case "AUTO_PASSTHROUGH":
      case "PASSTHROUGH":
        if (first.hello.hasEncryptedClientHello)
          this.#refuse(accepted, "route", "sni-encrypted", ENCRYPTED_HELLO);
        else this.#passThrough(accepted, unread);
        return;
      default:
        this.#refuse(accepted, "transport", "tls-to-plaintext-port");
    }
  }

  /** Under certificates of the server's own; without them it refuses. */
  #edgeTls(accepted: Accepted, server: GatewayServer): void {
    const edge = this.#state.edge.get(server);
    if (edge === undefined || edge instanceof BulwarkError)
      this.#refuse(accepted, "tls", edge?.code ?? "BW_GATEWAY_NO_CREDENTIAL", edge?.message);
    else edge.accept(accepted.socket, (outcome) => this.#shaken(accepted, outcome, server));
  }

  #shaken(accepted: Accepted, outcome: SecuredPeer | HandshakeFailure, server: GatewayServer): void {
    if ("socket" in outcome) this.#secured(accepted, outcome, server);
    else this.#handshakeFailed(accepted, outcome);
  }

  #passThrough(accepted: Accepted, unread: Buffer): void {
    const connection = new Connection({
      tls: "simple",
      principal: null,
      sourceIp: accepted.source.ip ?? "",
      destinationIp: this.#env.pod.address,
      destinationPort: accepted.port,
      sni: accepted.sni,
    });
    this.#authorize(accepted, connection, undefined, (outcome, known) => {
      if (!outcome.allowed) this.#refuseBy(known, outcome.verdict, accepted.sni, connection);
      else
        this.#forward(
          known,
          accepted.socket,
          this.#state.routes.routeTls(names(accepted, undefined)),
          outcome,
          [connection],
          undefined,
          unread,
        );
    });
  }

  /** Decides, after the authorizer of a CUSTOM policy has said its word where one is to be asked; nothing is read meanwhile. */
  #authorize(
    accepted: Accepted,
    connection: Connection,
    mesh: SecuredPeer | undefined,
    settled: (outcome: Permit | Denial, accepted: Accepted) => void,
  ): void {
    const { policy, authorizers } = this.#state;
    const peers = (): AskedPeers => ({
      source: {
        ip: connection.sourceIp,
        port: accepted.source.port ?? 0,
        principal: connection.subject ?? "",
      },
      destination: {
        ip: connection.destinationIp,
        port: connection.destinationPort,
        principal: mesh === undefined ? "" : policy.workload.spiffeId,
      },
    });
    authorizeAsked(
      () => this.#state.policy,
      authorizers,
      connection,
      accepted.asked,
      peers,
      (outcome, asked) => {
        if (!accepted.socket.destroyed)
          settled(outcome, asked === undefined ? accepted : { ...accepted, asked });
      },
    );
  }

  #secured(accepted: Accepted, mesh: SecuredPeer, server: GatewayServer): void {
    const { snapshot } = this.#state;
    const identified: Accepted = {
      ...accepted,
      socket: mesh.socket,
      source: {
        ...accepted.source,
        workload: accepted.source.workload ?? undefined,
        principal: mesh.principal,
      },
    };
    const connection = this.#meshConnection(identified, mesh, mesh.sni);
    this.#env.http.flows.push({
      ...this.#flow(identified, "connection", mesh.sni),
      kind: "handshake",
      protocol: "tls",
      tls: mesh.tls,
      verdict: "allow",
      layer: "tls",
      reason: "ok",
      durationMs: performance.now() - accepted.startedMs,
    });
    if (server.protocol === "http" || server.protocol === "https") {
      this.#serveHttp(
        identified,
        mesh.socket,
        connection,
        mesh.alpn === "h2" || mesh.alpn === "istio-h2",
        server,
        mesh,
      );
      return;
    }
    if (endsEdgeTls(server)) {
      // What is inside comes from outside of the mesh and goes where the server's routes say, whatever it is.
      this.#routeOpaque(identified, mesh.socket, connection, undefined, NOTHING, mesh);
      return;
    }
    this.#authorize(identified, connection, mesh, (outcome, known) => {
      if (!outcome.allowed) {
        this.#refuseBy(known, outcome.verdict, mesh.sni, connection);
        return;
      }
      const { protocolDetectionTimeoutMs } = snapshot.mesh.config;
      judgeFirstBytes(mesh.socket, protocolDetectionTimeoutMs, protocolJudge(), (first, unread) => {
        if (first !== undefined) this.#inside(known, mesh, first, { connection, permit: outcome }, unread);
      });
    });
  }

  /** What the application itself opened inside the mesh's TLS. INVARIANT: its server name passes every check that the outer one did. */
  #inside(accepted: Accepted, mesh: SecuredPeer, first: FirstBytes, outer: Outer, unread: Buffer): void {
    if (first.kind === "broken-tls") {
      this.#refuse(accepted, "protocol", first.reason);
      return;
    }
    if (first.kind === "tls" && first.hello.hasEncryptedClientHello) {
      this.#refuse(accepted, "route", "inner-sni-encrypted", ENCRYPTED_HELLO);
      return;
    }
    const innerSni = first.kind === "tls" ? first.hello.serverName : undefined;
    if (first.kind === "tls" && innerSni === undefined) {
      this.#refuse(
        accepted,
        "route",
        "inner-sni-missing",
        "the application's TLS names no server, so nobody can tell where it goes",
      );
      return;
    }
    // Clear text inside has no name, and a condition on one is not met by the name that the client wrote outside.
    const trusted = innerSni === undefined && this.#state.policy.semantics === "istio";
    const connection = trusted ? outer.connection : this.#meshConnection(accepted, mesh, innerSni ?? "");
    this.#routeOpaque(accepted, mesh.socket, connection, innerSni, unread, mesh, outer.connection);
  }

  #routeOpaque(
    accepted: Accepted,
    socket: Socket,
    connection: Connection,
    innerSni: string | undefined,
    unread: Buffer,
    mesh?: SecuredPeer,
    outer?: Connection,
  ): void {
    this.#authorize(accepted, connection, mesh, (outcome, known) => {
      if (!outcome.allowed) {
        this.#refuseBy(known, outcome.verdict, innerSni, connection);
        return;
      }
      const decision = this.#state.routes.routeTcp(names(accepted, innerSni));
      const connections = outer === undefined ? [connection] : [outer, connection];
      this.#forward(known, socket, decision, outcome, connections, innerSni, unread);
    });
  }

  /** @param connections every connection, real and as by its inner name, that must stay permitted. */
  #forward(
    accepted: Accepted,
    socket: Socket,
    decision: OutboundDecision,
    permit: Permit,
    connections: readonly Connection[],
    innerSni: string | undefined,
    unread: Buffer,
  ): void {
    const name = innerSni ?? accepted.sni;
    const flow = this.#flow(accepted, "connection", name);
    flow.innerSni = innerSni;
    noteDecision(flow, decision);
    const { picker } = this.#state;
    const target = decision.kind === "forward" ? pickTarget(decision.targets, Math.random()) : undefined;
    if (decision.kind !== "forward" || target === undefined) {
      flow.layer = "route";
      this.#deny(accepted, flow);
      return;
    }
    const { verdict } = permit;
    const [first] = connections;
    if (first !== undefined)
      flow.shadow = shadowOf(this.#state.policy, connections.at(-1) ?? first, undefined);
    Object.assign(flow, {
      layer: verdict.layer,
      reason: verdict.cause,
      policy: verdict.policy,
      rule: verdict.rule,
    });
    openTunnel(this.#env, {
      leave: permit,
      socket,
      unread,
      flow,
      startedMs: accepted.startedMs,
      next: picker.next(decision, target, { port: accepted.port, name }, "tcp"),
      recheck: () => this.#refusalNow(accepted, connections, permit) ?? this.#unroutedNow(accepted, innerSni),
    });
  }

  #refusalNow({ asked }: Accepted, connections: readonly Connection[], permit: Permit): Refusal | undefined {
    for (const connection of connections) {
      forgetOthers(this.#state.policy, connection, asked?.record);
      const perRequest = permit.verdict.cause === "per-request";
      const refusal = connectionRefusal(this.#state.policy, connection, perRequest);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  #unroutedNow(accepted: Accepted, innerSni: string | undefined): Refusal | undefined {
    const { routes } = this.#state;
    const server = routes.selectServer(accepted.port, accepted.sni);
    if (server === undefined) return routeGone("no-server");
    const asked = names(accepted, innerSni);
    const passes = server.tls?.mode === "PASSTHROUGH" || server.tls?.mode === "AUTO_PASSTHROUGH";
    const decision = passes ? routes.routeTls(asked) : routes.routeTcp(asked);
    return decision.kind === "forward" ? undefined : routeGone(decision.reason);
  }

  #serveHttp(
    accepted: Accepted,
    socket: Socket | TLSSocket,
    connection: Connection,
    http2: boolean,
    server: GatewayServer,
    mesh?: SecuredPeer,
  ): void {
    const peer = {
      connection,
      connectionId: accepted.id,
      source: accepted.source,
      reporter: this.#state.snapshot.workload.key,
      tls: mesh?.tls,
      http2,
      port: accepted.port,
      sni: accepted.sni,
      clientCertElement: mesh === undefined ? undefined : this.#certElement(mesh, server),
    };
    const service = new GatewayHttpService(peer, () => this.#state, this.#env.jwt);
    if (http2) serveHttp2(socket, service, this.#env.http, this.#env.http2, ignore);
    else new Http1Server(new ByteStream(socket, HANDED_OVER), service, this.#env.http, ignore);
  }

  #certElement({ socket, certificate }: SecuredPeer, server: GatewayServer): string | undefined {
    if (certificate === undefined) return undefined;
    return endsEdgeTls(server)
      ? edgeCertElement(certificate, subjectOf(socket))
      : clientCertElement(this.#state.snapshot.workload.spiffeId, certificate);
  }

  #plainConnection(accepted: Accepted, first: FirstBytes): Connection {
    return new Connection({
      tls: "plaintext",
      principal: null,
      sourceIp: accepted.source.ip ?? "",
      destinationIp: this.#env.pod.address,
      destinationPort: accepted.port,
      speaksHttp: first.kind === "http1" || first.kind === "http2",
    });
  }

  #meshConnection(accepted: Accepted, mesh: SecuredPeer, sni: string): Connection {
    return new Connection({
      tls: mesh.principal === null ? "simple" : "mtls",
      principal: mesh.principal,
      sourceIp: accepted.source.ip ?? "",
      destinationIp: this.#env.pod.address,
      destinationPort: accepted.port,
      sni,
      alpn: mesh.alpn === undefined ? [] : [mesh.alpn],
    });
  }

  #handshakeFailed(accepted: Accepted, failure: HandshakeFailure): void {
    const principal = failure.certificate?.spiffeId?.slice("spiffe://".length) ?? null;
    const flow = this.#flow(
      { ...accepted, source: { ...accepted.source, principal } },
      "connection",
      accepted.sni,
    );
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

  #refuseBy(accepted: Accepted, verdict: Verdict, name: string | undefined, connection: Connection): void {
    const flow = this.#flow(accepted, "connection", name ?? accepted.sni);
    flow.explanation = explainDenial(this.#state.policy, connection, undefined);
    if (verdict.layer === "authorization") flow.shadow = shadowOf(this.#state.policy, connection, undefined);
    if (name !== accepted.sni) flow.innerSni = name;
    Object.assign(flow, {
      verdict: "deny",
      layer: verdict.layer,
      reason: verdict.cause,
      policy: verdict.policy,
      rule: verdict.rule,
    });
    this.#deny(accepted, flow);
  }

  #refuse(accepted: Accepted, layer: string, reason: string, explanation?: string): void {
    const flow = this.#flow(accepted, "connection", accepted.sni);
    Object.assign(flow, { verdict: "deny", layer, reason });
    if (explanation !== undefined) flow.explanation = [explanation];
    this.#deny(accepted, flow);
  }

  #deny(accepted: Accepted, flow: MutableFlow): void {
    flow.verdict = "deny";
    flow.durationMs = performance.now() - accepted.startedMs;
    this.#env.http.counters.denied += 1;
    this.#env.http.flows.push(flow);
    accepted.socket.destroy();
  }

  #flow(accepted: Accepted, kind: "connection", host: string | undefined): MutableFlow {
    const destination: FlowDestination = { host, ip: this.#env.pod.address, port: accepted.port };
    const flow = outboundFlow(
      kind,
      accepted.source,
      destination,
      this.#state.snapshot.workload.key,
      accepted.id,
    );
    flow.direction = "inbound";
    flow.sni = accepted.sni;
    flow.protocol = accepted.sni === undefined ? "tcp" : "tls";
    flow.authorizer = accepted.asked?.record;
    return flow;
  }
}

/** On HTTP servers TLS settings only say whether clients are sent to HTTPS. */
function endsTls({ tls, protocol }: GatewayServer): boolean {
  return tls !== undefined && protocol !== "http";
}

/** Whether a server takes whatever comes as bytes, an application's TLS too. */
function isOpaque({ tls, protocol }: GatewayServer): boolean {
  return tls === undefined && protocol === "tcp";
}

function names(
  accepted: Accepted,
  innerSni: string | undefined,
): { port: number; sni?: string; innerSni?: string } {
  return {
    port: accepted.port,
    ...(accepted.sni === undefined ? {} : { sni: accepted.sni }),
    ...(innerSni === undefined ? {} : { innerSni }),
  };
}

function ignore(): void {}

const NOTHING = Buffer.alloc(0);

/** Replaced by whoever takes the stream over. */
const HANDED_OVER = { onData: ignore, onDrain: ignore, onEnd: ignore, onClose: ignore };
