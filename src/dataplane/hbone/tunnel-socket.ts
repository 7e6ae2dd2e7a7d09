/** One tunnel of HBONE, as whatever holds a connection knows connections: a socket. */
import type { Http2Stream } from "node:http2";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { BulwarkError } from "../../resources/bulwark-error.ts";

/** Where the tunnel's own connection is from and to, as `net.Socket` names it. */
export interface TunnelEnds {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
}

/** How long a peer gets to end its own direction once ours has ended and nobody listens to it any more. */
const LINGER_MS = 2000;

/**
 * A stream that CONNECT opened, with what `ByteStream`, the pools, `node:http` and `node:http2` need of a `net.Socket`. Back-pressure is HTTP/2's flow
 * control: what is not read here is not acknowledged to the peer. A half that ends is END_STREAM, both ways.
 *
 * INVARIANT: it ends only if the peer has said so. Node ends streams that were reset, or whose connection broke, as if all had arrived:
 * here that is an error, as on a TCP connection, and nothing that was cut short looks whole.
 */
export class TunnelSocket extends Duplex {
  readonly #stream: Http2Stream & Duplex;
  readonly #ends: TunnelEnds;
  #remoteEnded = false;
  #discards = false;
  #idle: NodeJS.Timeout | undefined;
  #idleMs = 0;
  #bytesRead = 0;
  #bytesWritten = 0;

  /** @param stream answered, or with its answer sent; nobody else reads from it. @returns as the socket that it stands for. */
  static over(stream: Http2Stream & Duplex, ends: TunnelEnds): Socket {
    return new TunnelSocket(stream, ends) as unknown as Socket;
  }

  private constructor(stream: Http2Stream & Duplex, ends: TunnelEnds) {
    super({ allowHalfOpen: true, emitClose: true, autoDestroy: true });
    this.#stream = stream;
    this.#ends = ends;
    watchEnd(stream, () => {
      this.#remoteEnded = true;
    });
    stream.on("data", (chunk: Buffer) => this.#received(chunk));
    stream.on("end", () => this.#ended());
    stream.on("error", (error) => this.destroy(cutShort(error)));
    stream.on("close", () => this.#closed());
    stream.pause();
    // An error without a listener would end the process: it is followed by `close`, which is what is acted on.
    this.on("error", ignore);
    if (stream.destroyed) process.nextTick(() => this.#closed());
  }

  get remoteAddress(): string | undefined {
    return this.#ends.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#ends.remotePort;
  }

  get remoteFamily(): string | undefined {
    return familyOf(this.#ends.remoteAddress);
  }

  get localAddress(): string | undefined {
    return this.#ends.localAddress;
  }

  get localPort(): number | undefined {
    return this.#ends.localPort;
  }

  get localFamily(): string | undefined {
    return familyOf(this.#ends.localAddress);
  }

  get bytesRead(): number {
    return this.#bytesRead;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  get connecting(): boolean {
    return false;
  }

  get pending(): boolean {
    return false;
  }

  /** Ends once everything written has left, whether or not the peer ends, too. */
  destroySoon(): void {
    if (this.destroyed) return;
    this.#discards = true;
    this.resume();
    this.#stream.resume();
    if (!this.writableEnded) this.end();
    const linger = (): void => {
      const timer = setTimeout(() => this.destroy(), LINGER_MS).unref();
      this.once("close", () => clearTimeout(timer));
    };
    if (this.writableFinished) linger();
    else this.once("finish", linger);
  }

  setTimeout(timeoutMs: number, onTimeout?: () => void): this {
    this.#idleMs = timeoutMs;
    if (onTimeout !== undefined) {
      if (timeoutMs === 0) this.off("timeout", onTimeout);
      else this.once("timeout", onTimeout);
    }
    clearTimeout(this.#idle);
    this.#idle = undefined;
    if (timeoutMs > 0 && !this.destroyed)
      this.#idle = setTimeout(() => this.emit("timeout"), timeoutMs).unref();
    return this;
  }

  get timeout(): number {
    return this.#idleMs;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#sent(chunk.length);
    // Whoever lends a block takes it back when this is called: not before it has left.
    this.#stream.write(chunk, done);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const last = chunks.length - 1;
    this.#stream.cork();
    for (const [at, { chunk }] of chunks.entries()) {
      this.#sent(chunk.length);
      this.#stream.write(chunk, at === last ? done : undefined);
    }
    this.#stream.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#stream.destroyed) {
      done(cutShort());
      return;
    }
    this.#stream.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#idle);
    this.#discards = true;
    if (!this.#stream.destroyed) this.#leave(error === null && this.#remoteEnded);
    done(error);
  }

  /** @param orderly where the peer has said all that it had to: then our end is enough, as on a TCP connection. */
  #leave(orderly: boolean): void {
    // What nobody read is let in, so that the stream closes by itself.
    if (orderly) this.#stream.resume().end();
    // Not by `close`: Node would send END_STREAM before the reset, and what was cut short would look whole.
    else this.#stream.destroy(cutShort());
  }

  #received(chunk: Buffer): void {
    this.#bytesRead += chunk.length;
    this.#idle?.refresh();
    if (this.#discards) return;
    if (!this.push(chunk)) this.#stream.pause();
  }

  #sent(bytes: number): void {
    this.#bytesWritten += bytes;
    this.#idle?.refresh();
  }

  #ended(): void {
    if (this.#remoteEnded) this.push(null);
    else this.destroy(cutShort());
  }

  /** The stream is gone; what it brought may still wait to be read. */
  #closed(): void {
    if (this.destroyed) return;
    if (!this.#remoteEnded) this.destroy(cutShort());
    else if (this.readableEnded && !this.writableFinished) this.destroy(cutShort());
    else if (!this.writableFinished) this.once("end", () => this.destroy());
  }
}

/** By the end of the stream that Node is told of by a frame: one that it makes up itself is of a stream that is closed already. */
function watchEnd(stream: Http2Stream & Duplex, onEnd: () => void): void {
  if (stream.endAfterHeaders) onEnd();
  const push = stream.push;
  stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && !stream.closed) onEnd();
    return push.call(stream, chunk, encoding);
  };
}

function cutShort(cause?: Error): BulwarkError {
  return new BulwarkError("BW_TUNNEL_RESET", "the tunnel was broken off", { cause });
}

function familyOf(address: string | undefined): string | undefined {
  return address === undefined ? undefined : address.includes(":") ? "IPv6" : "IPv4";
}

function ignore(): void {}
