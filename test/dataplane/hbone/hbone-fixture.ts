/** Tunnel servers and clients of one CA, each with an identity of its own, on loopback; torn down with the test. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { performServerHandshake, type ServerHttp2Session } from "node:http2";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import {
  connectUpstream,
  type TrustDomains,
  type UpstreamSettings,
} from "../../../src/dataplane/connect-upstream.ts";
import { Deadlines } from "../../../src/dataplane/deadlines.ts";
import { HandshakesInFlight } from "../../../src/dataplane/handshakes-in-flight.ts";
import { HbonePool, type HbonePoolLimits } from "../../../src/dataplane/hbone/hbone-pool.ts";
import {
  type HboneRefusal,
  HboneServer,
  type HboneTunnel,
} from "../../../src/dataplane/hbone/hbone-server.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../src/dataplane/limits.ts";
import { MeshTlsServer } from "../../../src/dataplane/mesh-tls-server.ts";
import { RevocationGuard } from "../../../src/dataplane/revocation-guard.ts";
import { makeTlsContexts, type TlsContexts } from "../../../src/dataplane/tls-contexts.ts";
import {
  type UpstreamTarget,
  type UpstreamTunnel,
  upstreamTarget,
} from "../../../src/dataplane/upstream-target.ts";
import { type CertificateAuthority, openCa } from "../../../src/identity/ca.ts";
import type { SvidSource } from "../../../src/identity/rotation.ts";
import type { FlowDraft } from "../../../src/model/flow-record.ts";
import { parseTrustDomain, type TrustDomain } from "../../../src/model/spiffe-id.ts";
import { svidSource } from "../mesh-fixture.ts";
import { until as untilSoon } from "../until.ts";

export const AUTHORITY = "10.1.2.3:8080";

const TRUST_DOMAIN = parseTrustDomain("cluster.local") as TrustDomain;
const DOMAINS: TrustDomains = { trustDomain: TRUST_DOMAIN, aliases: [], federated: [] };

export function spiffeIdOf(account: string, namespace = "a"): string {
  return `spiffe://cluster.local/ns/${namespace}/sa/${account}`;
}

export async function testCa(context: TestContext): Promise<CertificateAuthority> {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-hbone-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return openCa(folder, { trustDomain: TRUST_DOMAIN });
}

/** An identity, its certificate as in force at present, and what it knows of revocations. */
export interface Party {
  readonly spiffeId: string;
  readonly source: SvidSource;
  readonly revocations: RevocationGuard;
  readonly flows: FlowDraft[];
  contexts: TlsContexts | undefined;
}

export async function partyOf(
  context: TestContext,
  ca: CertificateAuthority,
  account: string,
  namespace = "a",
): Promise<Party> {
  const source = svidSource(ca, spiffeIdOf(account, namespace), 3600);
  await source.start();
  context.after(() => source.stop());
  const flows: FlowDraft[] = [];
  const revocations = new RevocationGuard({
    reporter: `${namespace}/${account}`,
    flows: { push: (draft) => void flows.push(draft) },
    workloadAt: () => undefined,
  });
  const { current } = source;
  return {
    spiffeId: spiffeIdOf(account, namespace),
    source,
    revocations,
    flows,
    contexts: current === undefined ? undefined : makeTlsContexts(current),
  };
}

export interface RunningServer {
  readonly hbone: HboneServer;
  readonly tls: MeshTlsServer;
  readonly port: number;
  readonly refusals: HboneRefusal[];
  readonly tunnels: HboneTunnel[];
  /** TCP connections that were accepted and are open. */
  readonly connections: Set<Socket>;
}

