/** What a proxy is to its pod, and so what each of its ports does: a sidecar, a gateway, or a waypoint. */
import type { Socket } from "node:net";
import type { Workload } from "../model/mesh.ts";
import { socketPort } from "../model/placement.ts";
import type { InboundPolicy, Semantics } from "../policy/inbound.ts";
import { compileGateway } from "../policy/outbound/compile-gateway.ts";
import { compileWaypoint } from "../policy/waypoint/waypoint-policy.ts";
import { asWaypoint } from "../policy/waypoint/waypoints.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { CapturedTraffic } from "./capture/captured-traffic.ts";
import { EdgeTlsServers } from "./edge-tls-servers.ts";
import type { AuthorizerClient } from "./ext-authz/authorizer-client.ts";
import { GatewayListener } from "./gateway-listener.ts";
import type { GatewayState } from "./gateway-state.ts";
import { SidecarTunnels } from "./hbone/sidecar-tunnels.ts";
import { InboundListener, type InboundState } from "./inbound-listener.ts";
import { inboundPorts } from "./inbound-ports.ts";
import type { MeshTlsServer } from "./mesh-tls-server.ts";
import type { EndpointPicker } from "./pick-endpoint.ts";
import type { ProxyEnvironment, Snapshot } from "./proxy-environment.ts";
import type { ProxyOptions } from "./proxy-options.ts";
import type { SecretStore } from "./secret-store.ts";
import { HBONE_PORT } from "./upstream-target.ts";
import { WaypointListener } from "./waypoint/waypoint-listener.ts";
import { servedIn, type WaypointState } from "./waypoint/waypoint-state.ts";

export type Accept = (socket: Socket) => void;

/** What a snapshot is made into, whatever the proxy is. */
export interface CompiledSnapshot {
  readonly snapshot: Snapshot;
  readonly semantics: Semantics;
  readonly policy: InboundPolicy;
  readonly picker: EndpointPicker;
  readonly authorizers: AuthorizerClient;
  readonly secrets: SecretStore;
}

/** Ready to be served: nothing of it can fail any more. */
export interface PreparedRole {
  /** Whether the pod's application sends by this proxy. */
  readonly hasOutbound: boolean;
  /** Takes effect. Answers what to listen on. */
  serve(): Map<number, Accept>;
}

/** INVARIANT: listeners live as long as the proxy; a new snapshot changes what they decide by, not what they hold. */
export class ProxyRoles {
  readonly #env: ProxyEnvironment;
  readonly #options: Pick<ProxyOptions, "application" | "onWarning">;
  readonly #tls: MeshTlsServer;
  readonly #captured: CapturedTraffic | undefined;
  readonly #edge: EdgeTlsServers;
  #inbound: InboundListener | undefined;
  #tunnels: SidecarTunnels | undefined;
  #gateway: GatewayListener | undefined;
  #waypoint: WaypointListener | undefined;

  constructor(
    env: ProxyEnvironment,
    options: Pick<ProxyOptions, "application" | "onWarning">,
    tls: MeshTlsServer,
    captured: CapturedTraffic | undefined,
  ) {
    this.#env = env;
    this.#options = options;
    this.#tls = tls;
    this.#captured = captured;
    this.#edge = new EdgeTlsServers(env);
  }

  /** Compiles what the role needs. @throws what is wrong with it, before anything has taken effect. */
  prepare(compiled: CompiledSnapshot): PreparedRole {
    const waypoint = asWaypoint(compiled.snapshot.mesh, compiled.snapshot.workload);
    if (waypoint !== undefined) {
      const state = waypointState(compiled, waypoint);
      return { hasOutbound: false, serve: () => this.#serveWaypoint(state) };
    }
    if (compiled.snapshot.workload.role === "gateway") {
      const state = this.#gatewayState(compiled);
      return { hasOutbound: false, serve: () => this.#serveGateway(state) };
    }
    return { hasOutbound: true, serve: () => this.#serveApplication(compiled) };
  }

  /** Tells clients to take their next requests elsewhere, where that can be told. */
  drain(): void {
    this.#waypoint?.drain();
    this.#tunnels?.drain();
  }

  #gatewayState({ snapshot, semantics, secrets, ...shared }: CompiledSnapshot): GatewayState {
    const routes = compileGateway(snapshot.mesh, snapshot.workload, { semantics });
    const edge = this.#edge.update(routes.listeners, secrets, semantics);
    for (const [{ gateway, index }, made] of edge)
      if (made instanceof BulwarkError)
        this.#options.onWarning?.(`${gateway}, server ${index}, refuses its clients: ${made.message}`);
    return { snapshot, routes, edge, ...shared };
  }

  #serveApplication({ snapshot, policy, authorizers }: CompiledSnapshot): Map<number, Accept> {
    const { application } = this.#options;
    const captured = this.#captured;
    const state: InboundState = { snapshot, policy, authorizers };
    if (this.#inbound === undefined)
      this.#inbound = new InboundListener(this.#env, captured ?? application, this.#tls, state);
    else this.#inbound.state = state;
    if (this.#tunnels === undefined)
      this.#tunnels = new SidecarTunnels(this.#env, captured ?? application, this.#tls, state);
    else this.#tunnels.state = state;
    const listener = this.#inbound;
    const tunnels = this.#tunnels;
    if (captured !== undefined) return captured.inbound(listener, tunnels, () => snapshot.workload.key);
    const ports = mapValues(
      inboundPorts(snapshot, application),
      (port) => (socket: Socket) => listener.accept(socket, port),
    );
    if (tunnels.isServed && !ports.has(HBONE_PORT)) ports.set(HBONE_PORT, (socket) => tunnels.accept(socket));
    return ports;
  }

  #serveGateway(state: GatewayState): Map<number, Accept> {
    if (this.#gateway === undefined) this.#gateway = new GatewayListener(this.#env, this.#tls, state);
    else this.#gateway.state = state;
    const listener = this.#gateway;
    const ports = new Map(
      state.routes.listeners.map(({ port }) => [socketPort(state.snapshot.placement, port), port]),
    );
    return mapValues(ports, (port) => (socket) => listener.accept(socket, port));
  }

  #serveWaypoint(state: WaypointState): Map<number, Accept> {
    if (this.#waypoint === undefined) this.#waypoint = new WaypointListener(this.#env, this.#tls, state);
    else this.#waypoint.state = state;
    const listener = this.#waypoint;
    return new Map([[HBONE_PORT, (socket) => listener.accept(socket)]]);
  }
}

function waypointState(
  { snapshot, semantics, picker, authorizers }: CompiledSnapshot,
  waypoint: Workload,
): WaypointState {
  const policy = compileWaypoint(snapshot.mesh, waypoint, { semantics });
  return { snapshot, policy, served: servedIn(snapshot, waypoint), picker, authorizers };
}

function mapValues<K, V, W>(map: ReadonlyMap<K, V>, change: (value: V) => W): Map<K, W> {
  return new Map([...map].map(([key, value]) => [key, change(value)]));
}
