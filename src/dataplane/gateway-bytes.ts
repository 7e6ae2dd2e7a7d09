/** Connections that a gateway takes as bytes: what is inside of the mesh's TLS, or TLS that is passed on. */
import type { Socket } from "node:net";
import type { Connection } from "../policy/connection.ts";
import type { OutboundDecision } from "../policy/outbound/types.ts";
import type { Denial, Permit } from "../policy/permit.ts";
import { authorizeBytes, bytesRefusal } from "./authorize-bytes.ts";
import { ENCRYPTED_HELLO } from "./encrypted-hello.ts";
import { type GatewayConnection, meshConnection, names, passedConnection } from "./gateway-connection.ts";
import type { GatewayRecords } from "./gateway-records.ts";
import type { GatewayState } from "./gateway-state.ts";
import type { FirstBytes } from "./judge-protocol.ts";
import type { ProxyEnvironment } from "./proxy-environment.ts";
import { type Refusal, routeGone } from "./recheck.ts";
import { relayRouted } from "./relay-routed.ts";
import type { SecuredPeer } from "./tls-acceptor.ts";

/** A connection whose mesh's TLS has ended here, and leave to look at what is inside. */
interface Outer {
  readonly connection: Connection;
  readonly permit: Permit;
}

/** INVARIANT: of what is inside of the mesh's TLS, both names have to be allowed, the one outside and the one inside. */
export class GatewayBytes {
  readonly #env: ProxyEnvironment;
  readonly #records: GatewayRecords;
  readonly #state: () => GatewayState;

  /** @param state at present. */
  constructor(env: ProxyEnvironment, records: GatewayRecords, state: () => GatewayState) {
    this.#env = env;
    this.#records = records;
    this.#state = state;
  }

  passThrough(accepted: GatewayConnection, unread: Buffer): void {
    const connection = passedConnection(accepted, this.#env.pod.address);
    this.authorize(accepted, connection, undefined, (outcome, known) => {
      if (!outcome.allowed) this.#records.refuseBy(known, outcome.verdict, accepted.sni, connection);
      else
        this.#forward(
          known,
          accepted.socket,
          this.#state().routes.routeTls(names(accepted, undefined)),
          outcome,
          [connection],
          undefined,
          unread,
        );
    });
  }

  /** Decides, after the authorizer of a CUSTOM policy has said its word where one is to be asked; nothing is read meanwhile. */
  authorize(
    accepted: GatewayConnection,
    connection: Connection,
    mesh: SecuredPeer | undefined,
    settled: (outcome: Permit | Denial, accepted: GatewayConnection) => void,
  ): void {
    const { source, asked: known } = accepted;
    const secured = mesh !== undefined;
    authorizeBytes(
      () => this.#state().policy,
      this.#state().authorizers,
      { socket: accepted.socket, connection, source, secured, known },
      (outcome, asked) => settled(outcome, asked === undefined ? accepted : { ...accepted, asked }),
    );
  }

  /** What the application itself opened inside the mesh's TLS. INVARIANT: its server name passes every check that the outer one did. */
  inside(
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
    const trusted = innerSni === undefined && this.#state().policy.semantics === "istio";
    const connection = trusted
      ? outer.connection
      : meshConnection(accepted, this.#env.pod.address, mesh, innerSni ?? "", undefined);
    this.routeOpaque(accepted, mesh.socket, connection, innerSni, unread, mesh, outer.connection);
  }

  routeOpaque(
    accepted: GatewayConnection,
    socket: Socket,
    connection: Connection,
    innerSni: string | undefined,
    unread: Buffer,
    mesh?: SecuredPeer,
    outer?: Connection,
  ): void {
    this.authorize(accepted, connection, mesh, (outcome, known) => {
      if (!outcome.allowed) {
        this.#records.refuseBy(known, outcome.verdict, innerSni, connection);
        return;
      }
      const decision = this.#state().routes.routeTcp(names(accepted, innerSni));
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
    const { picker, policy } = this.#state();
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
      const refusal = bytesRefusal(this.#state().policy, connection, permit, asked?.record);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  #unroutedNow(accepted: GatewayConnection, innerSni: string | undefined): Refusal | undefined {
    const { routes } = this.#state();
    const server = routes.selectServer(accepted.port, accepted.sni);
    if (server === undefined) return routeGone("no-server");
    const asked = names(accepted, innerSni);
    const passes = server.tls?.mode === "PASSTHROUGH" || server.tls?.mode === "AUTO_PASSTHROUGH";
    const decision = passes ? routes.routeTls(asked) : routes.routeTcp(asked);
    return decision.kind === "forward" ? undefined : routeGone(decision.reason);
  }
}
