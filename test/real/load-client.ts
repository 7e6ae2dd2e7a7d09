/**
 * A closed-loop client in a process of its own: each worker makes one request after the other, on connections that it keeps or
 * opens anew, and notes what came of each. Started by `LoadProcess`; told what to do by its first message.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { type HandCredentials, HandSigner } from "./hand-signer.ts";
import { monotonicMs } from "./monotonic.ts";

/** How a worker reaches the other end. */
export type Transport =
  /** Straight to a sidecar's port, with a certificate made by hand that is renewed. */
  | {
      readonly kind: "mtls";
      readonly host: string;
      readonly port: number;
      readonly identity: string;
      readonly serverIdentity: string;
    }
  /** The same, signed by nobody whom the mesh trusts. */
  | { readonly kind: "rogue"; readonly host: string; readonly port: number; readonly identity: string }
  | { readonly kind: "plaintext"; readonly host: string; readonly port: number }
  /** As an application with HTTP_PROXY set. */
  | { readonly kind: "proxy"; readonly host: string; readonly secret: string }
  /** The application's own TLS in a CONNECT tunnel. */
  | {
      readonly kind: "tunnel";
      readonly host: string;
      readonly secret: string;
      readonly server: string;
      readonly caFile: string;
    };

export interface RequestPlan {
  /** Groups samples: what the test knows of the outcome. */
  readonly name: string;
  readonly method: "GET" | "POST";
  /** Made unique by what is appended. */
  readonly path: string;
  /** Default 0. Framed by its length, and every second one in chunks. */
  readonly bodyBytes?: number;
}

export interface WorkerPlan {
  readonly name: string;
  readonly transport: Transport;
  readonly authority: string;
  /** Requests on one connection; 1 = each its own. */
  readonly requestsPerConnection: number;
  readonly thinkMs: number;
  readonly requests: readonly RequestPlan[];
}

export interface LoadPlan {
  readonly caFolder: string;
  /** How long hand-made certificates live; a new one is made at half of that. */
  readonly certTtlSeconds: number;
  readonly requestTimeoutMs: number;
  readonly workers: readonly WorkerPlan[];
}

/** One request. Times are milliseconds of the machine's monotonic clock, which its processes share. */
export interface Sample {
  readonly worker: string;
  readonly name: string;
  readonly path: string;
  readonly startedMs: number;
  readonly endedMs: number;
  /** 0: no HTTP answer; then `problem` says why. */
  readonly status: number;
  readonly problem?: string;
}

/** What this process tells while it works: samples as they come, then once the end. */
export type LoadMessage =
  | { readonly kind: "samples"; readonly samples: readonly Sample[] }
  | { readonly kind: "end"; readonly handshakes: Readonly<Record<string, number>> };

export interface LoadReport {
  readonly samples: readonly Sample[];
  /** TLS handshakes of `mtls` workers that ended well, by worker. */
  readonly handshakes: Readonly<Record<string, number>>;
}

const OUTBOUND_PORT = 15_001;

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly keepAlive: boolean;
}

