/** The server's side of HBONE: mutual TLS, HTTP/2, and one tunnel for each CONNECT. */
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import { unmapped } from "../capture/original-destination.ts";
import { Http2Idle } from "../http2-idle.ts";
import { Http2Refusals } from "../http2-refusals.ts";
import type { HandshakeFailure, MeshPeer, MeshTlsServer } from "../mesh-tls-server.ts";
import type { RelayEnvironment } from "../proxy-environment.ts";
import { CUT } from "../reset-connection.ts";
import { parseHboneAuthority } from "./hbone-authority.ts";
import { SESSION_MEMORY_MB, STREAM_WINDOW_BYTES } from "./hbone-session.ts";
import { type TunnelEnds, TunnelSocket } from "./tunnel-socket.ts";

/** An end of a TCP connection. */
export interface TunnelPlace {
  readonly ip: string;
  readonly port: number;
}

/** A client's wish for a tunnel. Exactly one of `accept` and `refuse` is to be called, at once or later. */
export interface HboneTunnel {
  /** Who asks. */
  readonly peer: MeshPeer;
  /** As the client wrote it. */
  readonly authority: string;
  /** Where it is to lead: as RFC 5952 writes it. */
  readonly ip: string;
  readonly port: number;
  /** All, the pseudo-headers among them. A client's word. */
  readonly headers: IncomingHttpHeaders;
  /** The client's end of the TCP connection. */
  readonly source: TunnelPlace;
  /** The end at which the TCP connection was accepted. */
  readonly local: TunnelPlace;
  /** Aborted when the client has given it up. */
  readonly gone: AbortSignal;
  /** Answers 200. @returns the tunnel as a connection of the client's: paused until somebody reads. Where the client has gone, it is destroyed. */
  accept(): Socket;
  /** @param reason said to the client. */
  refuse(status: 400 | 401 | 403 | 404 | 503, reason: string): void;
}

/** What never got as far as a tunnel. */
export interface HboneRefusal {
  /** For the record: `not-connect`, `authority-malformed`, `alpn`, `http2-stream-refused`, `http2-connection-error`, or the code of a handshake that failed. */
  readonly reason: string;
  readonly explanation: readonly string[];
  /** What was answered, where anything was. */
  readonly status: number | undefined;
  readonly source: TunnelPlace;
  readonly local: TunnelPlace;
  /** Where the handshake stood. */
  readonly peer: MeshPeer | undefined;
  /** Where it did not. */
  readonly failure: HandshakeFailure | undefined;
  readonly durationMs: number;
}

export interface HboneServerOptions {
  readonly env: Pick<RelayEnvironment, "http">;
  /** Its rotation is its owner's business. */
  readonly tls: Pick<MeshTlsServer, "accept">;
  readonly onTunnel: (tunnel: HboneTunnel) => void;
  /** To be put on record; called at most once for each handshake, request or stream. */
  readonly onRefused: (refusal: HboneRefusal) => void;
}

/** A connection, for who tells of it. */
interface Arrived {
  readonly source: TunnelPlace;
  readonly local: TunnelPlace;
  readonly startedMs: number;
}

/** Longest text of a refusal. */
const MAX_REASON = 200;

