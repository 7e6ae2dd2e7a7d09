/** The client's side of HBONE: connections to tunnel servers, shared by the tunnels that go to the same one. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { connectUpstream, type UpstreamSettings } from "../connect-upstream.ts";
import { type UpstreamTunnel, upstreamTarget } from "../upstream-target.ts";
import { HboneSession, UNPROCESSED } from "./hbone-session.ts";

export interface HbonePoolLimits {
  /** Tunnels in one connection; the server's own limit counts, too. ztunnel: 100. */
  readonly maxStreamsPerSession: number;
  /** How long a connection without tunnels is kept. */
  readonly idleTimeoutMs: number;
}

export const HBONE_POOL_LIMITS: HbonePoolLimits = { maxStreamsPerSession: 100, idleTimeoutMs: 60_000 };

/** Beyond the first try, where the server says that it has done nothing yet. */
const RETRIES = 2;

/** Called exactly once. */
type Opened = (outcome: Socket | Error) => void;
type Ready = (outcome: HboneSession | Error) => void;

interface Ask {
  readonly tunnel: UpstreamTunnel;
  readonly localAddress: string | undefined;
  readonly settings: UpstreamSettings;
}

/**
 * Connections by the address, the identities expected there, and our end: what one was verified for, no other is used for. One pool is of one identity:
 * that of the settings that it is always called with.
 */
export class HbonePool {
  readonly #limits: HbonePoolLimits;
  readonly #sessions = new Map<string, Set<HboneSession>>();
  readonly #opening = new Map<string, Ready[]>();
  /** Raised by {@link clear}: what was begun before is not kept. */
  #generation = 0;

  constructor(limits: Partial<HbonePoolLimits> = {}) {
    this.#limits = { ...HBONE_POOL_LIMITS, ...limits };
  }

  /** Connections that take tunnels, for tests of leaks. */
  get size(): number {
    return [...this.#sessions.values()].reduce((sum, sessions) => sum + sessions.size, 0);
  }

  /**
   * Opens a tunnel, through a connection that is there or a new one.
   * @param done a socket whose other end is what `authority` names, or why not: BW_TUNNEL_REFUSED (`detail.status`: what was answered), BW_TUNNEL_TIMEOUT,
   *   BW_TUNNEL_RESET, BW_TUNNEL_UNPROCESSED, BW_TUNNEL_NO_HTTP2, or that of connecting.
   */
  open(
    tunnel: UpstreamTunnel,
    localAddress: string | undefined,
    settings: UpstreamSettings,
    done: Opened,
  ): void {
    const deadlineMs = performance.now() + settings.connectTimeoutMs;
    this.#attempt({ tunnel, localAddress, settings }, deadlineMs, RETRIES, done);
  }

  /** After a change of certificates, trust or revocations: new tunnels get new connections; those that are open go on in theirs. */
  clear(): void {
    this.#generation += 1;
    for (const sessions of [...this.#sessions.values()])
      for (const session of [...sessions]) session.retire();
  }

  #attempt(ask: Ask, deadlineMs: number, retries: number, done: Opened): void {
    this.#session(ask, (session) => {
      if (session instanceof Error) {
        done(session);
        return;
      }
      const leftMs = Math.max(1, deadlineMs - performance.now());
      session.open(ask.tunnel, leftMs, (outcome) => {
        const isUnprocessed = outcome instanceof BulwarkError && outcome.code === UNPROCESSED;
        if (isUnprocessed && retries > 0) this.#attempt(ask, deadlineMs, retries - 1, done);
        else done(outcome);
      });
    });
  }

  #session(ask: Ask, ready: Ready): void {
    const contexts = ask.settings.contexts();
    const key = keyOf(ask);
    for (const session of this.#sessions.get(key) ?? [])
      if (session.contexts === contexts && session.hasRoom) {
        ready(session);
        return;
      }
    const waiting = this.#opening.get(key);
    if (waiting !== undefined) {
      waiting.push(ready);
      return;
    }
    this.#opening.set(key, [ready]);
    this.#dial(key, ask);
  }

  #dial(key: string, ask: Ask): void {
    const { tunnel, localAddress, settings } = ask;
    const generation = this.#generation;
    const contexts = settings.contexts();
    const { host, port, sans } = tunnel;
    const target = upstreamTarget({
      host,
      port,
      localAddress,
      tls: { kind: "mesh", sni: undefined, sans, alpn: "hbone" },
      protocol: "http2",
      cluster: undefined,
    });
    connectUpstream(target, settings, false, (outcome) => {
      const waiting = this.#opening.get(key) ?? [];
      this.#opening.delete(key);
      const made = outcome instanceof Error ? outcome : this.#begin(key, outcome as TLSSocket, contexts);
      if (generation !== this.#generation && made instanceof HboneSession) setImmediate(() => made.retire());
      for (const ready of waiting)
        if (made instanceof HboneSession && !made.hasRoom) this.#session(ask, ready);
        else ready(made);
    });
  }

  #begin(key: string, socket: TLSSocket, contexts: HboneSession["contexts"]): HboneSession | BulwarkError {
    if (socket.alpnProtocol !== "h2") {
      socket.on("error", ignore).destroy();
      return new BulwarkError("BW_TUNNEL_NO_HTTP2", "the tunnel's server does not speak HTTP/2");
    }
    const sessions = this.#sessions.get(key) ?? new Set();
    const session: HboneSession = new HboneSession({
      socket,
      contexts,
      maxStreams: this.#limits.maxStreamsPerSession,
      idleTimeoutMs: this.#limits.idleTimeoutMs,
      onRetired: (retired) => this.#forget(key, retired),
    });
    this.#sessions.set(key, sessions.add(session));
    return session;
  }

  #forget(key: string, session: HboneSession): void {
    const sessions = this.#sessions.get(key);
    sessions?.delete(session);
    if (sessions?.size === 0) this.#sessions.delete(key);
  }
}

function keyOf({ tunnel: { host, port, sans }, localAddress }: Ask): string {
  return `${host}:${port}|${sans?.join(",") ?? "*"}|${localAddress ?? ""}`;
}

function ignore(): void {}
