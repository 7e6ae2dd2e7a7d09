/** The question: who asks whom for what. The format of request files, see docs/can.md. */
import type { AuthorizerAnswer } from "../connection.ts";
import type { Claims } from "../jwt/jwt-result.ts";

export type AccessProtocol = "http" | "grpc" | "tcp" | "tls";

/** Who asks. */
export interface AccessSource {
  /** `namespace/name`: its identity and address, and its proxy, where nothing below says otherwise. */
  readonly workload?: string;
  /**
   * Identity of the client certificate without `spiffe://`; null: none, so plaintext. `dns:NAME`: a certificate with that DNS
   * name only. Given beside `workload` it says that the request comes past the workload's own proxy.
   */
  readonly principal?: string | null;
  /** Source address of the connection. */
  readonly ip?: string;
  /** `simple`: TLS without a client certificate. `rogue`: with one of a CA that the mesh does not trust. */
  readonly tls?: "simple" | "rogue";
  /** ALPN list of the client's TLS. */
  readonly alpn?: readonly string[];
}

/** Who is asked: exactly one of `workload`, `service` and `host`. */
export interface AccessDestination {
  /** `namespace/name`: the server's side alone. `port` is the container's. */
  readonly workload?: string;
  /** A service of the mesh as the client names it: the whole path. */
  readonly service?: string;
  /** Any host: the whole path. */
  readonly host?: string;
  readonly port: number;
  /** Where the client's DNS led it; needed only where an address decides. */
  readonly ip?: string;
}

export interface AccessRequest {
  readonly id?: string;
  readonly from?: AccessSource;
  readonly to: AccessDestination;
  /** `namespace/name` of a gateway by which the request comes in from outside; `to.port` is then a port of its Service. */
  readonly via?: string;
  /** `http` by default: HTTP/1.1. `tls`: the client's own TLS, opaque to the mesh but for its server name. */
  readonly protocol?: AccessProtocol;
  readonly method?: string;
  /** With the query, byte for byte as sent. */
  readonly path?: string;
  /** The Host header; `authority` is another name for it. */
  readonly host?: string;
  readonly authority?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Server name of the client's TLS. */
  readonly sni?: string;
  /** A compact token, sent as `Authorization: Bearer` and verified; or claims that are taken as verified. */
  readonly jwt?: string | { readonly claims: Claims };
  /** What the external authorizer answers, where a CUSTOM policy has one asked. */
  readonly extAuthz?: AuthorizerAnswer;
}
