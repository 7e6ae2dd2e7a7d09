import { BODY_LIMITS, type BodyLimits, type BodyReader } from "./http1-body-reader.ts";
import { ChunkedReader } from "./http1-chunked.ts";
import type { BodyKind } from "./http1-head.ts";

/** A body of known length; of length 0 it is done at once. */
export class LengthReader implements BodyReader {
  readonly refusal = undefined;
  readonly endsWithConnection = false;
  #remaining: number;

  /** @param length octets, 0 ≤ length ≤ 2^53 − 1. */
  constructor(length: number) {
    this.#remaining = length;
  }

  get done(): boolean {
    return this.#remaining === 0;
  }

  read(_bytes: Buffer, start: number, end: number): number {
    const taken = Math.min(this.#remaining, end - start);
    this.#remaining -= taken;
    return start + taken;
  }
}

/** A body that runs to the end of the connection (responses only), or a tunnel. */
export class UntilCloseReader implements BodyReader {
  readonly refusal = undefined;
  readonly endsWithConnection = true;
  readonly done = false;

  read(_bytes: Buffer, _start: number, end: number): number {
    return end;
  }
}

/** The reader for a parsed head's body. */
export function bodyReader(
  head: { readonly bodyKind: BodyKind; readonly contentLength: number },
  limits: BodyLimits = BODY_LIMITS,
): BodyReader {
  switch (head.bodyKind) {
    case "none":
      return new LengthReader(0);
    case "length":
      return new LengthReader(head.contentLength);
    case "chunked":
      return new ChunkedReader(limits);
    case "close":
    case "tunnel":
      return new UntilCloseReader();
  }
}
