import { type ClientHttp2Session, connect } from "node:http2";
import { connectUpstream, type UpstreamSettings } from "./connect-upstream.ts";
import type { UpstreamTarget } from "./upstream-target.ts";

/** Room for bulk transfers on fast links; per stream and per session. */
const STREAM_WINDOW_BYTES = 1 << 20;
const SESSION_WINDOW_BYTES = 16 << 20;

/** Node would throw at a header that it thinks should come once (`authorization`): what was judged goes on as it came. Its types do not know this yet. */
const AS_RECEIVED = { strictSingleValueFields: false } as object;

/** A session to a server, and where our end of it is. */
export interface UpstreamSession {
  readonly session: ClientHttp2Session;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
}

/** One HTTP/2 session for each target, opened when first needed and again when it is gone. */
export class Http2Upstreams {
  readonly #settings: UpstreamSettings;
  readonly #sessions = new Map<string, Promise<UpstreamSession>>();

  constructor(settings: UpstreamSettings) {
    this.#settings = settings;
  }

  async session(target: UpstreamTarget): Promise<UpstreamSession> {
    const existing = this.#sessions.get(target.poolKey);
    if (existing !== undefined) {
      const held = await existing;
      if (!held.session.closed && !held.session.destroyed) return held;
    }
    const opening = this.#open(target);
    this.#sessions.set(target.poolKey, opening);
    opening.catch(() => this.#forget(target.poolKey, opening));
    return opening;
  }

  /** New requests get new sessions; those under way finish on the old. */
  clear(): void {
    // A turn later: whoever waited for this session makes its request first. One that is closing takes none.
    for (const opening of this.#sessions.values())
      opening.then(({ session }) => setImmediate(() => session.close()), ignore);
    this.#sessions.clear();
  }

  #open(target: UpstreamTarget): Promise<UpstreamSession> {
    const { promise, resolve, reject } = Promise.withResolvers<UpstreamSession>();
    connectUpstream(target, this.#settings, false, (outcome) => {
      if (outcome instanceof Error) {
        reject(outcome);
        return;
      }
      const { localAddress, localPort } = outcome;
      // A server that ends its half answers nothing any more: the session must not stay to be given requests.
      outcome.allowHalfOpen = false;
      const session = connect(`http://${target.host}`, {
        createConnection: () => outcome,
        settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
        ...AS_RECEIVED,
      });
      session.on("error", ignore);
      session.once("connect", () => {
        session.setLocalWindowSize(SESSION_WINDOW_BYTES);
        resolve({ session, localAddress, localPort });
      });
      session.once("close", () => {
        this.#forget(target.poolKey, promise);
        reject(new Error("the server closed the HTTP/2 session"));
      });
    });
    return promise;
  }

  #forget(key: string, opening: Promise<UpstreamSession>): void {
    if (this.#sessions.get(key) === opening) this.#sessions.delete(key);
  }
}

function ignore(): void {}
