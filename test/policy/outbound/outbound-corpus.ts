/** Runs the recorded outbound corpus against compileOutbound, for the test and for tools. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildMesh, findWorkload } from "../../../src/model/build-mesh.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import { compileOutbound } from "../../../src/policy/outbound/compile-outbound.ts";
import type { OutboundDecision, OutboundTarget } from "../../../src/policy/outbound/types.ts";
import { loadResources } from "../../../src/resources/load.ts";

export interface CorpusRequest {
  readonly id: string;
  readonly from: { readonly workload: string };
  readonly to: { readonly host: string; readonly port: number; readonly ip: string };
  readonly protocol: "http" | "tcp" | "tls";
  readonly authority?: string;
  readonly sni?: string;
  readonly method?: string;
  readonly path?: string;
  readonly headers?: readonly (readonly [string, string])[];
}

export interface RecordedCluster {
  readonly cluster: string;
  readonly weight?: number;
  readonly tls?: string;
  readonly tlsByEndpoint?: Readonly<Record<string, string>>;
  readonly sni?: string;
  readonly sans?: readonly string[];
  readonly endpoints?: readonly string[];
  readonly headersAdded?: Readonly<Record<string, string>>;
}

export interface RecordedDecision extends Partial<RecordedCluster> {
  readonly id: string;
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly clusters?: readonly RecordedCluster[];
  readonly upstreamPath?: string;
  readonly upstreamHost?: string;
  readonly upstreamProtocol?: string;
  readonly headersRemoved?: readonly string[];
  readonly location?: string;
  readonly body?: string;
  readonly timeout?: string;
  readonly retries?: number;
  readonly mirrors?: readonly string[];
  readonly faultDelay?: boolean;
}

export interface CorpusCase {
  readonly name: string;
  readonly mesh: Mesh;
  readonly requests: readonly CorpusRequest[];
  readonly expected: ReadonlyMap<string, RecordedDecision>;
}

export const CORPUS = "../shared/corpus-outbound";

export async function loadCases(folder: string = CORPUS): Promise<readonly CorpusCase[]> {
  if (!existsSync(folder)) throw new Error(`${folder} is not there: the recorded corpus is needed`);
  const names = readdirSync(folder).filter((name) => existsSync(join(folder, name, "mesh.yaml")));
  return Promise.all(names.sort().map((name) => loadCase(folder, name)));
}

async function loadCase(folder: string, name: string): Promise<CorpusCase> {
  const { resources } = await loadResources([join(folder, name, "mesh.yaml")]);
  const recorded = readJson<{
    decisions: readonly RecordedDecision[];
    rejected: readonly { kind: string; namespace: string; name: string }[];
  }>(folder, name, "expected.json");
  const rejected = new Set(recorded.rejected.map((r) => `${r.kind} ${r.namespace}/${r.name}`));
  const taken = resources.filter((r) => !rejected.has(`${r.kind} ${r.namespace}/${r.name}`));
  return {
    name,
    mesh: buildMesh(taken),
    requests: readJson<{ requests: readonly CorpusRequest[] }>(folder, name, "requests.json").requests,
    expected: new Map(recorded.decisions.map((decision) => [decision.id, decision])),
  };
}

function readJson<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(...path), "utf8")) as T;
}

export function decide({ mesh }: CorpusCase, request: CorpusRequest): OutboundDecision {
  const workload = findWorkload(mesh, request.from.workload);
  if (workload === undefined) throw new Error(`no workload ${request.from.workload}`);
  const policy = compileOutbound(mesh, workload);
  const { ip, port, host } = request.to;
  switch (request.protocol) {
    case "http":
      return policy.routeHttp({
        ip,
        port,
        authority: request.authority ?? host,
        method: request.method ?? "GET",
        path: request.path ?? "/",
        headers: (request.headers ?? []).flatMap(([name, value]) => [name.toLowerCase(), value]),
      });
    case "tls":
      return policy.routeTls({ ip, port, ...(request.sni === undefined ? {} : { sni: request.sni }) });
    case "tcp":
      return policy.routeTcp({ ip, port });
  }
}

/** The decision in the corpus's words: what it records for comparison, and no more. */
export function record(request: CorpusRequest, decision: OutboundDecision): RecordedDecision {
  const { allowed, code, reason } = decision;
  const base = { id: request.id, allowed, code, reason };
  if (decision.kind === "respond") return { ...base, ...recordAnswer(decision) };
  if (decision.kind === "refuse")
    return {
      ...base,
      ...(decision.cluster === undefined || reason === "no-cluster" ? {} : { cluster: decision.cluster }),
    };
  const http = decision.http;
  const { path, authority } = decision;
  const only = decision.targets[0];
  const route =
    only === undefined
      ? {
          cluster: "PassthroughCluster",
          tls: "plaintext",
          endpoints: [`${request.to.ip}:${request.to.port}`],
        }
      : decision.weighted
        ? { clusters: decision.targets.map((target) => recordTarget(request, target, true)) }
        : recordTarget(request, only, false);
  return {
    ...base,
    ...route,
    ...(path === undefined ? {} : { upstreamPath: path }),
    ...(authority === undefined || authority === decision.originalAuthority
      ? {}
      : { upstreamHost: authority }),
    ...(decision.reason === "passthrough" ? {} : recordSettings(http)),
    ...(decision.delayMs === undefined ? {} : { faultDelay: true }),
    ...(only?.cluster?.upstreamProtocol === "http2" && request.protocol === "http" && http !== undefined
      ? { upstreamProtocol: "HTTP/2" }
      : {}),
  };
}

