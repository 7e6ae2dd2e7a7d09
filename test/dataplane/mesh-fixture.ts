/** A mesh in one process: a real CA, a real proxy for each pod, a small application behind each; torn down with the test. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { loadAll } from "js-yaml";
import type { Limits } from "../../src/dataplane/limits.ts";
import { MeshProxy } from "../../src/dataplane/mesh-proxy.ts";
import type { ApplicationAddress } from "../../src/dataplane/proxy-options.ts";
import { type CertificateAuthority, openCa } from "../../src/identity/ca.ts";
import { SvidSource } from "../../src/identity/rotation.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { FlowDraft } from "../../src/model/flow-record.ts";
import type { Mesh, Workload } from "../../src/model/mesh.ts";
import type { Placement, PodPlacement, StandIn } from "../../src/model/placement.ts";
import { parseSpiffeId, parseTrustDomain } from "../../src/model/spiffe-id.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";

export const SECRET = "test-secret";

export interface RunningPod {
  readonly workload: Workload;
  readonly pod: PodPlacement;
  readonly proxy: MeshProxy;
  readonly identity: SvidSource;
  readonly flows: FlowDraft[];
}

export interface RunningMesh {
  readonly ca: CertificateAuthority;
  readonly pods: ReadonlyMap<string, RunningPod>;
  readonly placement: Placement;
  mesh: Mesh;
  pod(key: string): RunningPod;
  /** Replaces the configuration of every proxy. */
  apply(yaml: string): Promise<void>;
}

export interface MeshFixtureOptions {
  /** Second octet, so that test files that run side by side do not share addresses. */
  readonly net: number;
  readonly ttlSeconds?: number;
  readonly standIns?: readonly StandIn[];
  readonly externalCaPem?: string;
  readonly limits?: Partial<Limits>;
  readonly privilegedPortOffset?: number;
  /** Answers for HTTP ports; default: JSON of what it saw. */
  readonly handler?: (request: IncomingMessage, response: ServerResponse) => void;
  /** Answers upgrade requests. */
  readonly upgrade?: (request: IncomingMessage, socket: Socket, head: Buffer) => void;
  /** Makes the server of HTTP ports, in place of `handler` (HTTP/2). */
  readonly httpServer?: () => Server;
  /** Serves ports whose number is 9000 and above; default: echo. */
  readonly tcpHandler?: (socket: Socket) => void;
}

export function meshOf(yaml: string): Mesh {
  const bodies = loadAll(yaml).filter((body) => body !== null && body !== undefined);
  return buildMesh(
    bodies.map((body, index) =>
      resourceFromJson(body as Record<string, unknown>, { file: "test.yaml", createdAt: index }),
    ),
  );
}

export async function startMesh(
  context: TestContext,
  yaml: string,
  options: MeshFixtureOptions,
): Promise<RunningMesh> {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-test-"));
  const mesh = meshOf(yaml);
  const trustDomain = parseTrustDomain(mesh.config.trustDomain);
  if (trustDomain === undefined) throw new Error("bad trust domain in the fixture");
  const ca = await openCa(folder, { trustDomain });
  const placement = placementOf(mesh, options);
  const pods = new Map<string, RunningPod>();
  context.after(async () => {
    await Promise.all(
      [...pods.values()].map(({ proxy, identity }) => {
        identity.stop();
        return proxy.close(0);
      }),
    );
    rmSync(folder, { recursive: true, force: true });
  });
  for (const pod of placement.pods) {
    const workload = mesh.workloads.find(({ key }) => key === pod.workload);
    if (workload === undefined) continue;
    pods.set(pod.workload, await startPod(context, ca, mesh, placement, pod, workload, options));
  }
  const running: RunningMesh = {
    ca,
    pods,
    placement,
    mesh,
    pod: (key) => {
      const found = pods.get(key);
      if (found === undefined) throw new Error(`the fixture has no pod ${key}`);
      return found;
    },
    apply: async (changed) => {
      running.mesh = meshOf(changed);
      await Promise.all([...pods.values()].map(({ proxy }) => proxy.apply(running.mesh, placement)));
    },
  };
  return running;
}

function placementOf(mesh: Mesh, options: MeshFixtureOptions): Placement {
  const pods = mesh.workloads.map((workload, index) => ({
    name: `${workload.name}-0`,
    workload: workload.key,
    replica: 0,
    address: `127.${options.net}.0.${index + 1}`,
  }));
  return {
    pods,
    standIns: options.standIns ?? [],
    privilegedPortOffset: options.privilegedPortOffset ?? 61_000,
  };
}

async function startPod(
  context: TestContext,
  ca: CertificateAuthority,
  mesh: Mesh,
  placement: Placement,
  pod: PodPlacement,
  workload: Workload,
  options: MeshFixtureOptions,
): Promise<RunningPod> {
  const flows: FlowDraft[] = [];
  const identity = svidSource(ca, workload.spiffeId, options.ttlSeconds ?? 3600);
  await identity.start();
  const application = new Map<number, ApplicationAddress>();
  for (const { port } of workload.ports)
    application.set(port, await startApplication(context, workload, port, options));
  const proxy = new MeshProxy({
    pod,
    application,
    outboundSecret: SECRET,
    identity,
    flows: { push: (draft) => void flows.push(draft) },
    ...(options.externalCaPem === undefined ? {} : { externalCaPem: options.externalCaPem }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  await proxy.apply(mesh, placement);
  return { workload, pod, proxy, identity, flows };
}

export function svidSource(ca: CertificateAuthority, spiffeId: string, ttlSeconds: number): SvidSource {
  const id = parseSpiffeId(spiffeId)?.id;
  if (id === undefined) throw new Error(`bad SPIFFE ID in the fixture: ${spiffeId}`);
  return new SvidSource({
    identity: id,
    requestCertificate: (csr) => ca.issue({ csr, verifiedIdentity: id, ttlSeconds }),
  });
}

async function startApplication(
  context: TestContext,
  workload: Workload,
  port: number,
  options: MeshFixtureOptions,
): Promise<ApplicationAddress> {
  const server = port >= 9000 && port < 10_000 ? tcpServer(options) : httpServer(workload, options);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.close();
    if ("closeAllConnections" in server) (server as { closeAllConnections(): void }).closeAllConnections();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the application does not listen");
  return { host: "127.0.0.1", port: address.port };
}

function tcpServer(options: MeshFixtureOptions): Server {
  return createTcpServer({ allowHalfOpen: true }, options.tcpHandler ?? ((socket) => socket.pipe(socket)));
}

function httpServer(workload: Workload, options: MeshFixtureOptions): Server {
  if (options.httpServer !== undefined) return options.httpServer();
  const handler =
    options.handler ?? ((request, response) => answerWithWhatWasSeen(workload, request, response));
  const server = createServer(handler);
  if (options.upgrade !== undefined) server.on("upgrade", options.upgrade as () => void);
  return server;
}

function answerWithWhatWasSeen(workload: Workload, request: IncomingMessage, response: ServerResponse): void {
  const { method, url: path, headers } = request;
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks).toString("latin1");
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ workload: workload.key, method, path, headers, body }));
  });
}
