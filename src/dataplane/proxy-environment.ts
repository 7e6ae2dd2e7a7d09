import type { Socket } from "node:net";
import type { Mesh, Workload } from "../model/mesh.ts";
import type { Placement, PodPlacement } from "../model/placement.ts";
import type { JwtEnvironment } from "../policy/jwt/verify-jwt.ts";
import type { TrustDomains, UpstreamSettings } from "./connect-upstream.ts";
import type { HttpCalls } from "./ext-authz/http-call.ts";
import type { ExternalContexts } from "./external-contexts.ts";
import type { HttpEnvironment } from "./http-environment.ts";
import type { Http2Upstreams } from "./http2-upstreams.ts";
import type { Resolver } from "./resolver.ts";
import type { RevocationGuard } from "./revocation-guard.ts";
import type { TlsContexts } from "./tls-contexts.ts";
import type { Tunnel } from "./tunnel.ts";

/** What the mesh looks like at present to one proxy: replaced whole when the configuration changes. */
export interface Snapshot {
  readonly mesh: Mesh;
  readonly placement: Placement;
  readonly workload: Workload;
  /** Workload by pod address, for records. */
  readonly workloadByAddress: ReadonlyMap<string, string>;
  readonly resolver: Resolver;
}

/** What relaying the bytes of connections takes. */
export interface RelayEnvironment {
  readonly http: Pick<HttpEnvironment, "deadlines" | "limits" | "flows" | "counters">;
  readonly upstream: UpstreamSettings;
  /** Live tunnels: asked again when policy changes. */
  readonly tunnels: Set<Tunnel>;
}

/** What ending the mesh's TLS takes. */
export interface TlsEnvironment {
  readonly http: Pick<HttpEnvironment, "limits">;
  readonly revocations: RevocationGuard;
  /** Undefined while there is no valid certificate. */
  tls(): TlsContexts | undefined;
  trustDomains(): TrustDomains;
  /**
   * Open client connections. INVARIANT: once TLS runs on a connection it stands here by its TLS socket: destroying the
   * socket under a TLS socket from one of its callbacks crashes Node (seen with 26.10).
   */
  readonly sockets: Set<Socket>;
}

/** What all listeners of one proxy share. */
export interface ProxyEnvironment extends RelayEnvironment, TlsEnvironment {
  readonly pod: PodPlacement;
  readonly http: HttpEnvironment;
  readonly http2: Http2Upstreams;
  /** To external authorizers. */
  readonly httpCalls: HttpCalls;
  /** How keys for tokens are had. */
  readonly jwt: JwtEnvironment;
  readonly external: ExternalContexts;
}