/** One connection, one request at a time. */
class Client {
  readonly #socket: Socket;
  #bytes = Buffer.alloc(0);
  #waiting: PromiseWithResolvers<Answer> | undefined;
  #gone: string | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => this.#end(error.code ?? error.message));
    socket.on("close", () => this.#end("closed"));
    socket.on("end", () => this.#end("ended"));
  }

  get usable(): boolean {
    return this.#gone === undefined && !this.#socket.destroyed;
  }

  send(bytes: Buffer, timeoutMs: number): Promise<Answer> {
    const waiting = Promise.withResolvers<Answer>();
    this.#waiting = waiting;
    const timer = setTimeout(() => this.#end("timed out"), timeoutMs);
    if (this.#gone !== undefined) this.#end(this.#gone);
    else this.#socket.write(bytes);
    return waiting.promise.finally(() => clearTimeout(timer));
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    const headEnd = this.#bytes.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const head = this.#bytes.toString("latin1", 0, headEnd);
    const length = /^content-length: (\d+)\r?$/im.exec(head)?.[1];
    if (length === undefined) {
      this.#end(`an answer without a length: ${head}`);
      return;
    }
    const end = headEnd + 4 + Number(length);
    if (this.#bytes.length < end) return;
    const body = this.#bytes.toString("latin1", headEnd + 4, end);
    this.#bytes = this.#bytes.subarray(end);
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
    const keepAlive = !/^connection: close\r?$/im.test(head);
    this.#waiting?.resolve({ status, body, keepAlive });
    this.#waiting = undefined;
  }

  #end(why: string): void {
    this.#gone ??= why;
    this.#waiting?.reject(new Error(why));
    this.#waiting = undefined;
    this.#socket.destroy();
  }
}

/** The certificate of one identity, renewed while it is used. */
class RenewedCredentials {
  readonly #signer: HandSigner;
  readonly #uri: string;
  readonly #ttlSeconds: number;
  #context: SecureContext | undefined;
  #renewAtMs = 0;

  constructor(signer: HandSigner, identity: string, ttlSeconds: number) {
    this.#signer = signer;
    this.#uri = identity;
    this.#ttlSeconds = ttlSeconds;
  }

  async context(): Promise<SecureContext> {
    if (this.#context === undefined || performance.now() >= this.#renewAtMs) {
      const made = await this.#signer.issue({ uris: [this.#uri], ttlSeconds: this.#ttlSeconds });
      this.#renewAtMs = performance.now() + this.#ttlSeconds * 500;
      this.#context = contextOf(made);
    }
    return this.#context;
  }
}

function contextOf({ keyPem, chainPem, rootPem }: HandCredentials): SecureContext {
  return createSecureContext({ key: keyPem, cert: chainPem, ca: rootPem, minVersion: "TLSv1.3" });
}

class Load {
  readonly #plan: LoadPlan;
  readonly #signer: HandSigner;
  readonly #rogue: HandSigner;
  readonly #credentials = new Map<string, RenewedCredentials>();
  #samples: Sample[] = [];
  readonly #handshakes: Record<string, number> = {};
  #stopped = false;

  constructor(plan: LoadPlan, signer: HandSigner, rogue: HandSigner) {
    this.#plan = plan;
    this.#signer = signer;
    this.#rogue = rogue;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Samples since the last call. */
  take(): readonly Sample[] {
    const taken = this.#samples;
    this.#samples = [];
    return taken;
  }

  async run(): Promise<Readonly<Record<string, number>>> {
    await Promise.all(this.#plan.workers.map((worker) => this.#work(worker)));
    return this.#handshakes;
  }

  async #work(worker: WorkerPlan): Promise<void> {
    let client: Client | undefined;
    let onConnection = 0;
    for (let n = 0; !this.#stopped; n++) {
      const request = worker.requests[n % worker.requests.length];
      if (request === undefined) return;
      const path = `${request.path}${worker.name}-${n}`;
      const startedMs = monotonicMs();
      let status = 0;
      let problem: string | undefined;
      let keep = false;
      try {
        if (client?.usable !== true) {
          client = await this.#connect(worker);
          onConnection = 0;
        }
        const answer = await client.send(bytesOf(worker, request, path, n), this.#plan.requestTimeoutMs);
        onConnection += 1;
        ({ status } = answer);
        problem = complaint(answer, request, path);
        keep = answer.keepAlive && onConnection < worker.requestsPerConnection;
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error);
      }
      const endedMs = monotonicMs();
      const { name } = request;
      this.#samples.push({
        worker: worker.name,
        name,
        path,
        startedMs,
        endedMs,
        status,
        ...(problem === undefined ? {} : { problem }),
      });
      if (!keep) {
        client?.close();
        client = undefined;
      }
      await new Promise((settle) => setTimeout(settle, worker.thinkMs));
    }
    client?.close();
  }

  async #connect({ name, transport }: WorkerPlan): Promise<Client> {
    const { requestTimeoutMs } = this.#plan;
    switch (transport.kind) {
      case "mtls": {
        const socket = await this.#mutual(transport, transport.serverIdentity, this.#signer);
        this.#handshakes[name] = (this.#handshakes[name] ?? 0) + 1;
        return new Client(socket);
      }
      case "rogue":
        return new Client(await this.#mutual(transport, undefined, this.#rogue));
      case "plaintext":
        return new Client(
          await opened(connectTcp(transport.port, transport.host), "connect", requestTimeoutMs),
        );
      case "proxy":
        return new Client(
          await opened(connectTcp(OUTBOUND_PORT, transport.host), "connect", requestTimeoutMs),
        );
      case "tunnel":
        return new Client(await this.#tunnel(transport));
    }
  }

  async #mutual(
    { host, port, identity }: { host: string; port: number; identity: string },
    serverIdentity: string | undefined,
    signer: HandSigner,
  ): Promise<TLSSocket> {
    const key = `${identity}${signer === this.#rogue ? " of nobody" : ""}`;
    const known =
      this.#credentials.get(key) ?? new RenewedCredentials(signer, identity, this.#plan.certTtlSeconds);
    this.#credentials.set(key, known);
    const socket = connectTls({
      host,
      port,
      secureContext: await known.context(),
      ALPNProtocols: ["istio-http/1.1", "istio", "http/1.1"],
      rejectUnauthorized: serverIdentity !== undefined,
      checkServerIdentity: (_, certificate) =>
        certificate.subjectaltname === `URI:${serverIdentity}`
          ? undefined
          : new Error(`it is ${certificate.subjectaltname}`),
    });
    await opened(socket, "secureConnect", this.#plan.requestTimeoutMs);
    return socket;
  }

  async #tunnel({
    host,
    secret,
    server,
    caFile,
  }: Extract<Transport, { kind: "tunnel" }>): Promise<TLSSocket> {
    const { requestTimeoutMs } = this.#plan;
    const tunnel = await opened(connectTcp(OUTBOUND_PORT, host), "connect", requestTimeoutMs);
    const established = Promise.withResolvers<string>();
    tunnel.once("data", (chunk: Buffer) => established.resolve(chunk.toString("latin1")));
    tunnel.once("close", () => established.reject(new Error("closed before the tunnel was open")));
    tunnel.write(
      `CONNECT ${server}:443 HTTP/1.1\r\nhost: ${server}:443\r\nproxy-authorization: ${credential(secret)}\r\n\r\n`,
    );
    const reply = await established.promise;
    if (!reply.startsWith("HTTP/1.1 200 ")) throw new Error(`tunnel refused: ${reply.slice(0, 12)}`);
    const socket = connectTls({ socket: tunnel, servername: server, ca: await authority(caFile) });
    await opened(socket, "secureConnect", requestTimeoutMs);
    return socket;
  }
}

const authorities = new Map<string, string>();

async function authority(file: string): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  const known = authorities.get(file) ?? (await readFile(file, "utf8"));
  authorities.set(file, known);
  return known;
}

