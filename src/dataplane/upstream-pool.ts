import type { FlowUpstream } from "../model/flow-record.ts";
import { ByteStream, type StreamHandler } from "./byte-stream.ts";
import { connectUpstream, type UpstreamSettings } from "./connect-upstream.ts";
import type { Bounded, Deadlines } from "./deadlines.ts";
import type { UpstreamTarget } from "./upstream-target.ts";

/** Below the 5 s after which Node's own servers close an idle connection: reuse must not race with that. */
const IDLE_MS = 4000;

/**
 * A connection to a server, lent to one exchange at a time. While idle it is its own handler, so that lending and
 * giving back allocate nothing; whatever the server does meanwhile makes it useless.
 */
export class PooledStream implements StreamHandler, Bounded {
  readonly stream: ByteStream;
  readonly target: UpstreamTarget;
  /** One object for all records that name this connection: a batch of them holds it once. */
  readonly flowUpstream: FlowUpstream;
  /** Whether an exchange before had it: then the server may have closed it in the same moment. */
  reused = false;
  deadlineMs = 0;
  readonly #discard: (pooled: PooledStream) => void;

  constructor(stream: ByteStream, target: UpstreamTarget, discard: (pooled: PooledStream) => void) {
    this.stream = stream;
    this.target = target;
    this.flowUpstream = {
      ip: target.host,
      port: target.port,
      localIp: stream.socket.localAddress,
      localPort: stream.socket.localPort,
      cluster: target.cluster,
    };
    this.#discard = discard;
  }

  onData(): void {
    this.#discard(this);
  }

  onDrain(): void {}

  onEnd(): void {
    this.#discard(this);
  }

  onClose(): void {
    this.#discard(this);
  }

  onDeadline(): void {
    this.#discard(this);
  }
}

/**
 * Idle upstream connections by what sets them apart. A connection enters only when its response ended cleanly, with
 * nothing left over and reading resumed: one that back-pressure had paused would hang whoever gets it next.
 */
export class UpstreamPool {
  readonly #settings: UpstreamSettings;
  readonly #deadlines: Deadlines;
  readonly #maxIdle: number;
  readonly #idle = new Map<string, PooledStream[]>();

  constructor(settings: UpstreamSettings, deadlines: Deadlines, maxIdlePerTarget: number) {
    this.#settings = settings;
    this.#deadlines = deadlines;
    this.#maxIdle = maxIdlePerTarget;
  }

  /** An idle connection, handed to `handler`; undefined when there is none. */
  takeIdle(target: UpstreamTarget, handler: StreamHandler): PooledStream | undefined {
    const list = this.#idle.get(target.poolKey);
    for (let pooled = list?.pop(); pooled !== undefined; pooled = list?.pop()) {
      this.#deadlines.forget(pooled);
      if (pooled.stream.closed) continue;
      pooled.reused = true;
      pooled.stream.handler = handler;
      return pooled;
    }
    return undefined;
  }

  /** A new connection. `done` is called once; events of the stream go to `handler` from then on. */
  connect(
    target: UpstreamTarget,
    handler: StreamHandler,
    done: (outcome: PooledStream | Error) => void,
  ): void {
    connectUpstream(target, this.#settings, true, (outcome, reads) => {
      if (outcome instanceof Error) done(outcome);
      else done(new PooledStream(new ByteStream(outcome, handler, reads), target, this.#discard));
    });
  }

  /** Gives back a connection that is ready for another request. */
  release(pooled: PooledStream): void {
    const key = pooled.target.poolKey;
    let list = this.#idle.get(key);
    if (list === undefined) {
      list = [];
      this.#idle.set(key, list);
    }
    if (list.length >= this.#maxIdle || pooled.stream.closed) {
      pooled.stream.destroy();
      return;
    }
    pooled.stream.handler = pooled;
    pooled.deadlineMs = this.#deadlines.nowMs + IDLE_MS;
    list.push(pooled);
    this.#deadlines.watch(pooled);
  }

  /** Closes every idle connection: after a change of certificates, trust or addresses. */
  clear(): void {
    for (const list of [...this.#idle.values()]) for (const pooled of [...list]) this.#discard(pooled);
  }

  readonly #discard = (pooled: PooledStream): void => {
    this.#deadlines.forget(pooled);
    const key = pooled.target.poolKey;
    const list = this.#idle.get(key);
    const at = list?.indexOf(pooled) ?? -1;
    if (at >= 0) list?.splice(at, 1);
    if (list?.length === 0) this.#idle.delete(key);
    pooled.stream.destroy();
  };
}
