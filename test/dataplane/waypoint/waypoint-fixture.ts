/** A waypoint's real proxy on loopback, clients that speak HBONE to it, and pods behind it that take HBONE and say what they saw. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  createServer as createHttp2Server,
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import type { Limits } from "../../../src/dataplane/limits.ts";
import { MeshProxy } from "../../../src/dataplane/mesh-proxy.ts";
import { type CertificateAuthority, openCa } from "../../../src/identity/ca.ts";
import { type SvidSource, tlsCredentials } from "../../../src/identity/rotation.ts";
import type { FlowDraft } from "../../../src/model/flow-record.ts";
import type { Mesh, Workload } from "../../../src/model/mesh.ts";
import type { Placement } from "../../../src/model/placement.ts";
import { parseTrustDomain } from "../../../src/model/spiffe-id.ts";
import type { Semantics } from "../../../src/policy/inbound.ts";
import { type Answer, readAnswer } from "../client.ts";
import { meshOf, svidSource } from "../mesh-fixture.ts";

/** What a pod's end of a tunnel saw. */
export interface SeenTunnel {
  readonly pod: string;
  /** Names in the certificate of who opened it. */
  readonly peer: string;
  /** Of that certificate. */
  readonly serial: string;
  readonly authority: string;
  readonly headers: IncomingHttpHeaders;
}

/** What the application behind it saw. */
export interface SeenRequest {
  readonly pod: string;
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

export interface WaypointOptions {
  /** Second octet of its addresses. */
  readonly net: number;
  readonly key?: string;
  readonly semantics?: Semantics;
  readonly limits?: Partial<Limits>;
  /** Answers of the applications; default: 200 with the pod's name. */
  readonly answer?: (request: SeenRequest) => { status: number; headers?: Record<string, string> } | "hang";
  /** A pod that shows another identity than its own. */
  readonly impostors?: Readonly<Record<string, string>>;
}

export interface RunningWaypoint {
  readonly ca: CertificateAuthority;
  readonly proxy: MeshProxy;
  readonly identity: SvidSource;
  readonly flows: FlowDraft[];
  readonly tunnels: SeenTunnel[];
  readonly requests: SeenRequest[];
  readonly address: string;
  /** What somebody of the mesh shows: the same source each time. */
  identityOf(spiffeId: string): Promise<SvidSource>;
  mesh: Mesh;
  apply(yaml: string): Promise<void>;
  /** As a client with an identity, from an address. */
  open(
    spiffeId: string,
    from: string,
    authority: string,
    headers?: Record<string, string>,
    /** Absent: this waypoint. */
    at?: string,
  ): Promise<OpenedTunnel>;
  session(spiffeId: string, from: string): Promise<ClientHttp2Session>;
}

export interface OpenedTunnel {
  readonly status: number;
  readonly stream: ClientHttp2Stream;
}

/** `10.1.0.` to `10.3.0.` stand for the net of the test: addresses in resources are those that are dialled, and dialled from. */
export function localText(text: string, net: number): string {
  return text
    .replaceAll("10.1.", `127.${net}.`)
    .replaceAll("10.2.0.", `127.${net}.2.`)
    .replaceAll("10.3.0.", `127.${net}.3.`);
}

export async function startWaypoint(
  context: TestContext,
  yaml: string,
  options: WaypointOptions,
): Promise<RunningWaypoint> {
  const { net, key = "m/wp" } = options;
  const folder = mkdtempSync(join(tmpdir(), "bulwark-waypoint-"));
  const local = (text: string): Mesh => meshOf(localText(text, net));
  const mesh = local(yaml);
  const trustDomain = parseTrustDomain(mesh.config.trustDomain);
  if (trustDomain === undefined) throw new Error("bad trust domain in the fixture");
  const ca = await openCa(folder, { trustDomain });
  const identities = new Map<string, SvidSource>();
  const identityOf = async (spiffeId: string): Promise<SvidSource> => {
    let source = identities.get(spiffeId);
    if (source === undefined) {
      source = svidSource(ca, spiffeId, 3600);
      identities.set(spiffeId, source);
      await source.start();
    }
    return source;
  };
  const workload = mesh.workloads.find((own) => own.key === key);
  if (workload === undefined) throw new Error(`the fixture has no waypoint ${key}`);
  const flows: FlowDraft[] = [];
  const identity = await identityOf(workload.spiffeId);
  const placement = placementOf(mesh);
  const pod = placement.pods.find((own) => own.workload === key);
  if (pod === undefined) throw new Error("the waypoint has no pod");
  const proxy = new MeshProxy({
    pod,
    application: new Map(),
    outboundSecret: "none",
    identity,
    flows: { push: (draft) => void flows.push(draft) },
    ...(options.semantics === undefined ? {} : { semantics: options.semantics }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const sessions = new Map<string, ClientHttp2Session>();
  const seen = { tunnels: [] as SeenTunnel[], requests: [] as SeenRequest[] };
  context.after(async () => {
    for (const session of sessions.values()) session.destroy();
    for (const source of identities.values()) source.stop();
    await proxy.close(0);
    rmSync(folder, { recursive: true, force: true });
  });
  await proxy.apply(mesh, placement);
  for (const own of mesh.workloads)
    if (own.role === "application" && own.dataplane !== "none")
      await startPod(
        context,
        own,
        await identityOf(options.impostors?.[own.key] ?? own.spiffeId),
        seen,
        options,
      );
  const session = async (spiffeId: string, from: string, at = pod.address): Promise<ClientHttp2Session> => {
    const name = `${spiffeId}|${from}|${at}`;
    const known = sessions.get(name);
    if (known !== undefined && !known.destroyed && !known.closed) return known;
    const made = await openSession(await identityOf(spiffeId), at, localText(from, net));
    sessions.set(name, made);
    return made;
  };
  const running: RunningWaypoint = {
    ca,
    proxy,
    identity,
    flows,
    ...seen,
    address: pod.address,
    identityOf,
    mesh,
    session,
    apply: async (text) => {
      running.mesh = local(text);
      await proxy.apply(running.mesh, placementOf(running.mesh));
    },
    open: async (spiffeId, from, authority, headers = {}, at = pod.address) =>
      openTunnel(await session(spiffeId, from, at), localText(authority, net), headers),
  };
  return running;
}

function placementOf(mesh: Mesh): Placement {
  const pods = mesh.workloads.flatMap(({ key, name, addresses: [address] }) =>
    address === undefined ? [] : [{ name: `${name}-0`, workload: key, replica: 0, address }],
  );
  return { pods, standIns: [], privilegedPortOffset: 61_000 };
}

function openSession(identity: SvidSource, host: string, localAddress: string): Promise<ClientHttp2Session> {
  const svid = identity.current;
  if (svid === undefined) throw new Error("the client has no certificate");
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connectTls(
      {
        host,
        port: 15_008,
        localAddress,
        ...tlsCredentials(svid),
        ALPNProtocols: ["h2"],
        checkServerIdentity: () => undefined,
      } as ConnectionOptions,
      () => {
        const session = connectHttp2("https://waypoint", { createConnection: () => socket });
        session.on("error", () => {});
        resolve(session);
      },
    );
    socket.on("error", reject);
  });
}

function openTunnel(
  session: ClientHttp2Session,
  authority: string,
  headers: Record<string, string>,
): Promise<OpenedTunnel> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":method": "CONNECT", ":authority": authority, ...headers });
    stream.on("error", reject);
    stream.on("response", (answer) => {
      stream.off("error", reject).on("error", () => {});
      resolve({ status: Number(answer[":status"]), stream });
    });
    stream.on("close", () => reject(new Error(`the tunnel was closed: ${stream.rstCode}`)));
  });
}

