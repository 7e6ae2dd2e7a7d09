import type { ServerHttp2Stream } from "node:http2";
import type { BodySource } from "../http-service.ts";
import { GrowingBuffer } from "./body-peek.ts";

type Peeked = Awaited<ReturnType<BodySource["peekBody"]>>;

/** What was read of a stream ahead of its relay, which sends it on first. */
export interface HeldBody {
  readonly bytes: Buffer;
  /** The stream has ended: nothing follows, but its trailers (`keptTrailers`). */
  readonly ended: boolean;
}

/** Reads the beginning of an HTTP/2 request's body. Costs nothing where nobody asks. */
export class StreamPeek implements BodySource {
  readonly #stream: ServerHttp2Stream;
  #read: GrowingBuffer | undefined;
  #ended = false;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
  }

  /** Undefined where nothing was read. */
  get held(): HeldBody | undefined {
    if (this.#read === undefined) return undefined;
    return { bytes: this.#read.bytes, ended: this.#ended };
  }

  peekBody(maxBytes: number): Promise<Peeked> {
    const stream = this.#stream;
    if (stream.endAfterHeaders) return Promise.resolve(null);
    const read = new GrowingBuffer();
    this.#read = read;
    // What came to its end, or broke off, before anybody asked is told once, and was.
    if (stream.readableEnded) {
      this.#ended = true;
      return Promise.resolve({ bytes: read.bytes, partial: false });
    }
    if (stream.destroyed) return Promise.resolve("gone");
    const { promise, resolve } = Promise.withResolvers<Peeked>();
    const settle = (outcome: Peeked): void => {
      stream.off("readable", onReadable).off("end", onEnd).off("close", onClose);
      resolve(outcome);
    };
    const shown = (): Peeked => ({
      bytes: read.bytes.subarray(0, maxBytes),
      partial: read.bytes.length > maxBytes,
    });
    const onReadable = (): void => {
      for (;;) {
        const chunk: Buffer | null = stream.read();
        if (chunk === null) return;
        read.append(chunk);
        if (read.bytes.length > maxBytes) {
          settle(shown());
          return;
        }
      }
    };
    const onEnd = (): void => {
      this.#ended = true;
      settle(shown());
    };
    const onClose = (): void => settle("gone");
    stream.on("readable", onReadable).once("end", onEnd).once("close", onClose);
    return promise;
  }
}
