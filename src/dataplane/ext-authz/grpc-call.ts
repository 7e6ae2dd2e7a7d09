/**
 * Unary gRPC over the proxy's own HTTP/2 sessions, and so over the mesh's mutual TLS with secure naming, which a gRPC library
 * with connections of its own would not have.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { constants, type IncomingHttpHeaders } from "node:http2";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { Http2Upstreams } from "../http2-upstreams.ts";
import type { UpstreamTarget } from "../upstream-target.ts";

/** Of a message, as gRPC libraries have it by default. */
export const MAX_MESSAGE_BYTES = 4 << 20;
const PREFIX_BYTES = 5;

/** The call ended with a status other than OK. */
export class GrpcStatusError extends BulwarkError {
  /** google.rpc.Code */
  readonly status: number;

  constructor(status: number) {
    super("BW_AUTHORIZER_GRPC_STATUS", `the call ended with gRPC status ${status}`);
    this.status = status;
  }
}

export interface GrpcCall {
  /** `/package.Service/Method` */
  readonly method: string;
  readonly authority: string;
  readonly message: Buffer;
  readonly timeoutMs: number;
}

/** @throws {BulwarkError} BW_AUTHORIZER_…, what connecting failed with, or the signal's reason. */
export async function callGrpc(
  upstreams: Http2Upstreams,
  target: UpstreamTarget,
  call: GrpcCall,
  signal: AbortSignal,
): Promise<Buffer> {
  const { session } = await upstreams.session(target);
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const stream = session.request({
    ":method": "POST",
    ":path": call.method,
    ":scheme": target.tls === undefined ? "http" : "https",
    ":authority": call.authority,
    "content-type": "application/grpc",
    te: "trailers",
    "grpc-timeout": `${Math.min(Math.ceil(call.timeoutMs), 99_999_999)}m`,
  });
  const answer = new GrpcAnswer();
  const onAbort = () => {
    stream.close(constants.NGHTTP2_CANCEL);
    reject(signal.reason);
    // Whether the connection is dead nobody knows: the next question gets another.
    session.close();
  };
  signal.addEventListener("abort", onAbort, { once: true });
  stream.on("response", (headers) => answer.noteHead(headers));
  stream.on("trailers", (trailers) => answer.noteTrailers(trailers));
  stream.on("data", (chunk: Buffer) => {
    if (!answer.take(chunk)) stream.close(constants.NGHTTP2_CANCEL);
  });
  stream.on("error", reject);
  stream.once("close", () => {
    signal.removeEventListener("abort", onAbort);
    const outcome = answer.outcome();
    if (outcome instanceof Error) reject(outcome);
    else resolve(outcome);
  });
  stream.end(frame(call.message));
  return promise;
}

/** A message behind its length. */
export function frame(message: Buffer): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** The only message of a body. @returns undefined for none, several, a compressed or an incomplete one. */
export function unframe(body: Buffer): Buffer | undefined {
  if (body.length < PREFIX_BYTES || body[0] !== 0) return undefined;
  return body.length - PREFIX_BYTES === body.readUInt32BE(1) ? body.subarray(PREFIX_BYTES) : undefined;
}

class GrpcAnswer {
  #httpStatus: number | undefined;
  #grpcStatus: number | undefined;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  noteHead(headers: IncomingHttpHeaders): void {
    this.#httpStatus = Number(headers[":status"]);
    // An answer without a message has its trailers in its head.
    this.noteTrailers(headers);
  }

  noteTrailers(trailers: IncomingHttpHeaders): void {
    const status = trailers["grpc-status"];
    if (typeof status === "string" && /^\d{1,2}$/.test(status)) this.#grpcStatus = Number(status);
  }

  /** @returns false when it is too long. */
  take(chunk: Buffer): boolean {
    this.#length += chunk.length;
    if (this.#length > MAX_MESSAGE_BYTES + PREFIX_BYTES) return false;
    this.#chunks.push(chunk);
    return true;
  }

  outcome(): Buffer | BulwarkError {
    if (this.#httpStatus === undefined)
      return new BulwarkError("BW_AUTHORIZER_CLOSED", "it closed without an answer");
    if (this.#httpStatus !== 200)
      return new BulwarkError("BW_AUTHORIZER_NOT_GRPC", `it answered HTTP status ${this.#httpStatus}`);
    if (this.#grpcStatus === undefined)
      return new BulwarkError("BW_AUTHORIZER_CLOSED", "its answer broke off");
    if (this.#grpcStatus !== 0) return new GrpcStatusError(this.#grpcStatus);
    const message =
      this.#length > MAX_MESSAGE_BYTES + PREFIX_BYTES ? undefined : unframe(Buffer.concat(this.#chunks));
    return message ?? new BulwarkError("BW_AUTHORIZER_ANSWER", "its answer is not one message");
  }
}
