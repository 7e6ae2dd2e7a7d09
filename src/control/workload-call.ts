import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, RequestOptions } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { isIP, type Socket } from "node:net";
import { connect as connectTls, rootCertificates } from "node:tls";
import { failureText } from "../dataplane/connection-failure.ts";
import { OUTBOUND_PROXY_PORT } from "../model/placement.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { http } from "../resources/node-http.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import { dialAsUser } from "../substrate/netns/dial-as-user.ts";
import { resolveInPod } from "./netns/resolve-in-pod.ts";

export interface WorkloadCall {
  /** `http:`, `https:`, `tcp:` or `tls:`; the latter two take a host and a port only. */
  readonly url: URL;
  readonly method: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body?: Buffer;
  /** The server name of the caller's own TLS; default the URL's host, none for an address (RFC 6066 §3). An empty one sends none. */
  readonly serverName?: string;
  readonly http2: boolean;
  readonly timeoutMs: number;
  /** Takes any certificate of the server. */
  readonly insecure: boolean;
  /** Trusted for the server, besides the system's roots. */
  readonly caPem?: string;
}

/** What the caller saw. `status` 0: no HTTP answer; then `failure` says why, or the bytes are raw. */
export interface CallAnswer {
  readonly status: number;
  readonly statusText: string;
  readonly httpVersion: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
  /** Why there is no answer, or not all of one. */
  readonly failure?: string;
  /** The caller's end of its connection to the sidecar: where its flow records begin. */
  readonly local: { readonly ip: string; readonly port: number };
  /** Where that says nothing of the request: its trace. */
  readonly traceId?: string;
  /** Milliseconds. */
  readonly durationMs: number;
  readonly startedAtMs: number;
  /** Set when the sidecar itself refused to open a tunnel: its HTTP status. */
  readonly tunnelRefused?: number;
}

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

type Outcome = Pick<CallAnswer, "status" | "statusText" | "httpVersion" | "headers" | "body"> &
  Partial<Pick<CallAnswer, "failure" | "tunnelRefused">>;

/**
 * Makes a request as a workload: through its sidecar's outbound proxy, with the workload's secret, as its application would; without one
 * (ambient mode, plain pods) by dialling from inside of the pod as its application's user. Refusals are answers. Settles within the call's time.
 * @throws {BulwarkError} BW_CALL_NO_SIDECAR when the workload has none, BW_CALL_URL when the URL is not one that can be called,
 * BW_CLI_INPUT without the right to enter the pod's namespace.
 */
export async function callAsWorkload(pod: PodAssignment, call: WorkloadCall): Promise<CallAnswer> {
  if (!pod.proxied && pod.network === undefined)
    throw new BulwarkError("BW_CALL_NO_SIDECAR", `${pod.workload} has no sidecar to call through`);
  if (pod.network !== undefined && process.getuid?.() !== 0)
    throw new BulwarkError("BW_CLI_INPUT", "calling from inside of a pod needs root, as bringing it up did");
  const attempt = new Attempt(pod, call);
  const startedAtMs = Date.now();
  const from = performance.now();
  const outcome = await attempt.run();
  const durationMs = Math.round(performance.now() - from);
  const { local, traceId } = attempt;
  return { ...outcome, local, durationMs, startedAtMs, ...(traceId === undefined ? {} : { traceId }) };
}

class Attempt {
  readonly #pod: PodAssignment;
  readonly #call: WorkloadCall;
  readonly #signal: AbortSignal;
  readonly #requestId: string | undefined;
  local = { ip: "", port: 0 };

  constructor(pod: PodAssignment, call: WorkloadCall) {
    this.#pod = pod;
    this.#call = call;
    const isTraced = call.headers.some(([name]) => /^(x-request-id|traceparent)$/i.test(name));
    this.#requestId = pod.proxied || isTraced ? undefined : randomUUID();
    this.#signal = AbortSignal.timeout(call.timeoutMs);
  }

  /** By which the records of the request itself are known; where the caller's own sidecar names it, it is not needed. */
  get traceId(): string | undefined {
    return this.#requestId?.replaceAll("-", "");
  }

