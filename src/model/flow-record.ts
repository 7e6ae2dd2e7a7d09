/**
 * One record of the flow log: what a proxy, the CA or the control plane saw and decided.
 * The wire form is the JSON of this type (one object a line), stable: fields may be added, a meaning never changes.
 * Every optional field also admits `undefined`, so that a hot path can build one object shape without conditional spreads;
 * JSON leaves such fields out.
 */

/**
 * What the record is about: one HTTP request or RPC; one TCP or TLS connection (written when it ends);
 * one TLS handshake; one policy decision that belongs to neither; one certificate renewed; one certificate revoked.
 */
export type FlowKind = "request" | "connection" | "handshake" | "decision" | "rotation" | "revocation";

/** Every {@link FlowKind}, for parsers. */
export const FLOW_KINDS: readonly FlowKind[] = [
  "request",
  "connection",
  "handshake",
  "decision",
  "rotation",
  "revocation",
];

/** `deny`: a policy refused. `error`: nobody refused, and it failed all the same (reset, no upstream, time-out). */
export type FlowVerdict = "allow" | "deny" | "error";

/** Every {@link FlowVerdict}, for parsers. */
export const FLOW_VERDICTS: readonly FlowVerdict[] = ["allow", "deny", "error"];

/** Seen from the reporter: traffic that reaches its workload, or that its workload sends. A gateway reports both. */
export type FlowDirection = "inbound" | "outbound";

/** Every {@link FlowDirection}, for parsers. */
export const FLOW_DIRECTIONS: readonly FlowDirection[] = ["inbound", "outbound"];

/** Who opened the connection. */
export interface FlowSource {
  /** `namespace/name`; absent when the peer is not a known workload. */
  readonly workload?: string | undefined;
  /** Authenticated identity without the scheme, as in `source.principals`: `cluster.local/ns/a/sa/b`. Null: plaintext. */
  readonly principal?: string | null | undefined;
  /** The peer address of the reporter's socket. */
  readonly ip?: string | undefined;
  readonly port?: number | undefined;
}

/** Where the connection or request was meant to go. */
export interface FlowDestination {
  /** `namespace/name`. */
  readonly workload?: string | undefined;
  /** The service's host, as in `payroll.finance.svc.cluster.local`. */
  readonly service?: string | undefined;
  /** The host that was asked for: HTTP authority without port, or the name in the SNI. */
  readonly host?: string | undefined;
  /** For inbound traffic the local address of the reporter's socket; for outbound the original destination. */
  readonly ip?: string | undefined;
  readonly port?: number | undefined;
}

/** The session between source and reporter. */
export interface FlowTls {
  /** `TLSv1.3`. */
  readonly version?: string | undefined;
  /** IANA name, `TLS_AES_128_GCM_SHA256`. */
  readonly cipher?: string | undefined;
  /** Key agreement group, `X25519MLKEM768`. */
  readonly group?: string | undefined;
  /** Serial number of the peer's certificate, upper-case hexadecimal. */
  readonly peerSerial?: string | undefined;
  readonly resumed?: boolean | undefined;
}

/** The reporter's own connection onwards. With it a client's record can be joined with the server's. */
export interface FlowUpstream {
  readonly ip?: string | undefined;
  readonly port?: number | undefined;
  /** The reporter's address on that connection: the `source.ip` of the next hop's record. */
  readonly localIp?: string | undefined;
  /** The reporter's port on that connection: the `source.port` of the next hop's record. */
  readonly localPort?: number | undefined;
  /** `outbound|80||payroll.finance.svc.cluster.local`. */
  readonly cluster?: string | undefined;
}

/** What an external authorizer (AuthorizationPolicy with action CUSTOM) was asked about this, and said. */
export interface FlowAuthorizer {
  /** Name of the extension provider. */
  readonly provider?: string | undefined;
  /** `allow`, `deny`, or `error`: it could not be asked. */
  readonly answer?: string | undefined;
  /** HTTP authorizers: the HTTP status that it answered with. gRPC: the code in its answer, else that of the call. */
  readonly status?: number | undefined;
  /** From asking to its answer, reading the request's body for it included. */
  readonly durationMs?: number | undefined;
  /** It could not be asked and the provider says `failOpen`: let through unchecked. */
  readonly failedOpen?: boolean | undefined;
}

