/** HBONE at a sidecar: ztunnels and waypoints reach the pod that takes it through tunnels. */
import type { Socket } from "node:net";
import { addressesOf } from "../../model/placement.ts";
import { takesHbone } from "../../policy/ambient/hbone.ts";
import { throughHbone } from "../../policy/through-hbone.ts";
import { InboundListener, type InboundState } from "../inbound-listener.ts";
import { InboundRecords, type Refusable } from "../inbound-records.ts";
import type { MeshTlsServer } from "../mesh-tls-server.ts";
import type { ProxyEnvironment } from "../proxy-environment.ts";
import type { ApplicationLookup } from "../proxy-options.ts";
import { HBONE_PORT } from "../upstream-target.ts";
import type { HboneServer, HboneTunnel } from "./hbone-server.ts";
import { recordedServer } from "./recorded-server.ts";

/**
 * Takes tunnels to its own pod, and has what comes out of them decided as what comes by mutual TLS is. INVARIANT: a tunnel leads to an address of this pod, and to
 * none of the proxy's own ports: nobody reaches another through it, nor the proxy from within.
 */
export class SidecarTunnels {
  readonly #env: ProxyEnvironment;
  readonly #hbone: HboneServer;
  readonly #inside: InboundListener;
  readonly #records: InboundRecords;
  #state: InboundState;
  #arrived = 0;

  constructor(
    env: ProxyEnvironment,
    application: ApplicationLookup,
    tls: MeshTlsServer,
    state: InboundState,
  ) {
    this.#env = env;
    this.#state = inTunnels(state);
    this.#inside = new InboundListener(env, application, tls, this.#state);
    this.#records = new InboundRecords(env.http, () => this.#state.snapshot.workload.key);
    this.#hbone = recordedServer({
      env,
      tls,
      records: this.#records,
      snapshot: () => this.#state.snapshot,
      policy: () => this.#state.policy,
      nextId: () => this.#nextId(),
      onTunnel: (tunnel) => this.#take(tunnel),
    });
  }

  set state(state: InboundState) {
    this.#state = inTunnels(state);
    this.#inside.state = this.#state;
  }

  /** Whether the pod takes tunnels at all. */
  get isServed(): boolean {
    const { mesh, workload } = this.#state.snapshot;
    return takesHbone(mesh, workload);
  }

  accept(socket: Socket): void {
    this.#hbone.accept(socket);
  }

  /** Takes no tunnel any more. */
  drain(): void {
    this.#hbone.drain();
  }

  #take(tunnel: HboneTunnel): void {
    const isOwn = addressesOf(this.#env.pod).includes(tunnel.ip) && tunnel.port !== HBONE_PORT;
    if (isOwn) this.#inside.acceptTunnel(tunnel);
    else this.#refuse(tunnel);
  }

  #refuse(tunnel: HboneTunnel): void {
    const { snapshot } = this.#state;
    const { ip, port, source, peer, authority } = tunnel;
    const refused: Refusable = {
      socket: { destroy: () => tunnel.refuse(404, "not served here") },
      port,
      id: this.#nextId(),
      source: {
        workload: snapshot.workloadByAddress.get(source.ip),
        principal: peer.principal,
        ip: source.ip,
        port: source.port,
      },
      destination: { ip, port },
      startedMs: performance.now(),
    };
    const why = `${snapshot.workload.key} does not serve ${authority}`;
    this.#records.refuse(refused, {
      layer: "route",
      reason: "not-served",
      policy: null,
      rule: null,
      explanation: [why],
    });
  }

  #nextId(): string {
    this.#arrived += 1;
    return `${this.#env.pod.name}-tunnels-${this.#arrived}`;
  }
}

function inTunnels(state: InboundState): InboundState {
  return { ...state, policy: throughHbone(state.policy) };
}
