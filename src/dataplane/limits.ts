/** What a proxy takes from one peer before it refuses. All are per proxy process unless said otherwise. */
export interface Limits {
  /** A request or response head, bytes; above it 431 or 502. */
  readonly maxHeadBytes: number;
  readonly maxHeaders: number;
  /** A request body, bytes; 0 = no limit. Above it 413. */
  readonly maxBodyBytes: number;
  readonly maxConnections: number;
  readonly maxStreamsPerConnection: number;
  /** From the last byte in either direction. */
  readonly idleTimeoutMs: number;
  /** From a request's first byte to the end of its head. */
  readonly headTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** Idle connections kept to one upstream address. */
  readonly maxIdleUpstream: number;
}

export const DEFAULT_LIMITS: Limits = {
  maxHeadBytes: 64 * 1024,
  maxHeaders: 100,
  maxBodyBytes: 0,
  maxConnections: 20_000,
  maxStreamsPerConnection: 100,
  idleTimeoutMs: 3_600_000,
  headTimeoutMs: 15_000,
  handshakeTimeoutMs: 10_000,
  connectTimeoutMs: 10_000,
  maxIdleUpstream: 256,
};
