import type { FlowDraft } from "../model/flow-record.ts";
import type { ByteStream, StreamHandler } from "./byte-stream.ts";
import type { Bounded, Deadlines } from "./deadlines.ts";
import type { Leave, MutableFlow } from "./http-service.ts";
import type { Rechecked, Refusal } from "./recheck.ts";

export interface TunnelOptions {
  readonly deadlines: Deadlines;
  readonly idleTimeoutMs: number;
  readonly flows: { push(draft: FlowDraft): void };
  readonly flow: MutableFlow;
  readonly startedMs: number;
  readonly onEnded: () => void;
  /** Who forbids it now; undefined while it may go on. */
  readonly recheck?: () => Refusal | undefined;
}

/**
 * Relays bytes both ways between two connections: with back-pressure, and with half-close, which protocols that answer
 * after the client's end depend on. Can only be made with leave to forward.
 */
export class Tunnel implements Bounded, Rechecked {
  deadlineMs = 0;
  /** What gave leave; changes of policy ask again. */
  readonly leave: Leave;
  readonly #client: ByteStream;
  readonly #server: ByteStream;
  readonly #options: TunnelOptions;
  readonly #ended = { client: false, server: false };
  #sent = 0;
  #received = 0;
  #over = false;

  constructor(leave: Leave, client: ByteStream, server: ByteStream, options: TunnelOptions) {
    this.leave = leave;
    this.#client = client;
    this.#server = server;
    this.#options = options;
    client.handler = this.#half("client", server);
    server.handler = this.#half("server", client);
    this.#touch();
    options.deadlines.watch(this);
  }

  /** Bytes that the client sent before the tunnel stood. */
  sendFirst(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#sent += bytes.length;
    if (!this.#server.write(bytes)) this.#client.pause();
  }

  /** The client had ended before the tunnel stood: nobody tells of it any more. */
  clientHasEnded(): void {
    this.#ended.client = true;
    this.#server.end();
  }

  onDeadline(): void {
    this.cut("idle-timeout");
  }

  /** Asks again for leave, after a change of policy, and ends what is no longer allowed. */
  recheck(): void {
    const refusal = this.#options.recheck?.();
    if (refusal === undefined) return;
    const { layer, reason, policy, rule, explanation } = refusal;
    Object.assign(this.#options.flow, { verdict: "deny", layer, policy, rule, explanation });
    this.cut(reason ?? "policy-changed");
  }

  /** Ends it at once. */
  cut(reason: string): void {
    this.#finish(reason);
  }

  #half(side: "client" | "server", other: ByteStream): StreamHandler {
    const own = side === "client" ? this.#client : this.#server;
    return {
      onData: (chunk) => {
        this.#touch();
        if (side === "client") this.#sent += chunk.length;
        else this.#received += chunk.length;
        if (!other.relay(own, chunk)) own.pause();
      },
      onDrain: () => other.resume(),
      onEnd: () => {
        this.#ended[side] = true;
        other.end();
      },
      onClose: (error) => {
        const clean = error === undefined && this.#ended[side];
        this.#finish(
          clean || (error === undefined && this.#ended.client && this.#ended.server)
            ? undefined
            : `${side}-reset`,
        );
      },
    };
  }

  #touch(): void {
    this.deadlineMs = this.#options.deadlines.nowMs + this.#options.idleTimeoutMs;
  }

  /** One side is gone: what was written to the other still leaves, then it closes too. */
  #finish(reason: string | undefined): void {
    if (this.#over) return;
    this.#over = true;
    const { flow, flows, deadlines, startedMs, onEnded } = this.#options;
    deadlines.forget(this);
    for (const stream of [this.#client, this.#server]) {
      if (reason === undefined) stream.destroyAfterFlush();
      else stream.destroy();
    }
    flow.bytesSent = this.#sent;
    flow.bytesReceived = this.#received;
    flow.durationMs = performance.now() - startedMs;
    if (reason !== undefined) flow.reason = reason;
    flows.push(flow);
    onEnded();
  }
}
