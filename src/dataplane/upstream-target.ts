import type { SecureContext } from "node:tls";
import type { UpstreamAlpn } from "./tls-contexts.ts";

/** The proxy's own TLS towards a server. */
export type UpstreamTls =
  | {
      /** SPIFFE mutual TLS. */
      readonly kind: "mesh";
      readonly sni: string | undefined;
      /** Identities that may run the service; undefined = any of the mesh's (only where Istio checks none). */
      readonly sans: readonly string[] | undefined;
      readonly alpn: UpstreamAlpn;
    }
  | {
      /** TLS to a server outside, verified against the context's roots. */
      readonly kind: "external";
      readonly sni: string | undefined;
      /** Names of which the certificate must carry one; undefined = the SNI. */
      readonly sans: readonly string[] | undefined;
      readonly context: SecureContext;
      /** Which context it is: connections under others' certificates are not interchangeable. */
      readonly contextId: string;
      readonly alpn: UpstreamAlpn;
    };

/** One address to connect to, and how. */
export interface UpstreamTarget {
  /** IP literal. */
  readonly host: string;
  readonly port: number;
  /** Our end, where it must be the pod's own address. */
  readonly localAddress: string | undefined;
  readonly tls: UpstreamTls | undefined;
  readonly protocol: "http1" | "http2" | "tcp";
  /** `outbound|80||payroll.finance.svc.cluster.local`, for the flow log. */
  readonly cluster: string | undefined;
  /** Connections of equal key are interchangeable. */
  readonly poolKey: string;
}

/** Makes a target, and its key from everything that sets a connection apart. */
export function upstreamTarget(fields: Omit<UpstreamTarget, "poolKey">): UpstreamTarget {
  const { host, port, tls, protocol } = fields;
  const secured =
    tls === undefined ? "" : `|${tls.kind}|${tls.sni ?? ""}|${tls.sans?.join(",") ?? "*"}|${contextId(tls)}`;
  return { ...fields, poolKey: `${host}:${port}|${protocol}${secured}` };
}

function contextId(tls: UpstreamTls): string {
  return tls.kind === "external" ? tls.contextId : "";
}