type Respond = Extract<OutboundDecision, { kind: "respond" }>;

function recordAnswer(decision: Respond): Partial<RecordedDecision> {
  const { location, body, cluster, http, delayMs, reason } = decision;
  return {
    ...(reason === "fault" ? recordSettings(http) : {}),
    ...(delayMs === undefined ? {} : { faultDelay: true }),
    ...(location === undefined ? {} : { location }),
    ...(body === undefined ? {} : { body }),
    ...(cluster === undefined ? {} : { cluster }),
  };
}

function recordTarget(request: CorpusRequest, target: OutboundTarget, weighted: boolean): RecordedCluster {
  const { name, cluster, weight, sni, sans } = target;
  const reachable =
    cluster !== undefined &&
    (cluster.endpoints.length > 0 || !["static", "dns"].includes(cluster.resolution));
  const followed = cluster?.resolution === "original-destination";
  const endpoints = followed
    ? [`${request.to.ip}:${cluster.dialPort ?? request.to.port}`]
    : cluster?.resolution === "dynamic-dns"
      ? [`${request.to.host}:${request.to.port}`]
      : (cluster?.endpoints ?? []).map((endpoint) => `${endpoint.address}:${endpoint.port}`);
  return {
    cluster: name,
    ...(weighted ? { weight } : {}),
    ...(reachable ? { tls: cluster.tls } : {}),
    ...(sni === undefined || cluster?.tls === "plaintext" ? {} : { sni }),
    ...(sans === undefined || cluster?.tls === "plaintext" ? {} : { sans }),
    ...(reachable ? { endpoints } : {}),
    ...(target.requestHeaders.set.length === 0
      ? {}
      : { headersAdded: Object.fromEntries(target.requestHeaders.set) }),
  };
}

function recordSettings(
  http: Extract<OutboundDecision, { kind: "forward" }>["http"],
): Partial<RecordedDecision> {
  if (http === undefined) return {};
  const { timeoutMs, retries, mirrors } = http;
  return {
    ...(timeoutMs === undefined
      ? {}
      : { timeout: timeoutMs % 1000 === 0 ? `${timeoutMs / 1000}s` : `${timeoutMs}ms` }),
    ...(retries.attempts === 2 ? {} : { retries: retries.attempts }),
    ...(mirrors.length === 0
      ? {}
      : { mirrors: mirrors.map((mirror) => `${mirror.name} ${mirror.percent}%`) }),
  };
}
