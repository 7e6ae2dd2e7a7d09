/** Asks HTTP authorizers whose port is declared HTTP/2 (`http2`, `grpc`, or by `h2UpgradePolicy`), over the proxy's own sessions. */
import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { Http2Upstreams } from "../http2-upstreams.ts";
import type { UpstreamTarget } from "../upstream-target.ts";
import type { HttpCheckResponse } from "./check-answer.ts";
import type { HttpCheck } from "./check-input.ts";
import { MAX_ANSWER_BYTES } from "./http-call.ts";

/** @throws {BulwarkError} BW_AUTHORIZER_…, what connecting failed with, or the signal's reason. */
export async function askOverHttp2(
  upstreams: Http2Upstreams,
  target: UpstreamTarget,
  check: HttpCheck,
  signal: AbortSignal,
): Promise<HttpCheckResponse> {
  const { session } = await upstreams.session(target);
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<HttpCheckResponse>();
  const stream = session.request(headOf(target, check), { endStream: check.body.length === 0 });
  const chunks: Buffer[] = [];
  let length = 0;
  let head: IncomingHttpHeaders | undefined;
  const onAbort = () => {
    stream.close(constants.NGHTTP2_CANCEL);
    reject(signal.reason);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  stream.on("response", (headers) => {
    head = headers;
  });
  stream.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length <= MAX_ANSWER_BYTES) chunks.push(chunk);
    else stream.close(constants.NGHTTP2_CANCEL);
  });
  stream.on("error", reject);
  stream.once("close", () => {
    signal.removeEventListener("abort", onAbort);
    if (length > MAX_ANSWER_BYTES)
      reject(new BulwarkError("BW_AUTHORIZER_ANSWER", "its answer is longer than 1 MiB"));
    else if (head === undefined || !stream.readableEnded)
      reject(new BulwarkError("BW_AUTHORIZER_CLOSED", "it closed the stream before it answered"));
    else resolve(answerOf(head, Buffer.concat(chunks)));
  });
  if (check.body.length > 0) stream.end(check.body);
  return promise;
}

function headOf(target: UpstreamTarget, { method, path, headers }: HttpCheck): OutgoingHttpHeaders {
  const head: Record<string, string> = {
    ":method": method,
    ":path": path,
    ":scheme": target.tls === undefined ? "http" : "https",
  };
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string;
    head[name === "host" ? ":authority" : name] = headers[at + 1] as string;
  }
  return head;
}

function answerOf(head: IncomingHttpHeaders, body: Buffer): HttpCheckResponse {
  const headers = Object.entries(head).flatMap(([name, values]) =>
    name.startsWith(":") || values === undefined ? [] : [values].flat().flatMap((value) => [name, value]),
  );
  return { status: Number(head[":status"] ?? 0), headers, body: body.toString("utf8") };
}