/** Takes connections to port 15008, and tells of each tunnel that is asked for; decides nothing but what is malformed. */
export class HboneServer {
  readonly #options: HboneServerOptions;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(options: HboneServerOptions) {
    this.#options = options;
  }

  /** Connections whose handshake stood, and that are open. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** @param socket of which nothing was read. */
  accept(socket: Socket): void {
    const arrived: Arrived = {
      source: placeOf(socket.remoteAddress, socket.remotePort),
      local: placeOf(socket.localAddress, socket.localPort),
      startedMs: performance.now(),
    };
    this.#options.tls.accept(socket, (outcome) => {
      if ("code" in outcome)
        this.#refused(arrived, undefined, {
          reason: outcome.code,
          explanation: [outcome.message],
          failure: outcome,
        });
      else if (outcome.alpn !== "h2") {
        this.#refused(arrived, outcome, { reason: "alpn", explanation: [NO_H2] });
        outcome.socket.destroy();
      } else this.#serve(outcome, arrived);
    });
  }

  /** Takes no tunnel any more, and tells the clients so (GOAWAY); those that are open go on. */
  drain(): void {
    for (const session of this.#sessions) session.close();
  }

  #serve(peer: MeshPeer, arrived: Arrived): void {
    const { http } = this.#options.env;
    const { socket } = peer;
    // A client that ends its half can neither acknowledge nor widen a window: the connection is over.
    socket.allowHalfOpen = false;
    let refusals: Http2Refusals | undefined;
    Http2Refusals.watchEnd(socket, () => refusals);
    const session = performServerHandshake(socket, {
      maxSessionInvalidFrames: 100,
      maxSessionRejectedStreams: 100,
      maxHeaderListPairs: http.limits.maxHeaders + 4,
      // Each end of a tunnel that is none in order is a reset, where for HTTP it is the exception.
      streamResetBurst: 2000,
      streamResetRate: 500,
      maxSessionMemory: SESSION_MEMORY_MB,
      settings: {
        maxConcurrentStreams: http.limits.maxStreamsPerConnection,
        maxHeaderListSize: http.limits.maxHeadBytes,
        initialWindowSize: STREAM_WINDOW_BYTES,
        enableConnectProtocol: false,
      },
    });
    const record = (reason: string, explanation: string) =>
      this.#refused(arrived, peer, { reason, explanation: [explanation] });
    const watched = new Http2Refusals(session, http, record);
    refusals = watched;
    const tunnels = new Set<Socket>();
    this.#sessions.add(session);
    session.on("error", (error) => {
      watched.broke(error);
      session.destroy();
    });
    session.once("close", () => this.#sessions.delete(session));
    socket.once(CUT, () => cut(tunnels));
    new Http2Idle(session, socket, http);
    const ends = endsOf(arrived);
    session.on("stream", (stream, headers) => {
      watched.began(stream);
      stream.on("error", ignore);
      this.#asked(peer, arrived, new AskedTunnel(stream, ends, tunnels), headers);
    });
  }

  #asked(peer: MeshPeer, arrived: Arrived, asked: AskedTunnel, headers: IncomingHttpHeaders): void {
    const { ":method": method, ":authority": authority = "" } = headers;
    if (method !== "CONNECT" || headers[":protocol"] !== undefined) {
      asked.refuse(400, NOT_CONNECT);
      this.#refused(arrived, peer, { reason: "not-connect", explanation: [NOT_CONNECT], status: 400 });
      return;
    }
    const place = parseHboneAuthority(authority);
    if (place === undefined) {
      asked.refuse(400, MALFORMED);
      this.#refused(arrived, peer, { reason: "authority-malformed", explanation: [MALFORMED], status: 400 });
      return;
    }
    this.#options.onTunnel({
      peer,
      authority,
      ...place,
      headers,
      source: arrived.source,
      local: arrived.local,
      gone: asked.gone,
      accept: () => asked.accept(),
      refuse: (status, reason) => asked.refuse(status, reason),
    });
  }

  #refused(
    { source, local, startedMs }: Arrived,
    peer: MeshPeer | undefined,
    {
      reason,
      explanation,
      status,
      failure,
    }: Partial<HboneRefusal> & Pick<HboneRefusal, "reason" | "explanation">,
  ): void {
    const durationMs = performance.now() - startedMs;
    this.#options.onRefused({ reason, explanation, status, source, local, peer, failure, durationMs });
  }
}

const NO_H2 = "the client did not agree on h2 (ALPN), which is all that the tunnels' port speaks";
const NOT_CONNECT = "the tunnels' port takes CONNECT alone";
const MALFORMED = "the authority of a CONNECT is to be an address and a port";

/** A CONNECT until it is answered. */
class AskedTunnel {
  readonly #stream: ServerHttp2Stream;
  readonly #ends: TunnelEnds;
  readonly #tunnels: Set<Socket>;
  readonly #abort = new AbortController();
  #answered = false;

  constructor(stream: ServerHttp2Stream, ends: TunnelEnds, tunnels: Set<Socket>) {
    this.#stream = stream;
    this.#ends = ends;
    this.#tunnels = tunnels;
    stream.once("close", () => this.#abort.abort());
  }

  get gone(): AbortSignal {
    return this.#abort.signal;
  }

  accept(): Socket {
    this.#answer();
    const stream = this.#stream;
    const socket = TunnelSocket.over(stream, this.#ends);
    if (!stream.destroyed && !stream.closed) stream.respond({ ":status": 200 });
    this.#tunnels.add(socket);
    socket.once("close", () => this.#tunnels.delete(socket));
    return socket;
  }

  refuse(status: number, reason: string): void {
    this.#answer();
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    stream.respond({ ":status": status, "content-type": "text/plain" });
    // The client's half would stay open for as long as it likes.
    stream.end(reason.slice(0, MAX_REASON), () =>
      setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR)),
    );
    stream.resume();
  }

  #answer(): void {
    if (this.#answered) throw new Error("BUG: a tunnel is answered once");
    this.#answered = true;
  }
}

/** Revoked: whoever holds a tunnel is told at once, and not when OpenSSL has let go of the connection. */
function cut(tunnels: ReadonlySet<Socket>): void {
  for (const socket of [...tunnels]) {
    socket.destroy();
    socket.emit(CUT);
  }
}

function placeOf(address: string | undefined, port: number | undefined): TunnelPlace {
  return { ip: unmapped(address) ?? "", port: port ?? 0 };
}

function endsOf({ source, local }: Arrived): TunnelEnds {
  return {
    remoteAddress: source.ip,
    remotePort: source.port,
    localAddress: local.ip,
    localPort: local.port,
  };
}

function ignore(): void {}
