import { Socket } from "node:net";
import type { FlowDraft } from "../../model/flow-record.ts";
import { parseTrustDomain, type TrustDomain } from "../../model/spiffe-id.ts";
import { CAPTURED_INBOUND_PORT, CAPTURED_OUTBOUND_PORT } from "../capture/captured-ports.ts";
import type { TrustDomains, UpstreamSettings } from "../connect-upstream.ts";
import type { Deadlines } from "../deadlines.ts";
import { HbonePool } from "../hbone/hbone-pool.ts";
import type { HboneServer } from "../hbone/hbone-server.ts";
import type { ProxyCounters } from "../http-environment.ts";
import type { Limits } from "../limits.ts";
import { ListenerSet } from "../listener-set.ts";
import { MeshTlsServer } from "../mesh-tls-server.ts";
import type { RevocationGuard } from "../revocation-guard.ts";
import { HBONE_PORT } from "../upstream-target.ts";
import { acceptCapturedInbound } from "./inbound-capture.ts";
import { inboundTunnels } from "./inbound-tunnels.ts";
import { acceptCapturedOutbound } from "./outbound-capture.ts";
import type { PodEnvironment, PodState } from "./pod-environment.ts";
import type { PodIdentity } from "./pod-identity.ts";
import { ZtunnelDns } from "./ztunnel-dns.ts";
import type { PodSockets, ZtunnelPod } from "./ztunnel-pod.ts";
import type { ZtunnelSnapshot } from "./ztunnel-snapshot.ts";

/** What all pods of one ztunnel share: nothing of it is anybody's key. */
export interface ZtunnelShared {
  readonly reporter: string;
  readonly podSockets: PodSockets;
  readonly flows: { push(draft: FlowDraft): void };
  readonly deadlines: Deadlines;
  readonly limits: Limits;
  readonly counters: ProxyCounters;
  readonly revocations: RevocationGuard;
  readonly upstreamDns: string;
  snapshot(): ZtunnelSnapshot | undefined;
}

/** Before the first snapshot nobody is trusted (RFC 6761 reserves the name). */
const NOBODY = parseTrustDomain("none.invalid") as TrustDomain;

/** One pod that a ztunnel stands before: its listeners, in its own network, and its connections, under its own key. */
export class ServedPod {
  readonly pod: ZtunnelPod;
  readonly identity: PodIdentity;
  readonly #shared: ZtunnelShared;
  readonly #env: PodEnvironment;
  /** Connections to other pods, under this pod's key and from its network. */
  readonly #pool = new HbonePool();
  readonly #tls: MeshTlsServer;
  readonly #tunnels: HboneServer;
  readonly #listeners: ListenerSet;
  readonly #dns: ZtunnelDns | undefined;
  readonly #unwatch: () => void;
  #state: PodState | undefined;
  #connections = 0;
  #closed = false;

  constructor(pod: ZtunnelPod, identity: PodIdentity, shared: ZtunnelShared) {
    this.pod = pod;
    this.identity = identity;
    this.#shared = shared;
    this.#env = this.#environment();
    this.#tls = new MeshTlsServer(this.#env);
    this.#tunnels = inboundTunnels(this.#env, this.#tls);
    const { podSockets, limits, upstreamDns } = shared;
    this.#listeners = new ListenerSet(
      [pod.address6 === undefined ? "0.0.0.0" : "::"],
      limits.maxConnections,
      this.#env.sockets,
      (host, port) => podSockets.listen(pod, host, port),
    );
    this.#dns =
      podSockets.listenUdp === undefined
        ? undefined
        : new ZtunnelDns(pod, podSockets, upstreamDns, () => shared.snapshot());
    this.#unwatch = identity.watch(() => this.#rotated());
  }

  get openConnections(): number {
    return this.#listeners.openConnections;
  }

  /** Opens what does not listen yet. @throws {BulwarkError} BW_LISTEN_FAILED */
  async listen(): Promise<void> {
    const env = this.#env;
    await this.#listeners.set(
      new Map([
        [CAPTURED_INBOUND_PORT, (socket: Socket) => acceptCapturedInbound(env, socket)],
        [CAPTURED_OUTBOUND_PORT, (socket: Socket) => acceptCapturedOutbound(env, socket)],
        [HBONE_PORT, (socket: Socket) => this.#tunnels.accept(socket)],
      ]),
    );
    await this.#dns?.listen();
  }

  /** After a change of policy: ends what is no longer allowed. */
  recheck(): void {
    for (const tunnel of this.#env.tunnels) tunnel.recheck();
  }

  /** Stops listening, and tells clients so; connections go on. */
  async stopListening(): Promise<void> {
    this.#dns?.close();
    this.#tunnels.drain();
    await this.#listeners.stop();
  }

  /** Ends everything, at once. */
  close(): void {
    this.#closed = true;
    this.#unwatch();
    void this.stopListening();
    for (const tunnel of this.#env.tunnels) tunnel.cut("pod-gone");
    this.#pool.clear();
    for (const socket of this.#env.sockets) socket.destroy();
  }

  /** A certificate was renewed, trust changed, or the last certificate ended. Connections that are there keep theirs. */
  #rotated(): void {
    this.#tls.rotate();
    // Idle connections to other pods carry the identity of before.
    this.#pool.clear();
  }

  #environment(): PodEnvironment {
    const { reporter, podSockets, flows, deadlines, limits, counters, revocations } = this.#shared;
    const trustDomains = () => this.#trustDomains();
    const contexts = () => this.identity.contexts();
    const upstream: UpstreamSettings = {
      revocations,
      contexts,
      trustDomains,
      connectTimeoutMs: limits.connectTimeoutMs,
      handshakes: this.identity.handshakes,
      open: (where) => this.#dial(where),
      tunnels: this.#pool,
    };
    return {
      pod: this.pod,
      podSockets,
      reporter,
      http: { deadlines, limits, flows, counters },
      upstream,
      tunnels: new Set(),
      revocations,
      tls: contexts,
      trustDomains,
      sockets: new Set(),
      state: () => this.#current(),
      connectionId: (direction) => {
        this.#connections += 1;
        return `${this.pod.name}-${direction}-${this.#connections}`;
      },
    };
  }

  /** Aliases and other meshes' domains do not count in ambient mode. */
  #trustDomains(): TrustDomains {
    const trustDomain = this.#shared.snapshot()?.trustDomain ?? NOBODY;
    return { trustDomain, aliases: [], federated: [] };
  }

  #current(): PodState | undefined {
    const snapshot = this.#closed ? undefined : this.#shared.snapshot();
    if (snapshot === undefined) return undefined;
    if (this.#state?.snapshot === snapshot) return this.#state;
    const workload = snapshot.directory.workloads.get(this.pod.workload);
    if (workload?.dataplane !== "ambient" || workload.role !== "application") return undefined;
    this.#state = { snapshot, workload, policy: snapshot.policies.ambient(workload) };
    return this.#state;
  }

  /** A pod whose network is gone is an unreachable one. */
  #dial(where: { readonly host: string; readonly port: number; readonly localAddress?: string }): Socket {
    try {
      const socket = this.#shared.podSockets.dial(this.pod, where);
      socket.allowHalfOpen = true;
      return socket.setNoDelay(true);
    } catch (error) {
      return new Socket().destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
