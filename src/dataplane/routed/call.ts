/** One try of a request at one server, whichever HTTP version is spoken there. */
import type { FlowUpstream } from "../../model/flow-record.ts";

/** A request as it is sent; header lists are flat, names (in lower case) and values in turn, without Host. */
export interface CallRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly headers: readonly string[];
  readonly hasBody: boolean;
}

/** `connect`: nothing was sent. `refused-stream`: the server says that it has not looked at it. `reset`: anything may have happened. */
export type CallFailure = "connect" | "refused-stream" | "reset";

export interface CallHandler {
  /** Connected: write now. */
  onOpen(call: UpstreamCall): void;
  onInterim(status: number, headers: readonly string[]): void;
  /** @param ended no body follows. */
  onHead(status: number, headers: readonly string[], ended: boolean): void;
  onData(chunk: Buffer): void;
  onEnd(trailers: readonly string[]): void;
  onDrain(): void;
  /** The last that is heard of the call; not after `onEnd`. */
  onFailed(kind: CallFailure, error: Error): void;
}

export interface UpstreamCall {
  readonly upstream: FlowUpstream;
  /** @returns false when the server reads too slowly: wait for `onDrain`. */
  write(chunk: Buffer): boolean;
  end(trailers: readonly string[]): void;
  pause(): void;
  resume(): void;
}

/** A call that may not be open yet. After `abort` its handler hears nothing more. */
export interface PendingCall {
  abort(): void;
}

/** Ends at each hop, or is the hop's own. */
const HOP_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** Without what ends at this hop, what Connection names besides, and pseudo headers. */
export function endToEnd(headers: readonly string[]): readonly string[] {
  const named = new Set<string>();
  for (let at = 0; at < headers.length; at += 2)
    if ((headers[at] as string).toLowerCase() === "connection")
      for (const name of (headers[at + 1] as string).split(",")) named.add(name.trim().toLowerCase());
  const kept: string[] = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = (headers[at] as string).toLowerCase();
    if (!name.startsWith(":") && !HOP_HEADERS.has(name) && !named.has(name))
      kept.push(name, headers[at + 1] as string);
  }
  return kept;
}

/** The value of a header; of several the first. */
export function headerOf(headers: readonly string[], name: string): string | undefined {
  for (let at = 0; at < headers.length; at += 2) if (headers[at] === name) return headers[at + 1];
  return undefined;
}
