import type { UpstreamSettings } from "../connect-upstream.ts";
import type { Http2Upstreams } from "../http2-upstreams.ts";
import type { Limits } from "../limits.ts";
import type { UpstreamTarget } from "../upstream-target.ts";
import type { CallHandler, CallRequest, PendingCall } from "./call.ts";
import { Http1Agent, Http1Call } from "./http1-call.ts";
import { Http2Call } from "./http2-call.ts";

/** Opens calls at servers, by the protocol that each target says. */
export class UpstreamCalls {
  readonly #settings: UpstreamSettings;
  readonly #http2: Http2Upstreams;
  readonly #limits: Limits;
  #http1: Http1Agent | undefined;

  constructor(settings: UpstreamSettings, http2: Http2Upstreams, limits: Limits) {
    this.#settings = settings;
    this.#http2 = http2;
    this.#limits = limits;
  }

  open(target: UpstreamTarget, request: CallRequest, handler: CallHandler): PendingCall {
    if (target.protocol === "http2") return new Http2Call(target, request, handler, this.#http2);
    this.#http1 ??= new Http1Agent(this.#settings, this.#limits.maxIdleUpstream);
    return new Http1Call(target, request, handler, this.#http1, this.#limits.maxHeadBytes);
  }

  /** Closes idle connections: after a change of certificates, trust or addresses. Calls under way go on. */
  clear(): void {
    const agent = this.#http1;
    this.#http1 = undefined;
    for (const free of Object.values(agent?.freeSockets ?? {}))
      for (const socket of free ?? []) socket.destroy();
    // Those in use are not kept when they come back.
    if (agent !== undefined) agent.maxFreeSockets = 0;
  }
}
