/** One connection to a tunnel server, and the tunnels that go through it. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { unmapped } from "../capture/original-destination.ts";
import { CUT } from "../reset-connection.ts";
import type { TlsContexts } from "../tls-contexts.ts";
import type { UpstreamTunnel } from "../upstream-target.ts";
import { tunnelRefused } from "./refused-at.ts";
import { TunnelSocket } from "./tunnel-socket.ts";

/** What a tunnel may have on its way to a reader that has stopped: a hundred of them hold 25 MB. ztunnel's is 4 MiB. */
export const STREAM_WINDOW_BYTES = 1 << 18;
const SESSION_WINDOW_BYTES = 16 << 20;
/** Node takes no new stream while a session holds more than this. Tunnels that wait for slow readers hold a window each. */
export const SESSION_MEMORY_MB = 256;

export interface HboneSessionOptions {
  /** Verified, and agreed on h2. */
  readonly socket: TLSSocket;
  /** The certificate and trust that it was verified by. */
  readonly contexts: TlsContexts | undefined;
  readonly maxStreams: number;
  readonly idleTimeoutMs: number;
  /** It takes no tunnel any more; those that it has go on. */
  readonly onRetired: (session: HboneSession) => void;
}

/** Called exactly once: the tunnel, or why there is none. */
export type TunnelOpened = (outcome: Socket | BulwarkError) => void;

/**
 * Nothing of what was asked has reached anybody, and it may be asked again: the server had no room, or was going away (RFC 9113 §8.7), or a connection that had
 * served others turned out to be dead. Bytes are sent only once a tunnel is answered.
 */
export const UNPROCESSED = "BW_TUNNEL_UNPROCESSED";

export class HboneSession {
  readonly contexts: TlsContexts | undefined;
  readonly #session: ClientHttp2Session;
  readonly #options: HboneSessionOptions;
  readonly #tunnels = new Set<Socket>();
  #idle: NodeJS.Timeout | undefined;
  #retired = false;
  /** Whether any tunnel was answered: then its end is no sign of who serves there now. */
  #served = false;

  constructor(options: HboneSessionOptions) {
    const { socket, contexts } = options;
    this.#options = options;
    this.contexts = contexts;
    // A server that ends its half neither answers nor acknowledges any more.
    socket.allowHalfOpen = false;
    this.#session = connect("http://hbone", {
      createConnection: () => socket,
      settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
      maxSessionMemory: SESSION_MEMORY_MB,
    });
    this.#session.on("error", ignore);
    this.#session.once("connect", () => this.#session.setLocalWindowSize(SESSION_WINDOW_BYTES));
    this.#session.once("goaway", () => this.retire());
    this.#session.once("close", () => this.#over());
    socket.once(CUT, () => this.#cut());
    this.#rest();
  }

  /** Whether it would take another tunnel. */
  get hasRoom(): boolean {
    const { closed, destroyed, remoteSettings } = this.#session;
    const granted = remoteSettings?.maxConcurrentStreams ?? this.#options.maxStreams;
    return (
      !this.#retired &&
      !closed &&
      !destroyed &&
      this.#tunnels.size < Math.min(granted, this.#options.maxStreams)
    );
  }

  /** Takes no tunnel from now on, and closes with the last that it has. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    clearTimeout(this.#idle);
    this.#options.onRetired(this);
    if (!this.#session.destroyed) this.#session.close();
  }

  /** @param timeoutMs for the answer. */
  open({ authority, headers }: UpstreamTunnel, timeoutMs: number, done: TunnelOpened): void {
    clearTimeout(this.#idle);
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request({ ...headers, ":method": "CONNECT", ":authority": authority });
    } catch (error) {
      // It closed in this very turn.
      this.retire();
      done(new BulwarkError(UNPROCESSED, "the connection takes no tunnel any more", { cause: error }));
      return;
    }
    const socket = TunnelSocket.over(stream, this.#ends());
    this.#tunnels.add(socket);
    socket.once("close", () => this.#closed(socket));
    const isStale = (): boolean => this.#served && this.#options.socket.destroyed;
    new Opening(stream, socket, { authority, timeoutMs, isStale }, (outcome) => {
      if (!(outcome instanceof BulwarkError)) this.#served = true;
      // A server that does not answer one may answer none: whoever asks next is not to wait for the same.
      if (outcome instanceof BulwarkError && outcome.code === "BW_TUNNEL_TIMEOUT") this.retire();
      done(outcome);
    });
  }

  #ends() {
    const { remoteAddress, remotePort, localAddress, localPort } = this.#options.socket;
    return {
      remoteAddress: unmapped(remoteAddress),
      remotePort,
      localAddress: unmapped(localAddress),
      localPort,
    };
  }

  #closed(socket: Socket): void {
    this.#tunnels.delete(socket);
    if (this.#tunnels.size === 0) this.#rest();
  }

  #rest(): void {
    clearTimeout(this.#idle);
    if (this.#retired) return;
    this.#idle = setTimeout(() => this.retire(), this.#options.idleTimeoutMs).unref();
  }

  /** Revoked: whoever holds a tunnel is told at once, and not when OpenSSL has let go of the connection. */
  #cut(): void {
    this.retire();
    for (const socket of this.#tunnels) {
      socket.destroy();
      socket.emit(CUT);
    }
  }

  #over(): void {
    this.retire();
    for (const socket of this.#tunnels) socket.destroy();
  }
}

interface OpeningOptions {
  readonly authority: string;
  readonly timeoutMs: number;
  /** Whether the connection has died that had served others before. */
  readonly isStale: () => boolean;
}

/** A CONNECT that is not answered yet. */
class Opening {
  readonly #authority: string;
  readonly #stream: ClientHttp2Stream;
  readonly #socket: Socket;
  readonly #isStale: () => boolean;
  readonly #done: TunnelOpened;
  readonly #timer: NodeJS.Timeout;
  #settled = false;

  constructor(
    stream: ClientHttp2Stream,
    socket: Socket,
    { authority, timeoutMs, isStale }: OpeningOptions,
    done: TunnelOpened,
  ) {
    this.#stream = stream;
    this.#socket = socket;
    this.#authority = authority;
    this.#isStale = isStale;
    this.#done = done;
    this.#timer = setTimeout(
      () => this.#fail("BW_TUNNEL_TIMEOUT", "no answer to CONNECT in time"),
      timeoutMs,
    );
    stream.once("response", this.#answered);
    socket.once("close", this.#closed);
  }

  readonly #answered = (headers: { readonly ":status"?: number }): void => {
    const status = headers[":status"] ?? 0;
    if (status === 200) {
      this.#socket.off("close", this.#closed);
      this.#settle(this.#socket);
      return;
    }
    const { localAddress: localIp, localPort } = this.#socket;
    this.#settle(tunnelRefused(status, { authority: this.#authority, localIp, localPort }));
    this.#socket.destroy();
  };

  readonly #closed = (): void => {
    if (this.#stream.rstCode === constants.NGHTTP2_REFUSED_STREAM)
      this.#fail(UNPROCESSED, "the other end takes no more tunnels on this connection");
    else if (this.#isStale()) this.#fail(UNPROCESSED, "the connection to the tunnel's server has died");
    else this.#fail("BW_TUNNEL_RESET", "the other end broke the tunnel off instead of answering");
  };

  #fail(code: `BW_${string}`, message: string): void {
    this.#settle(new BulwarkError(code, message));
    this.#socket.destroy();
  }

  #settle(outcome: Socket | BulwarkError): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#done(outcome);
  }
}

function ignore(): void {}
