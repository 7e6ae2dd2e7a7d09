import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Connection } from "../policy/connection.ts";
import type { GatewayServer, OutboundDecision } from "../policy/outbound/types.ts";
import type { Denial, Permit } from "../policy/permit.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { authorizeBytes, bytesRefusal } from "./authorize-bytes.ts";
import { clientCertElement, edgeCertElement } from "./client-cert-header.ts";
import { subjectOf } from "./edge-tls-server.ts";
import { endsEdgeTls } from "./edge-tls-servers.ts";
import { ENCRYPTED_HELLO } from "./encrypted-hello.ts";
import { judgeFirstBytes } from "./first-bytes.ts";
import {
  type GatewayConnection,
  meshConnection,
  names,
  passedConnection,
  plainConnection,
} from "./gateway-connection.ts";
import { GatewayFront } from "./gateway-front.ts";
import { GatewayRecords } from "./gateway-records.ts";
import type { GatewayState } from "./gateway-state.ts";
import { type FirstBytes, protocolJudge } from "./judge-protocol.ts";
import type { MeshTlsServer } from "./mesh-tls-server.ts";
import type { ProxyEnvironment } from "./proxy-environment.ts";
import { type Refusal, routeGone } from "./recheck.ts";
import { relayRouted } from "./relay-routed.ts";
import { RoutingService } from "./routing-service.ts";
import { serveHttp } from "./serve-http.ts";
import type { HandshakeFailure, SecuredPeer } from "./tls-acceptor.ts";

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
  readonly #records: GatewayRecords;
  #state: GatewayState;
  #connections = 0;

  constructor(env: ProxyEnvironment, tls: MeshTlsServer, state: GatewayState) {
    this.#env = env;
    this.#tls = tls;
    this.#state = state;
    this.#records = new GatewayRecords(env, () => this.#state);
  }

  set state(state: GatewayState) {
    this.#state = state;
  }

  accept(socket: Socket, port: number): void {
    const ip = socket.remoteAddress;
    this.#connections += 1;
    const accepted: GatewayConnection = {
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

  #choose(accepted: GatewayConnection, first: FirstBytes, unread: Buffer): void {
    if (first.kind === "broken-tls") {
      this.#records.refuse(accepted, "protocol", first.reason);
      return;
    }
    const named = { ...accepted, sni: first.kind === "tls" ? first.hello.serverName : undefined };
    const server = this.#state.routes.selectServer(accepted.port, named.sni);
    if (server === undefined)
      this.#records.refuse(
        named,
        "route",
        "no-server",
        `no server of this gateway takes the name \`${named.sni ?? ""}\``,
      );
    else if (first.kind === "tls" && !isOpaque(server)) this.#tlsServer(named, server, first, unread);
    else if (endsTls(server)) this.#records.refuse(named, "transport", "plaintext-to-tls-port");
    else if (server.protocol === "http")
      this.#serveHttp(
        named,
        named.socket,
        plainConnection(named, this.#env.pod.address, first),
        first.kind === "http2",
        server,
      );
    else
      this.#routeOpaque(
        named,
        named.socket,
        plainConnection(named, this.#env.pod.address, first),
        undefined,
        unread,
      );
  }

  #tlsServer(
    accepted: GatewayConnection,
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
          this.#records.refuse(accepted, "route", "sni-encrypted", ENCRYPTED_HELLO);
        else this.#passThrough(accepted, unread);
        return;
      default:
        this.#records.refuse(accepted, "transport", "tls-to-plaintext-port");
    }
  }

  /** Under certificates of the server's own; without them it refuses. */
  #edgeTls(accepted: GatewayConnection, server: GatewayServer): void {
    const edge = this.#state.edge.get(server);
    if (edge === undefined || edge instanceof BulwarkError)
      this.#records.refuse(accepted, "tls", edge?.code ?? "BW_GATEWAY_NO_CREDENTIAL", edge?.message);
    else edge.accept(accepted.socket, (outcome) => this.#shaken(accepted, outcome, server));
  }

  #shaken(accepted: GatewayConnection, outcome: SecuredPeer | HandshakeFailure, server: GatewayServer): void {
    if ("socket" in outcome) this.#secured(accepted, outcome, server);
    else this.#records.handshakeFailed(accepted, outcome);
  }

  #passThrough(accepted: GatewayConnection, unread: Buffer): void {
    const connection = passedConnection(accepted, this.#env.pod.address);
    this.#authorize(accepted, connection, undefined, (outcome, known) => {
      if (!outcome.allowed) this.#records.refuseBy(known, outcome.verdict, accepted.sni, connection);
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
    accepted: GatewayConnection,
    connection: Connection,
    mesh: SecuredPeer | undefined,
    settled: (outcome: Permit | Denial, accepted: GatewayConnection) => void,
  ): void {
    const { source, asked: known } = accepted;
    const secured = mesh !== undefined;
    authorizeBytes(
      () => this.#state.policy,
      this.#state.authorizers,
      { socket: accepted.socket, connection, source, secured, known },
      (outcome, asked) => settled(outcome, asked === undefined ? accepted : { ...accepted, asked }),
    );
  }

  #secured(accepted: GatewayConnection, mesh: SecuredPeer, server: GatewayServer): void {
    const { snapshot } = this.#state;
    const identified: GatewayConnection = {
      ...accepted,
      socket: mesh.socket,
      source: {
        ...accepted.source,
        workload: accepted.source.workload ?? undefined,
        principal: mesh.principal,
      },
    };
    const connection = meshConnection(
      identified,
      this.#env.pod.address,
      mesh,
      mesh.sni,
      this.#certElement(mesh, server),
    );
    this.#env.http.flows.push({
      ...this.#records.flow(identified, mesh.sni),
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
        this.#records.refuseBy(known, outcome.verdict, mesh.sni, connection);
        return;
      }
      const { protocolDetectionTimeoutMs } = snapshot.mesh.config;
      judgeFirstBytes(mesh.socket, protocolDetectionTimeoutMs, protocolJudge(), (first, unread) => {
        if (first !== undefined) this.#inside(known, mesh, first, { connection, permit: outcome }, unread);
      });
    });
  }

  /** What the application itself opened inside the mesh's TLS. INVARIANT: its server name passes every check that the outer one did. */
  #inside(
    accepted: GatewayConnection,
    mesh: SecuredPeer,
    first: FirstBytes,
    outer: Outer,
    unread: Buffer,
  ): void {
    if (first.kind === "broken-tls") {
      this.#records.refuse(accepted, "protocol", first.reason);
      return;
    }
    if (first.kind === "tls" && first.hello.hasEncryptedClientHello) {
      this.#records.refuse(accepted, "route", "inner-sni-encrypted", ENCRYPTED_HELLO);
      return;
    }
    const innerSni = first.kind === "tls" ? first.hello.serverName : undefined;
    if (first.kind === "tls" && innerSni === undefined) {
      this.#records.refuse(
        accepted,
        "route",
        "inner-sni-missing",
        "the application's TLS names no server, so nobody can tell where it goes",
      );
      return;
    }
    // Clear text inside has no name, and a condition on one is not met by the name that the client wrote outside.
    const trusted = innerSni === undefined && this.#state.policy.semantics === "istio";
    const connection = trusted
      ? outer.connection
      : meshConnection(accepted, this.#env.pod.address, mesh, innerSni ?? "", undefined);
    this.#routeOpaque(accepted, mesh.socket, connection, innerSni, unread, mesh, outer.connection);
  }

  #routeOpaque(
    accepted: GatewayConnection,
    socket: Socket,
    connection: Connection,
    innerSni: string | undefined,
    unread: Buffer,
    mesh?: SecuredPeer,
    outer?: Connection,
  ): void {
    this.#authorize(accepted, connection, mesh, (outcome, known) => {
      if (!outcome.allowed) {
        this.#records.refuseBy(known, outcome.verdict, innerSni, connection);
        return;
      }
      const decision = this.#state.routes.routeTcp(names(accepted, innerSni));
      const connections = outer === undefined ? [connection] : [outer, connection];
      this.#forward(known, socket, decision, outcome, connections, innerSni, unread);
    });
  }

  /** @param connections every connection, real and as by its inner name, that must stay permitted. */
  #forward(
    accepted: GatewayConnection,
    socket: Socket,
    decision: OutboundDecision,
    leave: Permit,
    connections: readonly Connection[],
    innerSni: string | undefined,
    unread: Buffer,
  ): void {
    const name = innerSni ?? accepted.sni;
    const flow = this.#records.flow(accepted, name);
    flow.innerSni = innerSni;
    const { picker, policy } = this.#state;
    const connection = connections.at(-1);
    if (connection === undefined) throw new Error("BUG: bytes of no connection");
    const recheck = (): Refusal | undefined =>
      this.#refusalNow(accepted, connections, leave) ?? this.#unroutedNow(accepted, innerSni);
    const { port, startedMs } = accepted;
    const asked = { port, name };
    relayRouted(
      this.#env,
      { leave, decision, picker, asked, socket, unread, flow, startedMs, policy, connection, recheck },
      (denied) => this.#records.deny(accepted, denied),
    );
  }

  #refusalNow(
    { asked }: GatewayConnection,
    connections: readonly Connection[],
    permit: Permit,
  ): Refusal | undefined {
    for (const connection of connections) {
      const refusal = bytesRefusal(this.#state.policy, connection, permit, asked?.record);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  #unroutedNow(accepted: GatewayConnection, innerSni: string | undefined): Refusal | undefined {
    const { routes } = this.#state;
    const server = routes.selectServer(accepted.port, accepted.sni);
    if (server === undefined) return routeGone("no-server");
    const asked = names(accepted, innerSni);
    const passes = server.tls?.mode === "PASSTHROUGH" || server.tls?.mode === "AUTO_PASSTHROUGH";
    const decision = passes ? routes.routeTls(asked) : routes.routeTcp(asked);
    return decision.kind === "forward" ? undefined : routeGone(decision.reason);
  }

  #serveHttp(
    accepted: GatewayConnection,
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
      destination: { ip: connection.destinationIp, port: accepted.port },
      sni: accepted.sni,
      clientCertElement: mesh === undefined ? undefined : this.#certElement(mesh, server),
    };
    const service = new RoutingService(peer, () => new GatewayFront(peer, this.#state), this.#env.jwt);
    serveHttp(socket, http2, service, this.#env);
  }

  #certElement({ socket, certificate }: SecuredPeer, server: GatewayServer): string | undefined {
    if (certificate === undefined) return undefined;
    return endsEdgeTls(server)
      ? edgeCertElement(certificate, subjectOf(socket))
      : clientCertElement(this.#state.snapshot.workload.spiffeId, certificate);
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

const NOTHING = Buffer.alloc(0);
