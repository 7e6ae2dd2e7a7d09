/** What a server decides about one request, asked at once and without a mesh around it; and that request as `can` takes it. */
import { decideAmbient } from "../../../policy/ambient/ambient-policy.ts";
import { type CompiledRule, ruleMatches } from "../../../policy/authorization-rule.ts";
import { isHttp1Method } from "../../../policy/http-request.ts";
import {
  chainOf,
  decideConnection,
  decideRequest,
  type InboundPolicy,
  refuseTransport,
} from "../../../policy/inbound.ts";
import { isAudienceAllowed } from "../../../policy/jwt/audience.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import { connectionOf, requestOf, type SampleRequest } from "../../space/request-space.ts";
import type { ServerClass } from "./server-classes.ts";

/** The proxies' own, which nobody is served at. */
const OWN_PORTS: ReadonlySet<number> = new Set([15_001, 15_006, 15_008, 15_020, 15_021, 15_090]);

/** Whether it passes whoever is asked besides; an authorizer's answer counts as a refusal. Not for gateways. */
export function isLetThrough(server: ServerClass, sample: SampleRequest): boolean {
  // No request says which address of the server it goes to.
  if (OWN_PORTS.has(sample.port) || server.policyText.includes("destination.ip")) return false;
  if (server.isAmbient) return decideAmbient(server.ambient, connectionOf(sample)).allowed;
  const { inbound } = server;
  const connection = connectionOf(sample);
  const verdict = decideConnection(inbound, connection);
  if (!verdict.allowed || verdict.cause !== "per-request") return verdict.allowed;
  const request = requestOf(sample, inbound.pathNormalization);
  if (request === null || refusesToken(inbound, sample)) return false;
  return decideRequest(inbound, connection, request).allowed;
}

/** Whether what the request brings as a token, or that it brings none, is refused, or nobody reads it. */
function refusesToken({ jwt }: InboundPolicy, { claims }: SampleRequest): boolean {
  if (claims === null) return jwt?.rules.some(({ required }) => required) === true;
  const rule = jwt?.rules.find(({ issuer }) => issuer === "" || issuer === claims.iss);
  const audiences = Array.isArray(claims.aud) ? claims.aud.map(String) : [String(claims.aud ?? "")];
  return rule === undefined || (rule.audiences.size > 0 && !isAudienceAllowed(rule.audiences, audiences));
}

/** Whether an HTTP request meets the rule at all, whatever is decided of it. */
export function isMatched(rule: CompiledRule, { inbound }: ServerClass, sample: SampleRequest): boolean {
  const request = requestOf(sample, inbound.pathNormalization);
  return request !== null && ruleMatches(rule, connectionOf(sample), request);
}

/** Whether a sidecar takes it for an HTTP request, and has nothing against its mutual TLS. */
export function arrivesAsHttp({ inbound }: ServerClass, sample: SampleRequest): boolean {
  const connection = connectionOf(sample);
  const chain = chainOf(inbound, connection);
  return chain.protocol === "http" && refuseTransport(inbound, connection, chain) === null;
}

/** With the caller's address only where a policy asks for addresses. */
export function accessRequestOf(sample: SampleRequest, server: ServerClass): AccessRequest {
  const { protocol, port, principal, sourceIp, remoteIp, sni, headers, claims } = sample;
  const isHttp = protocol === "http";
  const pairs = headers.flatMap((name, at) => (at % 2 === 0 ? [[name, headers[at + 1] ?? ""] as const] : []));
  const asksForAddress = ADDRESSES.test(server.policyText);
  const all = remoteIp === null ? pairs : [...pairs, ["x-forwarded-for", remoteIp] as const];
  return {
    from: {
      principal,
      ...(asksForAddress ? { ip: sourceIp } : {}),
      ...(principal === null ? {} : { alpn: isHttp ? ["istio-http/1.1", "istio"] : ["istio"] }),
    },
    to: { workload: server.workload.key, port },
    protocol: isHttp && !isHttp1Method(sample.method) ? "grpc" : protocol,
    ...(sni === "" || principal === null ? {} : { sni }),
    ...(isHttp ? { method: sample.method, path: sample.path, host: sample.host } : {}),
    ...(isHttp && all.length > 0 ? { headers: all } : {}),
    ...(isHttp && claims !== null ? { jwt: { claims } } : {}),
  };
}

const ADDRESSES = /[iI]pBlocks|source\.ip|remote\.ip/;

const USUAL_ADDRESS = "192.0.2.1";

/** A request as plain as they come. */
export function plainSample(port: number, principal: string | null): SampleRequest {
  return {
    protocol: "http",
    port,
    principal,
    sourceIp: USUAL_ADDRESS,
    remoteIp: null,
    destinationIp: "192.0.2.2",
    sni: "",
    method: "GET",
    host: "x.example",
    path: "/x",
    headers: [],
    claims: null,
  };
}