  async run(): Promise<Outcome> {
    const { url, http2 } = this.#call;
    try {
      if (!this.#pod.proxied) return await this.#through(await this.#dialFromInside());
      if (url.protocol === "http:" && !http2) return await this.#plainHttp();
      const tunnel = await this.#openTunnel();
      return "socket" in tunnel ? await this.#through(tunnel.socket) : tunnel;
    } catch (error) {
      return noAnswer(this.#signal.aborted ? `no answer in ${this.#call.timeoutMs} ms` : failureText(error));
    }
  }

  async #through(tunnel: Socket): Promise<Outcome> {
    const { url, http2 } = this.#call;
    const isTls = url.protocol === "https:" || url.protocol === "tls:";
    const socket = isTls ? await this.#openTls(tunnel) : tunnel;
    try {
      if (url.protocol === "tcp:" || url.protocol === "tls:") return await this.#raw(socket);
      return await (http2 ? this.#http2(socket) : this.#http1(socket));
    } finally {
      socket.destroy();
      tunnel.destroy();
    }
  }

  /** Absolute form, as an application with HTTP_PROXY set sends it (RFC 9112 §3.2.2). */
  #plainHttp(): Promise<Outcome> {
    const { url, headers } = this.#call;
    return this.#exchange({
      ...this.#proxyAddress(),
      path: url.href.split("#", 1)[0],
      setHost: false,
      headers: [
        ...withHost(headers, url.host),
        "proxy-authorization",
        this.#credentials(),
        "connection",
        "close",
        ...lengthOf(this.#call),
      ],
    });
  }

