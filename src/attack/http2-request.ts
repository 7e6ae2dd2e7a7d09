import { connect } from "node:http2";
import type { TLSSocket } from "node:tls";
import { echoReport } from "./http-answer.ts";
import { attemptOf, type HttpAttempt } from "./mesh-request.ts";
import type { Credentials } from "./mesh-under-attack.ts";
import { pastSidecar } from "./position.ts";
import type { AllowedCall, HttpTarget } from "./targets.ts";
import { describe, dialTls } from "./wire.ts";

const TIMEOUT_MS = 2000;
const BODY = Buffer.from("attacked");

/** One HTTP/2 request with headers that may not be; what Node's own client refuses to send is said so. */
export async function http2Request(
  target: HttpTarget,
  { source, request }: AllowedCall,
  credentials: Credentials,
  headers: Readonly<Record<string, string>>,
): Promise<HttpAttempt> {
  const dialled = await dialTls(
    { host: target.pod.address, port: target.socketPort, ...pastSidecar(source) },
    { credentials, ALPNProtocols: ["istio-h2", "h2"] },
  );
  const { startedAtMs, local } = dialled;
  const nothing = (failure: string): HttpAttempt => ({
    ...attemptOf({ bytes: Buffer.alloc(0), end: "closed", error: failure }, local, startedAtMs, credentials),
    happened: failure,
  });
  if ("failure" in dialled) return nothing(dialled.failure);
  const { socket } = dialled;
  try {
    const answer = await exchange(socket, {
      ":method": request.method === "GET" ? "POST" : request.method,
      ":path": request.path,
      ":authority": target.host,
      ...headers,
    });
    const echo = echoReport(answer.body);
    return {
      ...nothing(`HTTP ${answer.status}`),
      reached: echo !== undefined,
      answers: [{ status: answer.status, head: "", body: answer.body }],
      echoes: echo === undefined ? [] : [echo],
    };
  } catch (error) {
    const why = describe(error);
    const notSent = /ERR_HTTP2_(INVALID|HEADER|PSEUDO)|ERR_INVALID/.test(why);
    return { ...nothing(why), ...(notSent ? { nothingThere: "Node's HTTP/2 client does not send it" } : {}) };
  } finally {
    socket.destroy();
  }
}

function exchange(
  socket: TLSSocket,
  headers: Readonly<Record<string, string>>,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const session = connect("https://target", { createConnection: () => socket });
    const timer = setTimeout(() => reject(new Error("no answer in time")), TIMEOUT_MS);
    session.on("error", reject);
    const stream = session.request(headers);
    const chunks: Buffer[] = [];
    let status = 0;
    stream.on("error", reject);
    stream.on("response", (received) => {
      status = received[":status"] ?? 0;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("close", () => {
      clearTimeout(timer);
      session.destroy();
      if (status === 0) reject(new Error(`the stream was reset (${stream.rstCode})`));
      else resolve({ status, body: Buffer.concat(chunks).toString("utf8") });
    });
    stream.end(BODY);
  });
}
