/** Requests of an attacker that holds a workload's certificate: straight to a pod's port, past its own sidecar. */
import type { PodAssignment } from "../substrate/assignment.ts";
import type { Attempt } from "./conclude.ts";
import { type EchoReport, echoReport, type HttpAnswer, parseAnswers } from "./http-answer.ts";
import type { Credentials, MeshUnderAttack } from "./mesh-under-attack.ts";
import { pastSidecar } from "./position.ts";
import type { AskedRequest } from "./promise.ts";
import type { HttpTarget } from "./targets.ts";
import { type Conversation, converse, dialTls, type Heard, preview, type TlsOptions } from "./wire.ts";

/** An attempt with what came back, taken apart. */
export interface HttpAttempt extends Attempt {
  readonly answers: readonly HttpAnswer[];
  readonly echoes: readonly EchoReport[];
}

export const HTTP1_ALPN: readonly string[] = ["istio-http/1.1"];

/** The bytes of a plain request. */
export function requestBytes(request: AskedRequest, extra = "connection: close\r\n"): Buffer {
  const { method, path, host } = request;
  return Buffer.from(`${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n${extra}\r\n`, "latin1");
}

export interface MeshSend {
  readonly target: HttpTarget;
  /** Whose address the connection comes from. */
  readonly from: PodAssignment;
  readonly credentials?: Credentials;
  readonly tls?: TlsOptions;
  readonly conversation: Conversation;
}

/** Sends bytes inside TLS to a target's sidecar. Reached means that its application answered. */
export async function sendToSidecar({
  target,
  from,
  credentials,
  tls,
  conversation,
}: MeshSend): Promise<HttpAttempt> {
  const dialled = await dialTls(
    { host: target.pod.address, port: target.socketPort, ...pastSidecar(from) },
    {
      ALPNProtocols: [...HTTP1_ALPN],
      ...(credentials === undefined ? {} : { credentials }),
      ...tls,
    },
  );
  const { startedAtMs, local } = dialled;
  if ("failure" in dialled) return failed(dialled.failure, local, startedAtMs, credentials);
  const heard = await converse(dialled.socket, conversation);
  return attemptOf(heard, local, startedAtMs, credentials);
}

/** An allowed request with the owner's own certificate. */
export async function sendAllowed(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  source: PodAssignment,
  request: AskedRequest,
): Promise<HttpAttempt> {
  const credentials = await mesh.identityOf(source);
  return sendToSidecar({ target, from: source, credentials, conversation: { say: [requestBytes(request)] } });
}

export function attemptOf(
  heard: Heard,
  local: Attempt["local"],
  startedAtMs: number,
  credentials?: Credentials,
): HttpAttempt {
  const answers = parseAnswers(heard.bytes);
  const echoes = answers.map(({ body }) => echoReport(body)).filter((report) => report !== undefined);
  const status = answers[0]?.status;
  return {
    reached: answers.some((answer) => isFromApplication(answer)),
    happened: whatHappened(heard, answers),
    evidence: {
      bytesReceived: heard.bytes.length,
      ...(status === undefined ? {} : { status }),
      ...(credentials === undefined ? {} : { certificateSerial: credentials.serial }),
    },
    local,
    startedAtMs,
    answers,
    echoes,
  };
}

/**
 * Whether the application spoke. The proxy's own answers are refusals (4xx, 5xx); applications of the user's can refuse too,
 * so what is no echo counts by its status.
 */
export function isFromApplication({ status, body }: HttpAnswer): boolean {
  return echoReport(body) !== undefined || (status >= 200 && status < 400);
}

function whatHappened(heard: Heard, answers: readonly HttpAnswer[]): string {
  if (answers.length > 0) return answers.map(({ status }) => `HTTP ${status}`).join(", ");
  if (heard.bytes.length > 0) return `${heard.bytes.length} bytes: ${preview(heard.bytes)}`;
  const why = heard.error === undefined ? "" : ` (${heard.error})`;
  return heard.end === "timeout" ? "no byte came back" : `closed without a byte${why}`;
}

/** Nobody listens, or OpenSSL refused to offer it: nothing was there that could have been refused. */
export function isNotSent(failure: string): boolean {
  return /ECONNREFUSED|^not sent|NO_CIPHERS_AVAILABLE|NO_PROTOCOLS_AVAILABLE/.test(failure);
}

function failed(
  failure: string,
  local: Attempt["local"],
  startedAtMs: number,
  credentials?: Credentials,
): HttpAttempt {
  return {
    reached: false,
    ...(isNotSent(failure) ? { nothingThere: failure } : {}),
    happened: failure,
    evidence: {
      bytesReceived: 0,
      seen: failure,
      ...(credentials === undefined ? {} : { certificateSerial: credentials.serial }),
    },
    local,
    startedAtMs,
    answers: [],
    echoes: [],
  };
}