  #http1(socket: Socket): Promise<Outcome> {
    const { url, headers } = this.#call;
    return this.#exchange({
      // Without `agent`: with one, Node would open a connection of its own.
      createConnection: () => socket,
      path: `${url.pathname}${url.search}`,
      setHost: false,
      headers: [
        ...withHost(headers, url.host),
        ...this.#traceLines(),
        "connection",
        "close",
        ...lengthOf(this.#call),
      ],
    });
  }

  #exchange(options: RequestOptions & { headers: readonly string[] }): Promise<Outcome> {
    const { method, body } = this.#call;
    return new Promise((resolve, reject) => {
      const sent = http.request({ ...options, method, signal: this.#signal });
      sent.on("socket", (socket) => this.#noteLocal(socket));
      sent.on("error", reject);
      sent.on("response", (response) => resolve(readResponse(response)));
      sent.end(body);
    });
  }

  #openTunnel(): Promise<{ socket: Socket } | Outcome> {
    const { url } = this.#call;
    const authority = `${url.hostname}:${portOf(url)}`;
    return new Promise((resolve, reject) => {
      const sent = http.request({
        ...this.#proxyAddress(),
        method: "CONNECT",
        path: authority,
        headers: { host: authority, "proxy-authorization": this.#credentials() },
        signal: this.#signal,
      });
      sent.on("socket", (socket) => this.#noteLocal(socket));
      sent.on("error", reject);
      const refused = async (response: IncomingMessage) => {
        const outcome = await readResponse(response);
        resolve({
          ...outcome,
          tunnelRefused: outcome.status,
          failure: `the sidecar answered ${outcome.status}`,
        });
      };
      sent.on("response", (response) => void refused(response));
      sent.on("connect", (response: IncomingMessage, socket: Socket, head: Buffer) => {
        if (response.statusCode !== 200) return void refused(response);
        // From here on the request's own handling of errors and time is over.
        socket.on("error", () => socket.destroy());
        this.#signal.addEventListener("abort", () => socket.destroy(), { once: true });
        if (head.length > 0) socket.unshift(head);
        resolve({ socket });
      });
      sent.end();
    });
  }

  /** As its application dials: captured by its node's ztunnel, or by nobody. */
  async #dialFromInside(): Promise<Socket> {
    const { url } = this.#call;
    const { network } = this.#pod;
    if (network === undefined) throw new Error("BUG: a pod without a proxy and without a network");
    const host = await resolveInPod(this.#pod, url.hostname.replace(/^\[|\]$/g, ""));
    const { namespace, firstUid, applicationUid } = network;
    const where = { host, port: Number(portOf(url)), allowHalfOpen: true };
    const socket = dialAsUser({ namespace, uid: firstUid + applicationUid }, where);
    this.#noteLocal(socket);
    this.#signal.addEventListener("abort", () => socket.destroy(), { once: true });
    await once(socket, "connect", { signal: this.#signal });
    socket.on("error", () => socket.destroy());
    return socket;
  }

  #openTls(tunnel: Socket): Promise<Socket> {
    const { url, insecure, caPem, http2 } = this.#call;
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const { serverName = isIP(host) === 0 ? host : "" } = this.#call;
    return new Promise((resolve, reject) => {
      const socket = connectTls({
        socket: tunnel,
        // What the certificate has to name where no server name is sent.
        host,
        ...(serverName === "" ? {} : { servername: serverName }),
        ALPNProtocols: [http2 ? "h2" : "http/1.1"],
        rejectUnauthorized: !insecure,
        ...(caPem === undefined ? {} : { ca: [caPem, ...rootCertificates] }),
      });
      socket.once("secureConnect", () => {
        socket.off("error", reject);
        socket.on("error", () => socket.destroy());
        resolve(socket);
      });
      socket.once("error", reject);
      tunnel.once("close", () => reject(new Error("the connection was closed during the TLS handshake")));
    });
  }

  #http2(socket: Socket): Promise<Outcome> {
    const { url, method, headers, body } = this.#call;
    return new Promise((resolve, reject) => {
      const session = connectHttp2(url.href, { createConnection: () => socket });
      session.on("error", reject);
      const stream = session.request(
        {
          ...Object.fromEntries(headers.filter(([name]) => name.toLowerCase() !== "host")),
          ...Object.fromEntries(pairs(this.#traceLines())),
          ":method": method,
          ":path": `${url.pathname}${url.search}`,
          ":authority": headers.find(([name]) => name.toLowerCase() === "host")?.[1] ?? url.host,
        },
        { signal: this.#signal },
      );
      stream.on("error", reject);
      stream.on("response", (received) => {
        const { ":status": status, ...rest } = received;
        const list = Object.entries(rest).map(([name, value]) => [name, String(value)] as const);
        collect(stream).then(({ body, failure }) => {
          session.close();
          resolve({
            status: status ?? 0,
            statusText: "",
            httpVersion: "2",
            headers: list,
            body,
            ...(failure === undefined ? {} : { failure }),
          });
        }, reject);
      });
      stream.on("close", () => reject(new Error("the stream ended without an answer")));
      stream.end(body);
    });
  }

  /** Sends the body, ends its own half, and takes what comes back. */
  async #raw(socket: Socket): Promise<Outcome> {
    socket.end(this.#call.body ?? Buffer.alloc(0));
    const { body, failure } = await collect(socket);
    const answer = { status: 0, statusText: "", httpVersion: "", headers: [], body };
    if (failure !== undefined) return { ...answer, failure };
    // Without a sidecar that answers CONNECT nothing else tells of a refusal.
    const silent = body.length === 0 && (this.#call.body !== undefined || !this.#pod.proxied);
    return silent ? { ...answer, failure: "the connection ended without an answer" } : answer;
  }

  /** Where pods are network namespaces, from inside of the pod: its proxy is reached from nowhere else. */
  #proxyAddress(): Pick<RequestOptions, "host" | "port" | "agent" | "createConnection"> {
    const { address: host, network } = this.#pod;
    const where = { host, port: OUTBOUND_PROXY_PORT };
    if (network === undefined) return { ...where, agent: false };
    const { namespace } = network;
    return { ...where, createConnection: () => dialAsUser({ namespace }, where) };
  }

  #credentials(): string {
    return `Basic ${Buffer.from(`bulwark:${this.#pod.outboundSecret}`).toString("base64")}`;
  }

  /** In ambient mode the first proxy that reads HTTP is the waypoint, to which nothing else leads from the caller's own port. */
  #traceLines(): string[] {
    return this.#requestId === undefined ? [] : ["x-request-id", this.#requestId];
  }

  #noteLocal(socket: Socket): void {
    const note = () => {
      if (socket.localAddress !== undefined && this.local.port === 0)
        this.local = { ip: socket.localAddress, port: socket.localPort ?? 0 };
    };
    note();
    socket.once("connect", note);
  }
}

function* pairs(lines: readonly string[]): Iterable<[string, string]> {
  for (let i = 0; i + 1 < lines.length; i += 2) yield [lines[i] ?? "", lines[i + 1] ?? ""];
}

function portOf({ port, protocol }: URL): string {
  return port !== "" ? port : protocol === "https:" ? "443" : "80";
}

function noAnswer(failure: string): Outcome {
  return { status: 0, statusText: "", httpVersion: "", headers: [], body: Buffer.alloc(0), failure };
}

async function readResponse(response: IncomingMessage): Promise<Outcome> {
  const { statusCode = 0, statusMessage = "", httpVersion, rawHeaders } = response;
  const headers: [string, string][] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    headers.push([rawHeaders[i] ?? "", rawHeaders[i + 1] ?? ""]);
  const { body, failure } = await collect(response);
  const answer = { status: statusCode, statusText: statusMessage, httpVersion, headers, body };
  return failure === undefined ? answer : { ...answer, failure };
}

async function collect(stream: AsyncIterable<Buffer>): Promise<{ body: Buffer; failure?: string }> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream) {
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES)
        return { body: Buffer.concat(chunks), failure: "the answer is too long, it was cut" };
      chunks.push(chunk);
    }
    return { body: Buffer.concat(chunks) };
  } catch (error) {
    return { body: Buffer.concat(chunks), failure: failureText(error) };
  }
}

/** A Host that the caller wrote stays as written. */
function withHost(headers: readonly (readonly [string, string])[], host: string): string[] {
  const own = headers.some(([name]) => name.toLowerCase() === "host");
  return [...(own ? [] : ["host", host]), ...headers.flat()];
}

/** Methods that Node sends without a length when there is no body; with any other it would send an empty chunked one. */
const BODILESS: ReadonlySet<string> = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"]);

function lengthOf({ body, headers, method }: WorkloadCall): string[] {
  const framed = headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
  if (framed || (body === undefined && BODILESS.has(method))) return [];
  return ["content-length", String(body?.length ?? 0)];
}
