/** The client's side: where a sidecar sends a request, with which TLS (the format is in the corpus' README). */
import { findWorkload } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { compileOutbound } from "../../src/policy/outbound/compile-outbound.ts";
import type {
  ClusterPlan,
  ForwardDecision,
  HeaderOps,
  HttpRoutePlan,
  OutboundDecision,
  OutboundTarget,
  RespondDecision,
} from "../../src/policy/outbound/types.ts";
import { loadCase } from "./load-case.ts";
import type { CorpusRunner } from "./runner.ts";

export interface RecordedRequest {
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

type Fields = Readonly<Record<string, unknown>>;
type RecordedDecision = { readonly id: string } & Fields;

export const outboundRunner: CorpusRunner = {
  corpus: "corpus-outbound",
  runCase: async (folder) => {
    const { mesh, requests, decisions } = await loadCase<RecordedRequest, RecordedDecision>(folder);
    const byId = new Map(decisions.map((decision) => [decision.id, decision]));
    return requests.map((request) => {
      const recorded = byId.get(request.id);
      if (recorded === undefined) throw new Error(`${folder}: no decision for ${request.id}`);
      const { id, listener: _listener, route: _route, ...expected } = recorded;
      return {
        id,
        expected: sorted(expected),
        actual: sorted(fieldsOf(request, decideRecorded(mesh, request))),
      };
    });
  },
};

export function decideRecorded(mesh: Mesh, request: RecordedRequest): OutboundDecision {
  const workload = findWorkload(mesh, request.from.workload);
  if (workload === undefined) throw new Error(`no workload ${request.from.workload}`);
  const policy = compileOutbound(mesh, workload);
  const { ip, port, host } = request.to;
  switch (request.protocol) {
    case "tls":
      return policy.routeTls({ ip, port, ...(request.sni === undefined ? {} : { sni: request.sni }) });
    case "tcp":
      return policy.routeTcp({ ip, port });
    case "http":
      return policy.routeHttp({
        ip,
        port,
        authority: request.authority ?? host,
        method: request.method ?? "GET",
        path: request.path ?? "/",
        headers: sentHeaders(request).flat(),
      });
  }
}

function sentHeaders({ headers = [] }: RecordedRequest): [string, string][] {
  return headers.map(([name, value]) => [name.toLowerCase(), value]);
}

/** Lists whose order says nothing, in one order. */
function sorted(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields)
      .map(([name, value]): [string, unknown] => {
        if (name === "clusters") return [name, (value as Fields[]).map(sorted)];
        if (Array.isArray(value)) return [name, [...value].sort()];
        return [name, typeof value === "object" && value !== null ? sorted(value as Fields) : value];
      })
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** The decision in the corpus's words, without what it leaves out. */
export function fieldsOf(request: RecordedRequest, decision: OutboundDecision): Fields {
  const { allowed, code, reason } = decision;
  const base = { allowed, code, reason };
  switch (decision.kind) {
    case "respond":
      return defined({ ...base, ...answerFields(decision) });
    case "refuse":
      return defined({ ...base, cluster: reason === "no-cluster" ? undefined : decision.cluster });
    case "forward":
      return defined({ ...base, ...forwardFields(request, decision) });
  }
}

function defined(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function answerFields({ location, body, cluster, delayMs, http, reason }: RespondDecision): Fields {
  return {
    location,
    body,
    cluster,
    faultDelay: delayMs === undefined ? undefined : true,
    ...(reason === "fault" ? settingFields(http) : {}),
  };
}

function forwardFields(request: RecordedRequest, decision: ForwardDecision): Fields {
  const { path, authority, originalAuthority, http, targets } = decision;
  const [only] = targets;
  return {
    ...routeFields(request, decision),
    upstreamPath: path,
    upstreamHost: authority === originalAuthority ? undefined : authority,
    ...(only === undefined ? {} : settingFields(http)),
    ...(http === undefined ? {} : headerFields(request, decision, http)),
    faultDelay: decision.delayMs === undefined ? undefined : true,
    upstreamProtocol:
      http !== undefined && only?.cluster?.upstreamProtocol === "http2" ? "HTTP/2" : undefined,
  };
}

function routeFields(request: RecordedRequest, { targets, weighted }: ForwardDecision): Fields {
  const [only] = targets;
  if (only === undefined)
    return {
      cluster: "PassthroughCluster",
      tls: "plaintext",
      endpoints: [`${request.to.ip}:${request.to.port}`],
    };
  if (!weighted) return targetFields(request, only);
  const clusters = targets.map((target) => {
    const set = target.requestHeaders.set;
    const headersAdded = set.length === 0 ? undefined : Object.fromEntries(set);
    return defined({ ...targetFields(request, target), weight: target.weight, headersAdded });
  });
  return { clusters };
}

function targetFields(request: RecordedRequest, { name, cluster, sni, sans }: OutboundTarget): Fields {
  const endpoints = cluster === undefined ? [] : endpointsOf(request, cluster);
  if (cluster === undefined || endpoints.length === 0) return { cluster: name };
  const secure = cluster.tls !== "plaintext";
  const tlsByEndpoint = cluster.endpoints.map((own) => [`${own.address}:${own.port}`, own.tls]);
  return {
    cluster: name,
    tls: cluster.tls,
    ...(cluster.tls === "mixed" ? { tlsByEndpoint: Object.fromEntries(tlsByEndpoint) } : {}),
    ...(secure ? { sni, sans } : {}),
    endpoints,
  };
}

/** Where the client chose the address itself, that one; the recorder's DNS gave it also for names that Envoy resolved. */
function endpointsOf({ to }: RecordedRequest, { resolution, dialPort, endpoints }: ClusterPlan): string[] {
  if (resolution === "original-destination" || resolution === "dynamic-dns")
    return [`${to.ip}:${dialPort ?? to.port}`];
  return endpoints.map(({ address, port }) => `${address}:${port}`);
}

const DEFAULT_ATTEMPTS = 2;

function settingFields(http: HttpRoutePlan | undefined): Fields {
  if (http === undefined) return {};
  const { timeoutMs, retries, mirrors } = http;
  return {
    timeout:
      timeoutMs === undefined
        ? undefined
        : timeoutMs % 1000 === 0
          ? `${timeoutMs / 1000}s`
          : `${timeoutMs}ms`,
    retries: retries.attempts === DEFAULT_ATTEMPTS ? undefined : retries.attempts,
    mirrors: mirrors.length === 0 ? undefined : mirrors.map(({ name, percent }) => `${name} ${percent}%`),
  };
}

function headerFields(request: RecordedRequest, decision: ForwardDecision, http: HttpRoutePlan): Fields {
  const { originalPath, originalAuthority, targets, weighted } = decision;
  const sent = new Map(sentHeaders(request));
  const received = new Map(sent);
  const [only] = targets;
  if (!weighted && only !== undefined) apply(received, only.requestHeaders);
  apply(received, http.requestHeaders);
  if (originalPath !== undefined) received.set("x-envoy-original-path", originalPath);
  if (originalAuthority !== undefined) received.set("x-envoy-original-host", originalAuthority);
  const added = [...received].filter(([name, value]) => sent.get(name) !== value);
  const removed = [...sent.keys()].filter((name) => !received.has(name));
  return {
    headersAdded: added.length === 0 ? undefined : Object.fromEntries(added),
    headersRemoved: removed.length === 0 ? undefined : removed,
  };
}

function apply(headers: Map<string, string>, { remove, set, add }: HeaderOps): void {
  for (const name of remove) headers.delete(name);
  for (const [name, value] of set) headers.set(name, value);
  for (const [name, value] of add) {
    const present = headers.get(name);
    headers.set(name, present === undefined ? value : `${present},${value}`);
  }
}
