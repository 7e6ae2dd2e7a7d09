import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Bounded } from "./deadlines.ts";
import type { HttpEnvironment } from "./http-environment.ts";

/** How often one looks within the time: an idle connection ends late by so much of it. */
const LOOKS = 8;

type IdleEnvironment = Pick<HttpEnvironment, "deadlines" | "limits">;

/**
 * Ends an HTTP/2 connection on which nothing moves. Not by the session's own `setTimeout`: Node 26.10 does not clear its timer when the
 * session ends, so each that is over would be kept, with all it holds, until its time is up.
 */
export class Http2Idle implements Bounded {
  deadlineMs: number;
  readonly #session: ServerHttp2Session;
  readonly #socket: Socket;
  readonly #env: IdleEnvironment;
  #seen: string;
  #sinceMs: number;

  constructor(session: ServerHttp2Session, socket: Socket, env: IdleEnvironment) {
    this.#session = session;
    this.#socket = socket;
    this.#env = env;
    this.#sinceMs = env.deadlines.nowMs;
    this.#seen = this.#moved();
    this.deadlineMs = this.#next();
    env.deadlines.watch(this);
    session.once("close", () => env.deadlines.forget(this));
  }

  onDeadline(): void {
    const { nowMs } = this.#env.deadlines;
    const moved = this.#moved();
    if (moved !== this.#seen) {
      this.#seen = moved;
      this.#sinceMs = nowMs;
    }
    if (nowMs - this.#sinceMs >= this.#env.limits.idleTimeoutMs) this.#session.destroy();
    else this.deadlineMs = this.#next();
  }

  #next(): number {
    return this.#env.deadlines.nowMs + this.#env.limits.idleTimeoutMs / LOOKS;
  }

  /** What changes with each byte that comes, and with all data that goes: nghttp2 writes behind the socket's back. */
  #moved(): string {
    const { remoteWindowSize, nextStreamID } = this.#session.destroyed ? {} : this.#session.state;
    return `${this.#socket.bytesRead} ${remoteWindowSize} ${nextStreamID}`;
  }
}