/** One HTTP/1.1 request inside a tunnel. */
export function requestIn(
  { stream }: OpenedTunnel,
  method: string,
  path: string,
  options: { readonly host?: string; readonly headers?: readonly string[]; readonly body?: string } = {},
): Promise<Answer> {
  const { host = "s.m", headers = [], body } = options;
  const length = body === undefined ? [] : [`content-length: ${Buffer.byteLength(body)}`];
  const lines = [`${method} ${path} HTTP/1.1`, `host: ${host}`, ...headers, ...length, "", body ?? ""];
  stream.write(lines.join("\r\n"));
  return readAnswer(stream as unknown as Socket);
}

async function startPod(
  context: TestContext,
  workload: Workload,
  identity: SvidSource,
  seen: { readonly tunnels: SeenTunnel[]; readonly requests: SeenRequest[] },
  options: WaypointOptions,
): Promise<void> {
  const [address] = workload.addresses;
  const svid = identity.current;
  if (address === undefined || svid === undefined) return;
  const application = applicationOf(workload, seen.requests, options);
  const server = createSecureServer({
    ...tlsCredentials(svid),
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: ["h2"],
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => {});
    const socket = stream.session?.socket as TLSSocket | undefined;
    const authority = String(headers[":authority"]);
    const { subjectaltname: peer = "", serialNumber: serial = "" } = socket?.getPeerCertificate() ?? {};
    seen.tunnels.push({ pod: workload.key, peer, serial, authority, headers });
    stream.respond({ ":status": 200 });
    serveInside(application, stream, Number(authority.slice(authority.lastIndexOf(":") + 1)));
  });
  server.on("sessionError", () => {});
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  context.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(15_008, address, resolve));
}

interface Application {
  readonly http1: Server;
  readonly http2: ReturnType<typeof createHttp2Server>;
}

/** Port 9000 echoes; others do HTTP, of the version that comes, and echo what is none. */
function serveInside({ http1, http2 }: Application, stream: ServerHttp2Stream, port: number): void {
  if (port === 9000) {
    stream.pipe(stream);
    return;
  }
  stream.once("readable", () => {
    const first = stream.read() as Buffer | null;
    if (first === null) return;
    stream.unshift(first);
    if ((first[0] ?? 0) < 0x20) {
      stream.pipe(stream);
      return;
    }
    const isHttp2 = first.toString("latin1").startsWith("PRI ");
    (isHttp2 ? http2 : http1).emit("connection", stream);
  });
}

function applicationOf(
  { key }: Workload,
  requests: SeenRequest[],
  { answer = () => ({ status: 200 }) }: WaypointOptions,
): Application {
  const onRequest = (
    request: Pick<IncomingMessage, "method" | "url" | "headers" | "on">,
    respond: (status: number, headers: Record<string, string>) => void,
  ): void => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method, url: path, headers } = request;
      const body = Buffer.concat(chunks).toString("latin1");
      const seen: SeenRequest = { pod: key, method, path, headers, body };
      requests.push(seen);
      const reply = answer(seen);
      if (reply !== "hang") respond(reply.status, { "x-pod": key, ...reply.headers });
    });
  };
  return {
    http1: createServer((request, response) =>
      onRequest(request, (status, headers) => response.writeHead(status, headers).end(key)),
    ),
    http2: createHttp2Server((request, response) =>
      onRequest(request as unknown as IncomingMessage, (status, headers) => {
        response.writeHead(status, headers);
        response.end(key);
      }),
    ),
  };
}
