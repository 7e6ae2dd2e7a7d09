/** The server's side, live: recorded requests sent over real sockets through our own proxy to a real application. */
import type { ConnectionOptions } from "node:tls";
import type { ApplicationAddress } from "../../src/dataplane/proxy-options.ts";
import type { FlowDraft } from "../../src/model/flow-record.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { HTTP_ALPN, type RecordedDecision, type RecordedRequest, TCP_ALPN } from "./inbound.ts";
import { CertificateForge, type LiveAuthority } from "./live-certificates.ts";
import { exchange, requestBytes } from "./live-client.ts";
import { differenceOf } from "./live-differences.ts";
import { authorityOf, LiveProxy } from "./live-proxy.ts";
import { type Arrival, Responder } from "./live-responder.ts";
import { loadCase } from "./load-case.ts";
import type { CorpusDecision, CorpusRunner } from "./runner.ts";

const TCP_BYTES = Buffer.from("PING\n");
const rogue = CertificateForge.alone();

export const liveInboundRunner: CorpusRunner = {
  corpus: "corpus",
  runCase: async (folder) => {
    const { mesh, requests, decisions } = await loadCase<RecordedRequest, RecordedDecision>(folder);
    const compared: CorpusDecision[] = [];
    // One workload after the other: where a gateway sends to, its own responder stands, not the other's proxy.
    for (const key of new Set(requests.map(({ to }) => to.workload))) {
      const target = await Target.start(mesh, key, requests);
      for (const [index, request] of requests.entries()) {
        if (request.to.workload !== key) continue;
        const recorded = decisions[index];
        if (recorded?.id !== request.id)
          throw new Error(`${folder}: decisions are not in the order of requests`);
        compared.push(await target.compare(request, recorded));
      }
      await target.stop();
    }
    return compared;
  },
};

/** The proxy of one workload, and what stands behind it. */
class Target {
  readonly #authority: LiveAuthority;
  readonly #proxy: LiveProxy;
  /** The application; behind a gateway the mesh's other workloads, which end the mesh's TLS themselves. */
  readonly #behind: Responder;

  private constructor(authority: LiveAuthority, proxy: LiveProxy, behind: Responder) {
    this.#authority = authority;
    this.#proxy = proxy;
    this.#behind = behind;
  }

  static async start(mesh: Mesh, key: string, requests: readonly RecordedRequest[]): Promise<Target> {
    const workload = mesh.workloads.find((candidate) => candidate.key === key);
    if (workload === undefined) throw new Error(`no workload ${key}`);
    const authority = await authorityOf(mesh.config.trustDomain);
    if (workload.role === "gateway")
      return new Target(
        authority,
        await LiveProxy.start(mesh, workload),
        await serveWorkloads(mesh, authority),
      );
    const behind = new Responder();
    const dialled = requests.filter(({ to }) => to.workload === key).map(({ to }) => to.port);
    const application = new Map<number, ApplicationAddress>();
    for (const port of new Set([...workload.ports.map(({ port }) => port), ...dialled]))
      application.set(port, { host: "127.0.0.1", port: await behind.listenAnew("127.0.0.1") });
    return new Target(authority, await LiveProxy.start(mesh, workload, { application }), behind);
  }

  async stop(): Promise<void> {
    await this.#proxy.stop();
    await this.#behind.close();
  }

  async compare(request: RecordedRequest, recorded: RecordedDecision): Promise<CorpusDecision> {
    const { arrivals } = this.#behind;
    arrivals.length = 0;
    this.#proxy.flows.length = 0;
    const answer = await exchange(
      { from: request.from.ip, address: this.#proxy.address, port: request.to.port, ...this.#tls(request) },
      bytesOf(request),
    );
    const [arrival] = arrivals;
    const refusal =
      arrival === undefined && answer.connected
        ? await this.#proxy.flow(({ verdict }) => verdict !== "allow")
        : undefined;
    const difference = differenceOf(request, recorded, this.#proxy.workload);
    return {
      id: request.id,
      ...(difference === undefined ? {} : { difference }),
      expected: expectedOf(request, recorded),
      actual: {
        allowed: arrival !== undefined,
        code: answer.status,
        reason: answer.timedOut ? "timeout" : arrival === undefined ? reasonOf(refusal) : "ok",
        ...arrivedFields(arrival),
      },
    };
  }

  #tls({ from, protocol, sni }: RecordedRequest): { tls?: ConnectionOptions } {
    if (from.tls === undefined && from.principal === null) return {};
    const isHttp = (protocol ?? "http") === "http";
    const alpn = from.alpn ?? (from.tls === "simple" ? undefined : isHttp ? HTTP_ALPN : TCP_ALPN);
    const forge = from.tls === "rogue" ? rogue : this.#authority.forge;
    return {
      tls: {
        servername: sni ?? "",
        ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }),
        ...(from.principal === null || from.tls === "simple"
          ? {}
          : { secureContext: forge.context([nameOf(from.principal)]) }),
      },
    };
  }
}

async function serveWorkloads(mesh: Mesh, authority: LiveAuthority): Promise<Responder> {
  const responder = new Responder({
    terminate: (_hello, _alpn, address) => {
      const workload = mesh.workloads.find(({ addresses }) => addresses.includes(address));
      return authority.forge.context(workload === undefined ? [] : [workload.spiffeId]);
    },
  });
  for (const { role, addresses, ports } of mesh.workloads) {
    const [address] = addresses;
    if (role === "gateway" || address === undefined) continue;
    for (const { port } of ports) await responder.listen(address, port);
  }
  return responder;
}

function nameOf(principal: string): string {
  return principal.startsWith("dns:") ? principal.slice("dns:".length) : `spiffe://${principal}`;
}

function bytesOf({
  protocol,
  method = "GET",
  path = "/",
  host = "app",
  headers = [],
  jwt,
}: RecordedRequest): Buffer {
  if (protocol === "tcp") return TCP_BYTES;
  const token: [string, string][] = jwt === undefined ? [] : [["Authorization", `Bearer ${jwt}`]];
  return requestBytes(method, path, host, [...headers, ...token]);
}

/** Where nothing else is recorded, the application got the path and host that were sent. */
function expectedOf(request: RecordedRequest, recorded: RecordedDecision): Record<string, unknown> {
  const { allowed, code, reason, upstreamPath, upstreamHost } = recorded;
  const isServed = allowed && code === 200;
  return {
    allowed,
    code,
    reason,
    ...(isServed
      ? {
          upstreamPath: upstreamPath ?? request.path ?? "/",
          upstreamHost: upstreamHost ?? request.host ?? "app",
        }
      : {}),
  };
}

function arrivedFields(arrival: Arrival | undefined): Record<string, unknown> {
  if (arrival?.requestLine === undefined) return {};
  const [, upstreamPath] = arrival.requestLine.split(" ");
  return { upstreamPath, upstreamHost: arrival.headers.find(([name]) => name === "host")?.[1] };
}

/** A refusal's record in the corpus's words. */
function reasonOf(flow: FlowDraft | undefined): string {
  switch (flow?.layer) {
    case undefined:
      return "nothing recorded";
    case "authorization":
      return "rbac";
    case "protocol":
      return "bad-request";
    case "transport":
      return TRANSPORT_REASONS.get(flow?.reason ?? "") ?? "tls";
    default:
      return flow?.layer ?? "";
  }
}

const TRANSPORT_REASONS: ReadonlyMap<string, string> = new Map([
  ["no-chain", "no-chain"],
  ["plaintext-to-tls-port", "no-chain"],
  ["bad-request", "bad-request"],
  ["no-listener", "closed"],
]);
