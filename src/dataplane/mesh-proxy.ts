import type { Mesh, Workload } from "../model/mesh.ts";
import { addressesOf, OUTBOUND_PROXY_PORT, type Placement } from "../model/placement.ts";
import { parseTrustDomain, type TrustDomain } from "../model/spiffe-id.ts";
import { withVirtualAddresses } from "../model/virtual-addresses.ts";
import { compileInbound } from "../policy/inbound.ts";
import { compileOutbound } from "../policy/outbound/compile-outbound.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { CapturedTraffic } from "./capture/captured-traffic.ts";
import { BODY_LIMITS } from "./codec/http1-body-reader.ts";
import { HEAD_LIMITS } from "./codec/http1-head.ts";
import type { TrustDomains, UpstreamSettings } from "./connect-upstream.ts";
import { Deadlines } from "./deadlines.ts";
import { SidecarDns } from "./dns/sidecar-dns.ts";
import { AuthorizerClient } from "./ext-authz/authorizer-client.ts";
import { HttpCalls } from "./ext-authz/http-call.ts";
import { ExternalContexts } from "./external-contexts.ts";
import type { FederatedDomain } from "./federated-trust.ts";
import { HandshakesInFlight } from "./handshakes-in-flight.ts";
import { HbonePool } from "./hbone/hbone-pool.ts";
import type { HttpEnvironment } from "./http-environment.ts";
import { Http2Upstreams } from "./http2-upstreams.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { ListenerSet } from "./listener-set.ts";
import { MeshTlsServer } from "./mesh-tls-server.ts";
import { OutboundListener } from "./outbound-listener.ts";
import type { OutboundState } from "./outbound-service.ts";
import { EndpointPicker } from "./pick-endpoint.ts";
import type { ProxyEnvironment, Snapshot } from "./proxy-environment.ts";
import type { ProxyOptions, ProxyStats } from "./proxy-options.ts";
import { type Accept, ProxyRoles } from "./proxy-roles.ts";
import { Resolver } from "./resolver.ts";
import { RevocationGuard, type RevocationNews } from "./revocation-guard.ts";
import { UpstreamCalls } from "./routed/upstream-calls.ts";
import { SecretStore } from "./secret-store.ts";
import { makeTlsContexts, type TlsContexts } from "./tls-contexts.ts";
import { UpstreamPool } from "./upstream-pool.ts";

/**
 * The proxy of one pod: a sidecar (the application's connections in and out), or a gateway. Runs in a process of its own,
 * holds one identity, and enforces whatever snapshot it was given last; without one it listens to nobody.
 */
