import type { Socket } from "node:net";
import type { LentReads } from "./lent-reads.ts";
import { CUT } from "./reset-connection.ts";
import { giveBlock, takeBlock } from "./write-blocks.ts";

/**
 * Whoever holds a connection at present. One object takes all events, so that handing a pooled connection from one
 * exchange to the next is an assignment rather than a round of adding and removing listeners.
 */
export interface StreamHandler {
  /** @param chunk of a stream with lent reads: valid until this returns; {@link ByteStream.relay} sends it on. */
  onData(chunk: Buffer): void;
  /** Everything written has left our buffers after a `write` that returned false. */
  onDrain(): void;
  /** The peer has finished sending; this side may still write. */
  onEnd(): void;
  /** Gone, in both directions. Called once. */
  onClose(error: Error | undefined): void;
}

/**
 * The seam between the proxy and the engine that does its I/O: bytes in by the handler, bytes out by `write`.
 * This engine is Node's own `net` and `tls`; nothing to the right of it knows that but for HTTP/2.
 */
export class ByteStream {
  readonly socket: Socket;
  #handler: StreamHandler;
  #error: Error | undefined;
  #closed = false;
  readonly #listeners: readonly [string, (...args: never[]) => void][];

  /** Whether the chunks that this stream hands out are only lent. */
  readonly #lends: boolean;

  constructor(socket: Socket, handler: StreamHandler, reads?: LentReads) {
    this.socket = socket;
    this.#handler = handler;
    this.#lends = reads !== undefined;
    if (reads !== undefined) reads.take = (chunk) => this.#handler.onData(chunk);
    this.#listeners = [
      ["data", (chunk: Buffer) => this.#handler.onData(chunk)],
      ["drain", () => this.#handler.onDrain()],
      ["end", () => this.#handler.onEnd()],
      ["error", (error: Error) => this.#fail(error)],
      ["close", () => this.#close()],
      [CUT, () => this.#close()],
    ];
    for (const [event, listener] of this.#listeners) socket.on(event, listener as () => void);
  }

  set handler(handler: StreamHandler) {
    this.#handler = handler;
  }

  get closed(): boolean {
    return this.#closed || this.socket.destroyed;
  }

  /** @returns false when the peer reads too slowly: wait for `onDrain` before sending much more. */
  write(data: Buffer): boolean {
    return this.socket.write(data);
  }

  /** Sends on what another stream has just handed out, with a head before it if there is one. */
  relay(from: ByteStream, chunk: Buffer, head = ""): boolean {
    if (chunk.length === 0) return this.writeLatin1(head);
    if (head.length === 0 && !from.#lends) return this.socket.write(chunk);
    const length = head.length + chunk.length;
    const block = takeBlock(length);
    if (block === undefined) return this.socket.write(joined(Buffer.allocUnsafe(length), head, chunk));
    // After an error nothing says who may still read from it.
    return this.socket.write(joined(block, head, chunk), (error) => giveBlock(block, !error));
  }

  /** Text of which every character is one byte. */
  writeLatin1(text: string): boolean {
    return this.socket.write(text, "latin1");
  }

  /** Head and first part of a body in as few packets as the system can. */
  cork(): void {
    this.socket.cork();
  }

  uncork(): void {
    this.socket.uncork();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Finishes our direction after what was written. */
  end(): void {
    if (!this.socket.writableEnded) this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Closes once everything written has been sent. */
  destroyAfterFlush(): void {
    this.socket.destroySoon();
  }

  /** Takes our listeners off, for a protocol that wants the socket itself (HTTP/2). Errors stay caught. */
  release(): Socket {
    for (const [event, listener] of this.#listeners) this.socket.off(event, listener as () => void);
    this.socket.on("error", ignoreError);
    return this.socket;
  }

  #fail(error: Error): void {
    this.#error = error;
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler.onClose(this.#error);
  }
}

function joined(into: Buffer, head: string, chunk: Buffer): Buffer {
  if (head.length > 0) into.write(head, 0, "latin1");
  chunk.copy(into, head.length);
  return into.subarray(0, head.length + chunk.length);
}

/** An error is always followed by `close`, which is what is acted on. */
function ignoreError(): void {}
