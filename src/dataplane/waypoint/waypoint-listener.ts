import type { Socket } from "node:net";
import type { Connection } from "../../policy/connection.ts";
import type { Permit } from "../../policy/permit.ts";
import { authorizeBytes, bytesRefusal } from "../authorize-bytes.ts";
import { judgeFirstBytes } from "../first-bytes.ts";
import type { HboneServer, HboneTunnel } from "../hbone/hbone-server.ts";
import { recordedServer } from "../hbone/recorded-server.ts";
import type { InboundConnection } from "../inbound-connection.ts";
import { InboundRecords } from "../inbound-records.ts";
import type { InboundPeer } from "../inbound-service.ts";
import { type FirstBytes, protocolJudge } from "../judge-protocol.ts";
import type { MeshTlsServer } from "../mesh-tls-server.ts";
import { openTunnel } from "../open-tunnel.ts";
import type { ProxyEnvironment } from "../proxy-environment.ts";
import { type Refusal, routeGone } from "../recheck.ts";
import { relayRouted } from "../relay-routed.ts";
import { RoutingService } from "../routing-service.ts";
import { serveHttp } from "../serve-http.ts";
import { shadowOf } from "../shadow-verdicts.ts";
import { nextPod, noteWithoutHbone } from "./next-pod.ts";
import { reachable, WaypointFront } from "./waypoint-front.ts";
import { placeAt, placeNow, type WaypointPlace, type WaypointState } from "./waypoint-state.ts";
import { connectionIn, factsOf, peerOf, protocolAt, refusedUnopened } from "./waypoint-tunnel.ts";

/** A tunnel that is open: what came out of it, and whom it is for. */
interface Opened {
  readonly accepted: InboundConnection;
  readonly tunnel: HboneTunnel;
  /** Of the snapshot that it was opened under. */
  readonly place: WaypointPlace;
}

/**
 * A waypoint: takes tunnels to the services and workloads that it stands before, decides about each as what is inside asks for (a request, or bytes),
 * and sends on by the routes that hold there.
 */
export class WaypointListener {
  readonly #env: ProxyEnvironment;
  readonly #hbone: HboneServer;
  readonly #records: InboundRecords;
  #state: WaypointState;
  /** Connections and tunnels, in the order that they came. */
  #arrived = 0;

