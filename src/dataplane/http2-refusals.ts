import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Bounded } from "./deadlines.ts";
import type { HttpEnvironment } from "./http-environment.ts";

/** A client's own GOAWAY with an error is its end, not a refusal of ours. */
const ENDED_BY_CLIENT = "ERR_HTTP2_SESSION_ERROR";

type RefusalEnvironment = Pick<HttpEnvironment, "deadlines" | "limits">;

/** @param reason for the record, as of other refusals. */
type RecordRefusal = (reason: string, explanation: string) => void;

/**
 * Records what HTTP/2's own layer refuses. nghttp2 resets a stream with a malformed or oversize header block before Node
 * tells of it, and no event of Node's says so. What shows it is a gap in the ids: clients count theirs upwards by two (RFC 9113
 * §5.1.1), and header blocks never interleave, so an id below another one's either became a request or was refused.
 * The last id is known from the session's state, which is read when the connection ends and at a slow beat until then.
 */
export class Http2Refusals implements Bounded {
  deadlineMs: number;
  readonly #session: ServerHttp2Session;
  readonly #env: RefusalEnvironment;
  readonly #record: RecordRefusal;
  #highest = -1;
  /** An id that was announced at the last beat, and had become no request. */
  #suspected = 0;
  #open = 0;
  #closing = false;

  /** @param record called for each that is refused. */
  constructor(session: ServerHttp2Session, env: RefusalEnvironment, record: RecordRefusal) {
    this.#session = session;
    this.#env = env;
    this.#record = record;
    this.deadlineMs = env.deadlines.nowMs + env.limits.headTimeoutMs;
    env.deadlines.watch(this);
    session.once("close", () => env.deadlines.forget(this));
  }

  /** @param socket before the session takes it: when the session hears of the close, its state is gone. */
  static watchEnd(socket: Socket, refusals: () => Http2Refusals | undefined): void {
    socket.prependOnceListener("close", () => refusals()?.ended());
  }

  /** A stream became a request. */
  began(stream: ServerHttp2Stream): void {
    const { id = 0 } = stream;
    this.#recordBetween(this.#highest + 2, id - 2);
    this.#highest = id;
    this.#open += 1;
    stream.once("close", this.#streamClosed);
  }

  /** The connection is over: what was announced will become no request any more. */
  ended(): void {
    const last = this.#lastAnnounced();
    if (last <= this.#highest) return;
    this.#recordBetween(this.#highest + 2, last);
    this.#highest = last;
  }

  /** The session broke: the client sent what RFC 9113 makes an error of the whole connection. */
  broke(error: NodeJS.ErrnoException): void {
    const { code = "" } = error;
    if (!code.startsWith("ERR_HTTP2_") || code === ENDED_BY_CLIENT) return;
    this.#record("http2-connection-error", error.message);
  }

  /** INVARIANT: a header block gets as long as a head of HTTP/1.1 does, at most twice that. */
  onDeadline(): void {
    this.deadlineMs = this.#env.deadlines.nowMs + this.#env.limits.headTimeoutMs;
    const last = this.#lastAnnounced();
    if (last > this.#highest && last === this.#suspected) {
      this.ended();
      this.#closing = true;
      this.#session.close();
      this.#destroyIfDone();
    }
    this.#suspected = last;
  }

  readonly #streamClosed = (): void => {
    this.#open -= 1;
    this.#destroyIfDone();
  };

  /** Node's own graceful close waits for the unfinished header block, too. */
  #destroyIfDone(): void {
    if (this.#closing && this.#open === 0) setImmediate(() => this.#session.destroy());
  }

  /** 0 when nothing is known. */
  #lastAnnounced(): number {
    return this.#session.destroyed ? 0 : (this.#session.state.lastProcStreamID ?? 0);
  }

  /** A client may leave ids out, too: from here that looks the same, and it is said so. */
  #recordBetween(from: number, to: number): void {
    if (to < from) return;
    const which = from === to ? `stream ${from}` : `streams ${from} to ${to}`;
    this.#record(
      "http2-stream-refused",
      `${which} became no request: the header block is malformed, too large or unfinished, too many streams were open, or the id was left out`,
    );
  }
}
