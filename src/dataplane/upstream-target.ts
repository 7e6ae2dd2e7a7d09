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

/** Where HBONE is served: ztunnels, waypoints and sidecars that take it. */
export const HBONE_PORT = 15008;

/** HTTP/2 CONNECT over the mesh's TLS, through which a target is reached. */
export interface UpstreamTunnel {
  /** IP literal: of the pod or the waypoint. */
  readonly host: string;
  /** {@link HBONE_PORT}. */
  readonly port: number;
  /** Where it is to lead, as the far end is asked for it: address and port (`hboneAuthority`). */
  readonly authority: string;
  /** Identities that may serve it, with `spiffe://`; undefined = any of the mesh's (only where Istio checks none). */
  readonly sans: readonly string[] | undefined;
  /** To be sent with the CONNECT: lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** One address to connect to, and how. */
export interface UpstreamTarget {
  /** IP literal. */
  readonly host: string;
  readonly port: number;
  /** Our end, where it must be the pod's own address. */
  readonly localAddress: string | undefined;
  readonly tls: UpstreamTls | undefined;
  readonly protocol: "http1" | "http2" | "tcp";
  /** What it is reached through: then `host` and `port` are for records alone, and `tls` is spoken inside. */
  readonly tunnel?: UpstreamTunnel;
  /** `outbound|80||payroll.finance.svc.cluster.local`, for the flow log. */
  readonly cluster: string | undefined;
  /** Connections of equal key are interchangeable. */
  readonly poolKey: string;
}

/** Makes a target, and its key from everything that sets a connection apart. */
export function upstreamTarget(fields: Omit<UpstreamTarget, "poolKey">): UpstreamTarget {
  const { host, port, tls, protocol, tunnel } = fields;
  const secured =
    tls === undefined ? "" : `|${tls.kind}|${tls.sni ?? ""}|${tls.sans?.join(",") ?? "*"}|${contextId(tls)}`;
  const through = tunnel === undefined ? "" : `|via ${tunnelKey(tunnel)}`;
  return { ...fields, poolKey: `${host}:${port}|${protocol}${secured}${through}` };
}

/** Made for each request: written out by hand. */
function tunnelKey({ host, port, authority, sans, headers }: UpstreamTunnel): string {
  const said = headers === undefined ? "" : JSON.stringify(headers);
  return `${host}:${port}|${authority}|${sans?.join(",") ?? "*"}|${said}`;
}

function contextId(tls: UpstreamTls): string {
  return tls.kind === "external" ? tls.contextId : "";
}
