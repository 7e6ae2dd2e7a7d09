/** The server's side: sidecars and gateways (the format is in the corpus' README). */
import { findWorkload } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { Connection, type TlsKind } from "../../src/policy/connection.ts";
import { HttpRequest, requestRefusal } from "../../src/policy/http-request.ts";
import {
  chainOf,
  compileInbound,
  decideConnection,
  decideRequest,
  type InboundPolicy,
  type Semantics,
} from "../../src/policy/inbound.ts";
import { verifyRequestJwt } from "../../src/policy/jwt/verify-jwt.ts";
import type { Verdict } from "../../src/policy/verdict.ts";
import { loadCase } from "./load-case.ts";
import type { CorpusDecision, CorpusRunner } from "./runner.ts";

export interface RecordedRequest {
  readonly id: string;
  readonly from: {
    readonly principal: string | null;
    readonly ip: string;
    readonly tls?: "simple" | "rogue";
    readonly alpn?: readonly string[];
  };
  readonly to: { readonly workload: string; readonly port: number };
  readonly protocol?: "http" | "tcp";
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly sni?: string;
  readonly jwt?: string;
}

export interface RecordedDecision {
  readonly id: string;
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly details?: string;
  readonly upstreamPath?: string;
  readonly upstreamHost?: string;
}

export const HTTP_ALPN = ["istio-http/1.1", "istio", "http/1.1"];
export const TCP_ALPN = ["istio-peer-exchange", "istio"];

export const inboundRunner: CorpusRunner = {
  corpus: "corpus",
  runCase: async (folder) => {
    const { mesh, requests, decisions } = await loadCase<RecordedRequest, RecordedDecision>(folder);
    const compiled = new Map<string, InboundPolicy>();
    const compare = async (request: RecordedRequest, index: number): Promise<CorpusDecision> => {
      const { workload } = request.to;
      const policy = compiled.get(workload) ?? compile(mesh, workload, "istio");
      compiled.set(workload, policy);
      const recorded = decisions[index];
      if (recorded?.id !== request.id)
        throw new Error(`${folder}: decisions are not in the order of requests`);
      const expected = expectedOf(recorded);
      return { id: request.id, expected, actual: actualOf(await decideRecorded(policy, request), expected) };
    };
    return Promise.all(requests.map(compare));
  },
};

export function compile(mesh: Mesh, key: string, semantics: Semantics): InboundPolicy {
  const workload = findWorkload(mesh, key);
  if (workload === undefined) throw new Error(`no workload ${key}`);
  return compileInbound(mesh, workload, { semantics });
}

/** What we decide of a recorded request, and what the application would get. */
export interface Decided {
  readonly verdict: Verdict;
  readonly code: number;
  readonly upstreamPath: string | undefined;
  readonly upstreamHost: string | undefined;
}

export async function decideRecorded(policy: InboundPolicy, recorded: RecordedRequest): Promise<Decided> {
  const connection = connectionOf(policy, recorded);
  const chain = chainOf(policy, connection);
  const verdict = decideConnection(policy, connection);
  const http = (recorded.protocol ?? "http") === "http";
  if (!verdict.allowed || chain.protocol === "tcp") {
    // Behind a TCP chain the application itself answers HTTP, unless it is given TLS.
    const code = verdict.allowed && http && chain.tls !== "pass" ? 200 : verdict.code;
    return { verdict, code, upstreamPath: undefined, upstreamHost: undefined };
  }
  const { method = "GET", path = "/" } = recorded;
  const request = http ? requestOf(policy, recorded) : null;
  if (request === null) {
    const refusal = requestRefusal(method, path);
    return { verdict: refusal, code: refusal.code, upstreamPath: undefined, upstreamHost: undefined };
  }
  if (policy.jwt !== null) {
    const environment = { fetchJwks: noFetch, nowSeconds: () => Date.now() / 1000 };
    request.jwt = await verifyRequestJwt(policy.jwt, request, environment);
  }
  const decided = decideRequest(policy, connection, request);
  return {
    verdict: decided,
    code: decided.code,
    upstreamPath: request.path,
    upstreamHost: request.authority,
  };
}

function noFetch({ url }: { url: string }): Promise<string> {
  return Promise.reject(new Error(`the corpus has no ${url}`));
}

export function connectionOf(policy: InboundPolicy, recorded: RecordedRequest): Connection {
  const { from, to, sni } = recorded;
  const http = (recorded.protocol ?? "http") === "http";
  const tls: TlsKind = from.tls ?? (from.principal === null ? "plaintext" : "mtls");
  const mesh = tls === "mtls" || tls === "rogue";
  return new Connection({
    tls,
    principal: from.principal,
    sourceIp: from.ip,
    destinationIp: policy.workload.addresses[0] ?? "",
    destinationPort: to.port,
    sni,
    alpn: from.alpn ?? (mesh ? (http ? HTTP_ALPN : TCP_ALPN) : []),
    speaksHttp: http,
  });
}

export function requestOf(policy: InboundPolicy, recorded: RecordedRequest): HttpRequest | null {
  const { method = "GET", path = "/", host = "app", jwt } = recorded;
  const headers = (recorded.headers ?? []).flatMap(([name, value]) => [name.toLowerCase(), value.trim()]);
  if (jwt !== undefined) headers.push("authorization", `Bearer ${jwt}`);
  return HttpRequest.read(policy.pathNormalization, method, path, host, headers);
}

function expectedOf(recorded: RecordedDecision): Record<string, unknown> {
  const { allowed, code, reason, details = "", upstreamPath, upstreamHost } = recorded;
  const rule = /ns\[(.+?)\]-policy\[(.+?)\]-rule\[(\d+)\]/.exec(details);
  return {
    allowed,
    code,
    reason,
    ...(details.startsWith("rbac_access_denied")
      ? {
          policy: rule === null ? null : `AuthorizationPolicy ${rule[1]}/${rule[2]}`,
          rule: rule === null ? null : Number(rule[3]),
        }
      : {}),
    ...(upstreamPath === undefined ? {} : { upstreamPath }),
    ...(upstreamHost === undefined ? {} : { upstreamHost }),
  };
}

function actualOf(decided: Decided, expected: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { verdict, code, upstreamPath, upstreamHost } = decided;
  const { allowed, reason, policy, rule } = verdict;
  const all: Record<string, unknown> = { allowed, code, reason, policy, rule, upstreamPath, upstreamHost };
  return Object.fromEntries(Object.keys(expected).map((name) => [name, all[name]]));
}
