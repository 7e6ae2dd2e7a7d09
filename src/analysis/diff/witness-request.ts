/**
 * A request of the space as `can` takes it, and a running mesh could be sent it. Methods that HTTP/1.1 does
 * not know come by HTTP/2, which requests call `grpc`.
 */
import { isHttp1Method } from "../../policy/http-request.ts";
import type { JwtLocations } from "../../policy/jwt/jwt-policy.ts";
import type { AccessRequest } from "../../policy/path/access-request.ts";
import type { Dimension } from "../space/dimension.ts";
import type { SampleRequest } from "../space/request-space.ts";

/**
 * @param workload `namespace/name` of the server.
 * @param sender `namespace/name` of the workload that sends it, where that makes a difference.
 */
export function witnessRequest(
  dimensions: readonly Dimension[],
  sample: SampleRequest,
  workload: string,
  sender?: string,
): AccessRequest {
  const { protocol, port, principal, sourceIp, remoteIp, sni, headers, claims } = sample;
  const bad = sample.unverified === undefined ? {} : badToken(sample.unverified);
  const isHttp = protocol === "http";
  const spoken = isHttp && !isHttp1Method(sample.method) ? "grpc" : protocol;
  const asks = (id: string): boolean => dimensions.some((dimension) => dimension.id === id);
  const pairs = Array.from({ length: headers.length / 2 }, (_, at) => {
    return [headers[2 * at] ?? "", headers[2 * at + 1] ?? ""] as const;
  });
  const forwarded = remoteIp === null ? [] : ([["x-forwarded-for", remoteIp]] as const);
  const allHeaders = [...pairs, ...forwarded, ...(bad.headers ?? [])];
  return {
    from: {
      ...(sender === undefined ? {} : { workload: sender }),
      principal,
      ...(asks("source.ip") ? { ip: sourceIp } : {}),
      ...(principal === null && sni !== "" ? { tls: "simple" as const } : {}),
      ...(principal === null ? {} : { alpn: ALPN[spoken] }),
    },
    to: { workload, port },
    protocol: spoken,
    ...(asks("sni") && (principal !== null || sni !== "") ? { sni } : {}),
    ...(isHttp ? { method: sample.method, path: `${sample.path}${bad.query ?? ""}`, host: sample.host } : {}),
    ...(isHttp && allHeaders.length > 0 ? { headers: allHeaders } : {}),
    ...(isHttp && claims !== null ? { jwt: { claims } } : {}),
    ...(isHttp && bad.jwt !== undefined ? { jwt: bad.jwt } : {}),
  };
}

/** Three parts, and none of them is what a token's is: no key is needed to refuse it. */
const BAD_TOKEN = "not.a.token";

interface PlacedToken {
  readonly jwt?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly query?: string;
}

/** Where who verifies looks first. */
function badToken({ headers, params, cookies }: JwtLocations): PlacedToken {
  const [header] = headers;
  if (header?.name === "authorization" && header.prefix === "Bearer ") return { jwt: BAD_TOKEN };
  if (header !== undefined) return { headers: [[header.name, `${header.prefix}${BAD_TOKEN}`]] };
  const [param] = params;
  if (param !== undefined) return { query: `?${encodeURIComponent(param)}=${BAD_TOKEN}` };
  return { headers: cookies.slice(0, 1).map((name) => ["cookie", `${name}=${BAD_TOKEN}`] as const) };
}

/** As the client's own proxy offers them: a server answers HTTP/2 only where it was agreed on. */
const ALPN = {
  http: ["istio-http/1.1", "istio"],
  grpc: ["istio-h2", "istio"],
  tcp: ["istio"],
} as const;