/** A record as a reporter makes it. */
export interface FlowDraft {
  /** RFC 3339, UTC, nanoseconds: when it began for `request` and `connection` (`durationMs` later it ended), else when it happened. */
  readonly time: string;
  readonly kind: FlowKind;
  readonly source?: FlowSource | undefined;
  readonly destination?: FlowDestination | undefined;
  /** Who tells this: `namespace/name` of the workload whose proxy it is, or a component's name (`bulwark/ca`). */
  readonly reporter: string;
  readonly direction?: FlowDirection | undefined;
  /** `http`, `http2`, `grpc`, `websocket`, `tls`, `tcp`. */
  readonly protocol?: string | undefined;
  /** Server name of the TLS that the reporter terminates or routes by. */
  readonly sni?: string | undefined;
  /** Server name of the application's own TLS inside the mesh's (egress). */
  readonly innerSni?: string | undefined;
  readonly method?: string | undefined;
  /** Path and query as received, before normalisation. */
  readonly path?: string | undefined;
  /** HTTP status that the source was given; absent where there was no HTTP answer. */
  readonly status?: number | undefined;
  readonly tls?: FlowTls | undefined;
  readonly verdict: FlowVerdict;
  /** Which layer decided: `network`, `tls`, `jwt`, `rbac`, `route`, `egress`, `protocol`, `upstream`. */
  readonly layer?: string | undefined;
  /** A decision's `reason`, or its finer `cause`. */
  readonly reason?: string | undefined;
  /** `AuthorizationPolicy finance/auditor-reads-accounts`; null or absent where none decided. */
  readonly policy?: string | null | undefined;
  /** Index of the rule in the policy; null or absent where none. */
  readonly rule?: number | null | undefined;
  /** A few short lines for a person. */
  readonly explanation?: readonly string[] | undefined;
  /** Application bytes from the source to the destination. */
  readonly bytesSent?: number | undefined;
  /** Application bytes from the destination to the source. */
  readonly bytesReceived?: number | undefined;
  readonly durationMs?: number | undefined;
  /** W3C trace id, 32 hexadecimal digits (https://www.w3.org/TR/trace-context/#trace-id). */
  readonly traceId?: string | undefined;
  /** The reporter's name for the connection: joins its handshake, connection and request records. */
  readonly connectionId?: string | undefined;
  readonly upstream?: FlowUpstream | undefined;
  readonly authorizer?: FlowAuthorizer | undefined;
  /**
   * What policies that do not block say (action AUDIT, annotation `istio.io/dry-run`), joined by `; `:
   * `audit by AuthorizationPolicy a/b rule 0`, `would-deny by …`, `would-allow by …`.
   */
  readonly shadow?: string | undefined;
  /** Set when the record was too long and its long texts were cut. */
  readonly truncated?: boolean | undefined;
}

/** A record in the log. */
export interface FlowRecord extends FlowDraft {
  /** `<reporterInstance>:<n>`, n rising by one with each record of a process: what makes storing exactly-once. */
  readonly id: string;
}

/** Nanoseconds since 1970-01-01T00:00:00Z. */
export type NanosClock = () => bigint;

const NANOS_PER_SECOND = 1_000_000_000n;

/**
 * The clock's time as RFC 3339 in UTC with nine fractional digits.
 * @see RFC 3339 §5.6
 */
export function nowRfc3339Nanos(clock?: NanosClock): string {
  if (clock === undefined) return systemRfc3339();
  const now = clock();
  const second = now / NANOS_PER_SECOND;
  return inUtc(Number(second), Number(now - second * NANOS_PER_SECOND));
}

/** Nanoseconds since the epoch, as {@link nowRfc3339Nanos} tells them without a clock of its own. */
export function systemNanos(): bigint {
  const monotonicMs = readClocks();
  return BigInt(anchorMs) * 1_000_000n + BigInt(Math.floor(monotonicMs * 1e6));
}

/** Numbers rather than bigints: half the time of a call that each request makes. */
function systemRfc3339(): string {
  const monotonicMs = readClocks();
  const wholeMs = Math.floor(monotonicMs);
  const nowMs = anchorMs + wholeMs;
  const second = Math.floor(nowMs / 1000);
  return inUtc(second, (nowMs - second * 1000) * 1e6 + Math.floor((monotonicMs - wholeMs) * 1e6));
}

let cachedSecond = -1;
let cachedPrefix = "";

/** The text of the second is kept between calls: printing it is the dear part. */
function inUtc(second: number, nanos: number): string {
  if (second !== cachedSecond) {
    cachedPrefix = new Date(second * 1000).toISOString().slice(0, 20);
    cachedSecond = second;
  }
  return `${cachedPrefix}${String(nanos).padStart(9, "0")}Z`;
}

/** How far the wall clock may be from where the monotonic one puts it before it counts as having been set. */
const STEP_MS = 5;
/** The wall clock's whole milliseconds when the monotonic one was 0. */
let anchorMs = Number.NaN;

/**
 * The wall clock has milliseconds; with the monotonic one's digits behind them it tells times a request apart. Follows when the clock is set.
 * @returns the monotonic clock's milliseconds, to be added to {@link anchorMs}.
 */
function readClocks(): number {
  const wallMs = Date.now();
  const monotonicMs = performance.now();
  if (!(Math.abs(anchorMs + monotonicMs - wallMs) < STEP_MS)) anchorMs = Math.round(wallMs - monotonicMs);
  return monotonicMs;
}
