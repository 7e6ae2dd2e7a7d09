import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Connection } from "../policy/connection.ts";
import type { GatewayServer } from "../policy/outbound/types.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { clientCertElement, edgeCertElement } from "./client-cert-header.ts";
import { subjectOf } from "./edge-tls-server.ts";
import { endsEdgeTls } from "./edge-tls-servers.ts";
import { ENCRYPTED_HELLO } from "./encrypted-hello.ts";
import { judgeFirstBytes } from "./first-bytes.ts";
import { GatewayBytes } from "./gateway-bytes.ts";
import { type GatewayConnection, meshConnection, plainConnection } from "./gateway-connection.ts";
import { GatewayFront } from "./gateway-front.ts";
import { GatewayRecords } from "./gateway-records.ts";
import type { GatewayState } from "./gateway-state.ts";
import { type FirstBytes, protocolJudge } from "./judge-protocol.ts";
import type { MeshTlsServer } from "./mesh-tls-server.ts";
import type { ProxyEnvironment } from "./proxy-environment.ts";
import { RoutingService } from "./routing-service.ts";
import { serveHttp } from "./serve-http.ts";
import type { HandshakeFailure, SecuredPeer } from "./tls-acceptor.ts";

/**
 * A gateway: chooses a server by port and server name, ends the mesh's TLS where the server says so, authorizes, and
 * forwards. For egress the application's own TLS inside is read for its server name, checked like the one outside, and
 * passed on untouched.
 */
export class GatewayListener {
  readonly #env: ProxyEnvironment;
  readonly #tls: MeshTlsServer;
  readonly #records: GatewayRecords;
  readonly #bytes: GatewayBytes;
  #state: GatewayState;
  #connections = 0;

  constructor(env: ProxyEnvironment, tls: MeshTlsServer, state: GatewayState) {
    this.#env = env;
    this.#tls = tls;
    this.#state = state;
    this.#records = new GatewayRecords(env, () => this.#state);
    this.#bytes = new GatewayBytes(env, this.#records, () => this.#state);
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
      this.#bytes.routeOpaque(
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
        else this.#bytes.passThrough(accepted, unread);
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
      this.#bytes.routeOpaque(identified, mesh.socket, connection, undefined, NOTHING, mesh);
      return;
    }
    this.#bytes.authorize(identified, connection, mesh, (outcome, known) => {
      if (!outcome.allowed) {
        this.#records.refuseBy(known, outcome.verdict, mesh.sni, connection);
        return;
      }
      const { protocolDetectionTimeoutMs } = snapshot.mesh.config;
      judgeFirstBytes(mesh.socket, protocolDetectionTimeoutMs, protocolJudge(), (first, unread) => {
        if (first !== undefined)
          this.#bytes.inside(known, mesh, first, { connection, permit: outcome }, unread);
      });
    });
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
