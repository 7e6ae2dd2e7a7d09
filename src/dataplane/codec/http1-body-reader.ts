import type { Http1Refusal } from "./http1-refusal.ts";

/** {@link BodyReader.read}: the body is malformed. Forward nothing of these bytes, close both sides. */
export const BODY_MALFORMED = -1;

/**
 * Tells how many bytes of each buffer belong to the present message, so that a proxy forwards slices without copying and
 * keeps pipelined bytes behind them.
 * INVARIANT: no byte is reported before it was checked, so what was forwarded is always a prefix of a sound message.
 */
export interface BodyReader {
  /** Offset behind the last byte in [start, end) that belongs to the message, or {@link BODY_MALFORMED}. */
  read(bytes: Buffer, start: number, end: number): number;
  /** Whether the message is complete. */
  readonly done: boolean;
  /** Why read answered {@link BODY_MALFORMED}. */
  readonly refusal: Http1Refusal | undefined;
  /** Whether the end of the connection here is the end of the message, rather than a truncated one. */
  readonly endsWithConnection: boolean;
}

export interface BodyLimits {
  /** Most chunk data of one message, octets. */
  readonly maxBodyBytes: number;
  /** Most bytes of chunk extensions in one message: they reach no one and are a cheap way to keep a proxy busy. */
  readonly maxExtensionBytes: number;
  readonly maxTrailerBytes: number;
  readonly maxTrailers: number;
}

export const BODY_LIMITS: BodyLimits = {
  maxBodyBytes: Number.MAX_SAFE_INTEGER,
  maxExtensionBytes: 4 * 1024,
  maxTrailerBytes: 8 * 1024,
  maxTrailers: 32,
};
