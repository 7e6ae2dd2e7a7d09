/** What the configuration promises, asked of the same compiled policy that the proxies decide by. */
import { Connection, type TlsKind } from "../policy/connection.ts";
import { HttpRequest, requestRefusal } from "../policy/http-request.ts";
import { decideConnection, decideRequest, type InboundPolicy } from "../policy/inbound.ts";
import type { Verdict } from "../policy/verdict.ts";

export interface AskedConnection {
  readonly tls: TlsKind;
  /** Without `spiffe://`. */
  readonly principal: string | null;
  readonly sourceIp: string;
  readonly port: number;
  readonly sni?: string;
}

export interface AskedRequest {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly headers?: readonly string[];
}

export function connectionOf({ tls, principal, sourceIp, port, sni }: AskedConnection): Connection {
  return new Connection({
    tls,
    principal,
    sourceIp,
    destinationIp: "127.0.0.1",
    destinationPort: port,
    sni,
    alpn: tls === "mtls" ? ["istio-http/1.1"] : [],
  });
}

/** The verdict on a request, transport first. A workload that wants a token refuses one that has none. */
export function decideHttp(policy: InboundPolicy, asked: AskedConnection, request: AskedRequest): Verdict {
  const connection = connectionOf(asked);
  const onConnection = decideConnection(policy, connection);
  if (!onConnection.allowed || onConnection.cause !== "per-request") return onConnection;
  const { method, path, host, headers = [] } = request;
  const read = HttpRequest.read(policy.pathNormalization, method, path, host, headers);
  if (read === null) return requestRefusal(method, path);
  // No attack sends a token; one that is required is missed by the rules that want it.
  if (policy.jwt !== null) read.jwt = policy.jwt.noToken;
  return decideRequest(policy, connection, read);
}

/** `refused: AuthorizationPolicy ns/x rule 0 (deny-matched)` */
export function verdictWords({ allowed, policy, rule, layer, cause }: Verdict): string {
  const by = policy === null ? "" : ` by ${policy}${rule === null ? "" : ` rule ${rule}`}`;
  return `${allowed ? "allowed" : "refused"}${by} (${layer}: ${cause})`;
}
