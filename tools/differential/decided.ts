/** The product's own answer, from the compiled policy. */
import type { Workload } from "../../src/model/mesh.ts";
import { Connection } from "../../src/policy/connection.ts";
import { HttpRequest, requestRefusal } from "../../src/policy/http-request.ts";
import { chainOf, decideConnection, decideRequest, type InboundPolicy } from "../../src/policy/inbound.ts";
import { verifyRequestJwt } from "../../src/policy/jwt/verify-jwt.ts";
import type { Verdict } from "../../src/policy/verdict.ts";
import type { ConnectionSpec } from "./differential-case.ts";
import type { SentRequest } from "./materialize.ts";
import { forwardedAs, type Outcome } from "./outcome.ts";

export function connectionOf(spec: ConnectionSpec, workload: Workload): Connection {
  const hasCertificate = spec.tls === "mtls" || spec.tls === "rogue";
  return new Connection({
    tls: spec.tls,
    principal: hasCertificate ? spec.principal : null,
    sourceIp: spec.sourceIp,
    destinationIp: workload.addresses[0] ?? "",
    destinationPort: spec.port,
    sni: spec.tls === "plaintext" ? "" : spec.sni,
    alpn: spec.tls === "plaintext" ? [] : spec.alpn,
    speaksHttp: spec.http,
  });
}

/** One outcome for each request sent; one for a connection that speaks no HTTP. */
export async function decidedOutcomes(
  policy: InboundPolicy,
  spec: ConnectionSpec,
  requests: readonly SentRequest[],
): Promise<Outcome[]> {
  const connection = connectionOf(spec, policy.workload);
  const verdict = decideConnection(policy, connection);
  const isHttp = chainOf(policy, connection).protocol === "http";
  if (!isHttp || !verdict.allowed) return requests.map(() => ({ ...outcomeOf(verdict), code: 0 }));
  return Promise.all(requests.map((request) => decided(policy, connection, spec, request)));
}

async function decided(
  policy: InboundPolicy,
  connection: Connection,
  spec: ConnectionSpec,
  sent: SentRequest,
): Promise<Outcome> {
  const request = spec.http ? readRequest(policy, sent) : null;
  if (request === null) return outcomeOf(requestRefusal(sent.method, sent.target));
  if (policy.jwt !== null) request.jwt = await verifyRequestJwt(policy.jwt, request, ENVIRONMENT);
  const verdict = decideRequest(policy, connection, request);
  return { ...outcomeOf(verdict), forwarded: forwardedAs(request.forwardedPath, request.authority) };
}

export function readRequest(
  policy: InboundPolicy,
  { method, target, host, headers }: SentRequest,
): HttpRequest | null {
  const flat = headers.flatMap(([name, value]) => [name.toLowerCase(), value.trim()]);
  return HttpRequest.read(policy.pathNormalization, method, target, host, flat);
}

const ENVIRONMENT = {
  fetchJwks: (): Promise<string> => Promise.reject(new Error("keys are inline here")),
  nowSeconds: (): number => Date.now() / 1000,
};

function outcomeOf({ allowed, reason, code, policy, rule }: Verdict): Outcome {
  const name = rule === null || policy === null ? null : `${policy.split(" ")[1]}#${rule}`;
  return { allowed, reason, code, rule: name, forwarded: null };
}