export class MeshProxy {
  readonly #options: ProxyOptions;
  readonly #env: ProxyEnvironment;
  /** Connections to the tunnels' ports of other pods. */
  readonly #tunnels = new HbonePool();
  readonly #listeners: ListenerSet;
  readonly #outboundListeners: ListenerSet;
  readonly #tls: MeshTlsServer;
  readonly #roles: ProxyRoles;
  #contexts: TlsContexts | undefined;
  /** Before the first snapshot nobody is trusted (RFC 6761 reserves the name). */
  #trustDomains: TrustDomains = {
    trustDomain: trustDomain("none.invalid"),
    aliases: [],
    federated: [],
  };
  #federation: readonly FederatedDomain[];
  readonly #captured: CapturedTraffic | undefined;
  readonly #dns: SidecarDns | undefined;
  #outbound: OutboundListener | undefined;
  #snapshot: Snapshot | undefined;
  #outboundState: OutboundState | undefined;
  /** Snapshots are applied one after the other, in the order given. */
  #applying: Promise<void> = Promise.resolve();

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#federation = options.federation ?? [];
    const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#env = this.#environment(limits);
    const captured = options.captured === undefined ? undefined : new CapturedTraffic(this.#env);
    this.#captured = captured;
    const addresses = captured === undefined ? addressesOf(options.pod) : captured.addresses;
    this.#listeners = new ListenerSet(addresses, limits.maxConnections, this.#env.sockets);
    this.#outboundListeners = new ListenerSet(addresses, limits.maxConnections, this.#env.sockets);
    this.#dns = options.captured === undefined ? undefined : new SidecarDns(options.captured.upstreamDns);
    this.#takeCertificate();
    this.#tls = new MeshTlsServer(this.#env);
    this.#roles = new ProxyRoles(this.#env, options, this.#tls, captured);
    options.identity.on("rotated", this.#rotated);
    options.identity.on("expired", this.#rotated);
    options.identity.on("discarded", this.#rotated);
  }

  /**
   * Enforces this snapshot from now on; connections that stay permitted go on. Resolves when every listener stands.
   * @throws {BulwarkError} BW_PROXY_UNKNOWN_POD, BW_LISTEN_FAILED; what was in force before then still is, but for the
   *   listeners that did open.
   */
  apply(mesh: Mesh, placement: Placement): Promise<void> {
    const addressed = withVirtualAddresses(mesh, placement);
    const applied = this.#applying.then(() => this.#apply(addressed, placement));
    this.#applying = applied.catch(() => {});
    return applied;
  }

  /** Takes these roots of other trust domains, for handshakes from now on. Who of them may come at all is the mesh's setting. */
  federate(domains: readonly FederatedDomain[]): void {
    if (JSON.stringify(domains) === JSON.stringify(this.#federation)) return;
    this.#federation = domains;
    this.#rotated();
  }

  /** Stops listening, lets requests under way finish for `graceMs`, then closes what is left. */
  async close(graceMs: number): Promise<void> {
    this.#env.http.draining = true;
    this.#options.identity
      .off("rotated", this.#rotated)
      .off("expired", this.#rotated)
      .off("discarded", this.#rotated);
    await this.#listeners.stop();
    await this.#outboundListeners.stop();
    this.#roles.drain();
    this.#dns?.close();
    const untilMs = performance.now() + graceMs;
    while (this.#openConnections > 0 && performance.now() < untilMs)
      await new Promise((resolve) => setTimeout(resolve, 20));
    this.#env.http.pool.clear();
    this.#env.http.calls.clear();
    this.#env.http2.clear();
    this.#env.httpCalls.clear();
    this.#tunnels.clear();
    for (const socket of this.#env.sockets) socket.destroy();
    this.#env.http.deadlines.close();
  }

  /**
   * Refuses what is revoked from now on, and ends what stands on it. All that is known must have come before the first {@link apply}, with which
   * connections begin.
   * @returns how many live connections were ended.
   */
  takeRevocations(news: RevocationNews): number {
    const cut = this.#env.revocations.take(news);
    this.#discardRevoked();
    return cut;
  }

  /**
   * Settles when no handshake is under way that began with a certificate, or trust, of before: after the limit on connecting
   * at the latest.
   */
  untilOldHandshakesEnded(): Promise<void> {
    return this.#env.upstream.handshakes.untilOthersEnded(this.#contexts);
  }

  stats(): ProxyStats {
    return { openConnections: this.#openConnections, ...this.#env.http.counters };
  }

  get #openConnections(): number {
    return this.#listeners.openConnections + this.#outboundListeners.openConnections;
  }

  async #apply(mesh: Mesh, placement: Placement): Promise<void> {
    const { pod, semantics = "strict" } = this.#options;
    const workload = mesh.workloads.find((candidate) => candidate.key === pod.workload);
    if (workload === undefined)
      throw new BulwarkError("BW_PROXY_UNKNOWN_POD", `the mesh has no workload \`${pod.workload}\``);
    const snapshot = makeSnapshot(mesh, placement, workload);
    const policy = compileInbound(mesh, workload, { semantics });
    const picker = new EndpointPicker(this.#env, snapshot);
    const outbound: OutboundState = { policy: compileOutbound(mesh, workload, { semantics }), picker };
    const authorizers = new AuthorizerClient(this.#env, picker, () => outbound.policy.clusters());
    const secrets = new SecretStore(mesh.resources);
    const role = this.#roles.prepare({ snapshot, semantics, policy, picker, authorizers, secrets });
    // Nothing above may fail once anything below has taken effect: a proxy never enforces half a snapshot.
    this.#env.external.renew(secrets, workload.namespace);
    this.#snapshot = snapshot;
    this.#outboundState = outbound;
    this.#trustDomains = {
      trustDomain: trustDomain(mesh.config.trustDomain),
      aliases: mesh.config.trustDomainAliases.map(trustDomain),
      federated: mesh.config.federatedTrustDomains.map(trustDomain),
    };
    const ports = role.serve();
    for (const open of [...this.#env.tunnels, ...this.#env.http.live]) open.recheck();
    await this.#listeners.set(ports);
    await this.#outboundListeners.set(role.hasOutbound ? this.#serveOutbound() : new Map());
    await this.#dns?.serve(snapshot);
  }

  #serveOutbound(): Map<number, Accept> {
    this.#outbound ??= new OutboundListener(
      this.#env,
      this.#options.outboundSecret,
      () => this.#snapshot as Snapshot,
      () => this.#outboundState as OutboundState,
    );
    const listener = this.#outbound;
    if (this.#captured !== undefined) return this.#captured.outbound(listener);
    return new Map([[OUTBOUND_PROXY_PORT, (socket) => listener.accept(socket)]]);
  }

  /** A certificate was renewed, trust changed, or the last certificate ended. Connections that are there keep theirs. */
  readonly #rotated = (): void => {
    this.#takeCertificate();
    if (this.#discardRevoked()) return;
    this.#tls.rotate();
    // Idle connections to other proxies carry the identity of before.
    this.#env.http.pool.clear();
    this.#env.http.calls.clear();
    this.#env.http2.clear();
    this.#env.httpCalls.clear();
    this.#tunnels.clear();
  };

  /** Without a certificate everything is refused; the source asks for another, which a revoked identity does not get. */
  #discardRevoked(): boolean {
    const contexts = this.#contexts;
    if (contexts === undefined || !this.#env.revocations.isRevoked(contexts.own)) return false;
    this.#contexts = undefined;
    return this.#options.identity.discard(contexts.svid.serial);
  }

  #takeCertificate(): void {
    const svid = this.#options.identity.current;
    try {
      this.#contexts = svid === undefined ? undefined : makeTlsContexts(svid, this.#federation);
    } catch (error) {
      this.#options.onWarning?.(`the new certificate cannot be used: ${String(error)}`);
    }
  }

  #environment(limits: Limits): ProxyEnvironment {
    const revocations = new RevocationGuard({
      reporter: this.#options.pod.workload,
      flows: this.#options.flows,
      workloadAt: (address) => this.#snapshot?.workloadByAddress.get(address),
    });
    const upstream: UpstreamSettings = {
      revocations,
      contexts: () => this.#validContexts(),
      trustDomains: () => this.#trustDomains,
      connectTimeoutMs: limits.connectTimeoutMs,
      handshakes: new HandshakesInFlight(),
      tunnels: this.#tunnels,
    };
    const http2 = new Http2Upstreams(upstream);
    return {
      pod: this.#options.pod,
      http: httpEnvironment(limits, upstream, http2, this.#options.flows),
      http2,
      httpCalls: new HttpCalls(upstream),
      upstream,
      jwt: { ...(this.#options.keys ?? NO_KEYS), nowSeconds: () => Date.now() / 1000 },
      external: new ExternalContexts(this.#options.externalCaPem),
      revocations,
      tls: () => this.#validContexts(),
      trustDomains: () => this.#trustDomains,
      sockets: new Set(),
      tunnels: new Set(),
    };
  }

  /** Fails closed: a certificate past its end is none. */
  #validContexts(): TlsContexts | undefined {
    return this.#options.identity.current === undefined ? undefined : this.#contexts;
  }
}

function httpEnvironment(
  limits: Limits,
  upstream: UpstreamSettings,
  http2: Http2Upstreams,
  flows: ProxyOptions["flows"],
): HttpEnvironment {
  const deadlines = new Deadlines();
  return {
    deadlines,
    pool: new UpstreamPool(upstream, deadlines, limits.maxIdleUpstream),
    calls: new UpstreamCalls(upstream, http2, limits),
    limits,
    headLimits: {
      ...HEAD_LIMITS,
      maxHeadBytes: limits.maxHeadBytes,
      maxHeaders: limits.maxHeaders,
      ...(limits.maxBodyBytes === 0 ? {} : { maxBodyBytes: limits.maxBodyBytes }),
    },
    bodyLimits:
      limits.maxBodyBytes === 0 ? BODY_LIMITS : { ...BODY_LIMITS, maxBodyBytes: limits.maxBodyBytes },
    flows,
    counters: { requests: 0, denied: 0, failed: 0 },
    live: new Set(),
    draining: false,
  };
}

/** Tokens whose keys are not inline are refused. */
const NO_KEYS = {
  fetchJwks: () => Promise.reject(new BulwarkError("BW_JWKS_NOT_FETCHED", "nobody fetches keys here")),
};

function makeSnapshot(mesh: Mesh, placement: Placement, workload: Workload): Snapshot {
  const workloadByAddress = new Map(
    placement.pods.flatMap((pod) => addressesOf(pod).map((address) => [address, pod.workload])),
  );
  return { mesh, placement, workload, workloadByAddress, resolver: new Resolver(placement) };
}

function trustDomain(text: string): TrustDomain {
  const parsed = parseTrustDomain(text);
  if (parsed === undefined)
    throw new BulwarkError("BW_PROXY_BAD_TRUST_DOMAIN", `\`${text}\` is no trust domain`);
  return parsed;
}