/** @param onTunnel default: accepts, and sends everything back. */
export async function startServer(
  context: TestContext,
  party: Party,
  onTunnel: (tunnel: HboneTunnel) => void = echo,
  limits: Partial<Limits> = {},
): Promise<RunningServer> {
  const deadlines = new Deadlines();
  const http = {
    deadlines,
    limits: { ...DEFAULT_LIMITS, ...limits },
    flows: { push: () => {} },
    counters: { requests: 0, denied: 0, failed: 0 },
  };
  const { revocations } = party;
  const env = {
    http,
    revocations,
    tls: () => party.contexts,
    trustDomains: () => DOMAINS,
    sockets: new Set<Socket>(),
  };
  const tls = new MeshTlsServer(env);
  const refusals: HboneRefusal[] = [];
  const tunnels: HboneTunnel[] = [];
  const hbone = new HboneServer({
    env,
    tls,
    onTunnel: (tunnel) => {
      tunnels.push(tunnel);
      onTunnel(tunnel);
    },
    onRefused: (refusal) => void refusals.push(refusal),
  });
  const connections = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.add(socket);
    socket.on("error", () => {}).once("close", () => connections.delete(socket));
    hbone.accept(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  context.after(() => {
    server.close();
    for (const socket of [...env.sockets, ...connections]) socket.destroy();
    deadlines.close();
  });
  return { hbone, tls, port: (server.address() as AddressInfo).port, refusals, tunnels, connections };
}

export function echo(tunnel: HboneTunnel): void {
  const socket = tunnel.accept();
  socket.pipe(socket);
}

export interface TestClient {
  readonly pool: HbonePool;
  readonly settings: UpstreamSettings;
}

export function clientOf(
  context: TestContext,
  party: Party,
  limits: Partial<HbonePoolLimits> = {},
  connectTimeoutMs = 10_000,
): TestClient {
  const pool = new HbonePool(limits);
  context.after(() => pool.clear());
  const settings: UpstreamSettings = {
    contexts: () => party.contexts,
    trustDomains: () => DOMAINS,
    revocations: party.revocations,
    connectTimeoutMs,
    handshakes: new HandshakesInFlight(),
    tunnels: pool,
  };
  return { pool, settings };
}

export function targetAt(
  port: number,
  tunnel: Partial<UpstreamTunnel> = {},
  protocol: UpstreamTarget["protocol"] = "tcp",
): UpstreamTarget {
  return upstreamTarget({
    host: "10.1.2.3",
    port: 8080,
    localAddress: undefined,
    tls: undefined,
    protocol,
    cluster: "test",
    tunnel: { host: "127.0.0.1", port, authority: AUTHORITY, sans: [spiffeIdOf("server")], ...tunnel },
  });
}

/** @throws what connecting failed with. */
export function open({ settings }: TestClient, target: UpstreamTarget): Promise<Socket> {
  return new Promise((resolve, reject) => {
    connectUpstream(target, settings, true, (outcome) => {
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    });
  });
}

/** As the common one, for machines that stand still for a while. */
export function until(condition: () => boolean, what?: string): Promise<void> {
  return untilSoon(condition, what, 30_000);
}

/** All until the other side's end; our own direction stays open. */
export function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    socket
      .on("data", (chunk: Buffer) => void chunks.push(chunk))
      .once("end", () => resolve(Buffer.concat(chunks)))
      .once("error", reject)
      .once("close", () => reject(socket.errored ?? new Error("closed without an end")));
    if (socket.destroyed) reject(socket.errored ?? new Error("destroyed"));
  });
}

/** A server of the mesh's TLS that is none of ours. @returns its port. */
export async function startTlsServer(
  context: TestContext,
  party: Party,
  onSession: ((session: ServerHttp2Session) => void) | undefined,
  onSocket?: (socket: TLSSocket) => void,
): Promise<number> {
  const sockets = new Set<TLSSocket>();
  const options = { ...party.contexts?.options, requestCert: true, ALPNProtocols: ["h2"] };
  const server = createTlsServer(options as TlsOptions, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).once("close", () => sockets.delete(socket));
    onSocket?.(socket);
    if (onSession === undefined) return;
    const session = performServerHandshake(socket);
    session.on("error", () => {});
    onSession(session);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  context.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}