  constructor(env: ProxyEnvironment, tls: MeshTlsServer, state: WaypointState) {
    this.#env = env;
    this.#state = state;
    this.#records = new InboundRecords(env.http, () => this.#state.snapshot.workload.key);
    this.#hbone = recordedServer({
      env,
      tls,
      records: this.#records,
      snapshot: () => this.#state.snapshot,
      policy: () => this.#state.policy.direct,
      nextId: () => this.#nextId(),
      onTunnel: (tunnel) => this.#take(tunnel),
    });
  }

  set state(state: WaypointState) {
    this.#state = state;
  }

  accept(socket: Socket): void {
    this.#hbone.accept(socket);
  }

  /** Takes no tunnel any more. */
  drain(): void {
    this.#hbone.drain();
  }

  #nextId(): string {
    this.#arrived += 1;
    return `${this.#env.pod.name}-${this.#arrived}`;
  }

  #take(tunnel: HboneTunnel): void {
    const { snapshot } = this.#state;
    const place = placeAt(this.#state, tunnel.ip, tunnel.port);
    const facts = factsOf(tunnel, place?.served, snapshot, this.#nextId());
    if (place === undefined) {
      const why = `nothing that ${snapshot.workload.key} stands before has the address ${tunnel.authority}`;
      const unserved = { layer: "route", reason: "not-served", policy: null, rule: null, explanation: [why] };
      this.#records.refuse({ ...facts, socket: unopened(tunnel, 404) }, unserved);
      return;
    }
    const protocol = protocolAt(place);
    const connection = connectionIn(tunnel, place, { speaksHttp: protocol !== "tcp" });
    const refusal = refusedUnopened(place, connection);
    if (refusal !== undefined) {
      const peer = peerOf(facts, connection, tunnel, snapshot.workload.key);
      const socket = unopened(tunnel, protocol === null ? 404 : 403);
      this.#records.refuseBy(place.inbound, { ...facts, socket }, refusal, peer);
      return;
    }
    this.#open({ accepted: { ...facts, socket: tunnel.accept() }, tunnel, place });
  }

  #open(opened: Opened): void {
    const { accepted, place } = opened;
    const { socket, port } = accepted;
    const { policy, snapshot } = place.state;
    const { protocolDetectionTimeoutMs } = snapshot.mesh.config;
    const isTcp = protocolAt(place) === "tcp";
    if (isTcp && !policy.readsServerName(port)) {
      // Nobody waits for a client's bytes here: the server may be the first to speak.
      this.#serveBytes(opened, undefined, NOTHING);
      return;
    }
    const timeoutMs =
      protocolAt(place) === "http" ? this.#env.http.limits.headTimeoutMs : protocolDetectionTimeoutMs;
    judgeFirstBytes(socket, timeoutMs, protocolJudge(), (first, unread) => {
      if (first !== undefined) this.#choose(opened, first, unread);
    });
  }

  #choose(opened: Opened, first: FirstBytes, unread: Buffer): void {
    const { accepted, place } = opened;
    const protocol = protocolAt(place);
    const speaksHttp = first.kind === "http1" || first.kind === "http2";
    if (protocol === "http" || (protocol === "auto" && speaksHttp))
      this.#serveHttp(opened, first.kind === "http2");
    else if (first.kind === "broken-tls")
      this.#records.refuse(accepted, {
        layer: "protocol",
        reason: first.reason,
        policy: null,
        rule: null,
        explanation: undefined,
      });
    else {
      const reads = place.state.policy.readsServerName(accepted.port);
      this.#serveBytes(opened, first.kind === "tls" && reads ? first.hello.serverName : undefined, unread);
    }
  }

  #serveHttp({ accepted, tunnel, place }: Opened, http2: boolean): void {
    const connection = connectionIn(tunnel, place, { speaksHttp: true });
    const peer = {
      ...this.#peer({ accepted, tunnel, place }, connection),
      destination: { ...accepted.destination, port: accepted.port },
      sni: undefined,
      http2,
    };
    const { clientCert } = connection.hop;
    const front = (): WaypointFront | undefined => {
      const now = placeNow(place, this.#state);
      return now === undefined ? undefined : new WaypointFront(now, this.#env.pod, clientCert);
    };
    const service = new RoutingService(peer, front, this.#env.jwt);
    serveHttp(accepted.socket, http2, service, this.#env);
  }

  /** @param sni of TLS inside, where it is looked for. */
  #serveBytes(opened: Opened, sni: string | undefined, unread: Buffer): void {
    const { accepted, tunnel, place } = opened;
    const { socket, source } = accepted;
    const connection = connectionIn(tunnel, place, { speaksHttp: false, sni });
    const peer = this.#peer(opened, connection);
    authorizeBytes(
      () => this.#now(place).inbound,
      this.#state.authorizers,
      { socket, connection, source, secured: true },
      (outcome, asked) => {
        const known = asked === undefined ? peer : { ...peer, authorizer: asked.record };
        if (outcome.allowed) this.#relay(opened, known, outcome, unread);
        else this.#records.refuseBy(this.#now(place).inbound, accepted, outcome.verdict, known);
      },
    );
  }

  #relay({ accepted, place: before }: Opened, peer: InboundPeer, leave: Permit, unread: Buffer): void {
    const place = placeNow(before, this.#state);
    if (place === undefined) {
      this.#records.refuse(accepted, routeGone("not-served"), peer);
      return;
    }
    const { socket, port, startedMs } = accepted;
    const { connection } = peer;
    const { inbound: policy, routes, state } = place;
    const flow = this.#records.flow(accepted, peer, leave.verdict, "allow");
    const recheck = (): Refusal | undefined => this.#refusalNow(before, peer, leave);
    if (routes === undefined) {
      flow.shadow = shadowOf(policy, connection, undefined);
      const next = nextPod(place, this.#env.pod, "tcp");
      if (next === undefined) {
        noteWithoutHbone(flow, place);
        this.#records.deny(accepted, flow);
      } else openTunnel(this.#env, { leave, socket, unread, flow, startedMs, next, recheck });
      return;
    }
    const decision = reachable(routes.routeTcp(port, false, nameIn(connection)));
    const asked = { port, name: nameIn(connection) };
    const { picker } = state;
    relayRouted(
      this.#env,
      { leave, decision, picker, asked, socket, unread, flow, startedMs, policy, connection, recheck },
      (denied) => this.#records.deny(accepted, denied),
    );
  }

  #refusalNow(before: WaypointPlace, peer: InboundPeer, leave: Permit): Refusal | undefined {
    const place = placeNow(before, this.#state);
    if (place === undefined) return routeGone("not-served");
    const { connection, authorizer } = peer;
    const refusal = bytesRefusal(place.inbound, connection, leave, authorizer);
    if (refusal !== undefined || place.routes === undefined) return refusal;
    const decision = reachable(place.routes.routeTcp(before.port, false, nameIn(connection)));
    return decision.kind === "forward" ? undefined : routeGone(decision.reason);
  }

  /** By the present snapshot, while it serves the address. */
  #now(place: WaypointPlace): WaypointPlace {
    return placeNow(place, this.#state) ?? place;
  }

  #peer({ accepted, tunnel, place }: Opened, connection: Connection): InboundPeer {
    return peerOf(accepted, connection, tunnel, place.state.policy.workload.key);
  }
}

const NOTHING = Buffer.alloc(0);

function nameIn({ sni }: Connection): string | undefined {
  return sni === "" ? undefined : sni;
}

/** A tunnel that is answered instead of opened. */
function unopened(tunnel: HboneTunnel, status: 403 | 404): { destroy(): void } {
  return { destroy: () => tunnel.refuse(status, status === 404 ? "not served here" : "denied") };
}