/** Waits until a socket says that it is connected; a later error finds a listener all the same. */
function opened<T extends Socket>(socket: T, event: string, timeoutMs: number): Promise<T> {
  socket.setNoDelay(true);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error("timed out while connecting")), timeoutMs);
    socket.once(event, () => {
      clearTimeout(timer);
      resolve(socket);
    });
    socket.on("error", reject);
    socket.on("close", () => {
      clearTimeout(timer);
      reject(new Error("closed while connecting"));
    });
  });
}

function credential(secret: string): string {
  return `Basic ${Buffer.from(`bulwark:${secret}`).toString("base64")}`;
}

function bytesOf(
  { transport, authority: host }: WorkerPlan,
  request: RequestPlan,
  path: string,
  n: number,
): Buffer {
  const { method, bodyBytes = 0 } = request;
  const viaProxy = transport.kind === "proxy";
  const target = viaProxy ? `http://${host}${path}` : path;
  const proof = viaProxy ? `proxy-authorization: ${credential(transport.secret)}\r\n` : "";
  const head = `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\n${proof}`;
  if (method === "GET") return Buffer.from(`${head}\r\n`, "latin1");
  const body = Buffer.alloc(bodyBytes, "b");
  if (n % 2 === 0) return Buffer.concat([Buffer.from(`${head}content-length: ${bodyBytes}\r\n\r\n`), body]);
  const chunk = bodyBytes === 0 ? "" : `${bodyBytes.toString(16)}\r\n${body.toString("latin1")}\r\n`;
  return Buffer.from(`${head}transfer-encoding: chunked\r\n\r\n${chunk}0\r\n\r\n`, "latin1");
}

/** Whether a 200 is the answer to this very request: the echo says what it saw. */
function complaint({ status, body }: Answer, request: RequestPlan, path: string): string | undefined {
  if (status !== 200) return undefined;
  const saw = JSON.parse(body) as { path?: string; method?: string; bodyBytes?: number };
  if (saw.path !== path || saw.method !== request.method) return `the answer is to ${saw.method} ${saw.path}`;
  const sent = request.method === "GET" ? 0 : (request.bodyBytes ?? 0);
  return saw.bodyBytes === sent ? undefined : `${saw.bodyBytes} bytes of ${sent} arrived`;
}

const TELL_EVERY_MS = 50;

if (process.send !== undefined) {
  const tell = (message: LoadMessage) => process.send?.(message);
  process.once("message", async (plan: LoadPlan) => {
    const signer = await HandSigner.ofMesh(plan.caFolder);
    const load = new Load(plan, signer, await HandSigner.rogue(signer));
    process.once("message", () => load.stop());
    const timer = setInterval(() => tell({ kind: "samples", samples: load.take() }), TELL_EVERY_MS);
    const handshakes = await load.run();
    clearInterval(timer);
    tell({ kind: "samples", samples: load.take() });
    tell({ kind: "end", handshakes });
  });
  // The parent has the end, or was killed.
  process.once("disconnect", () => process.exit());
}
