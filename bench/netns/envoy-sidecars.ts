/** Envoy as both sidecars of a captured connection: what istiod has it do, as far as ours does the same. */
import {
  cluster,
  downstreamTls,
  HTTP2_UPSTREAM,
  httpFilter,
  TYPES,
  tcpFilters,
} from "../dataplane/envoy-bootstrap.ts";
import type { IdentityFiles } from "../dataplane/subject.ts";

/** Other ports than ours, so that both stand ready in one pod and the capture rules say who has the traffic. */
export const ENVOY_OUTBOUND_PORT = 25_001;
export const ENVOY_INBOUND_PORT = 25_006;

/** Each kind of upstream by its container's port. */
export const KINDS = { http1: 8080, http2: 8081, tcp: 9000 } as const;
type Kind = keyof typeof KINDS;

/** A pod that serves some kinds. */
export interface Server {
  readonly address: string;
  readonly spiffeId: string;
  readonly kinds: readonly Kind[];
}

/** The client's side: by the port that was dialled to the server, with mutual TLS and its identity expected. */
export function clientBootstrap(client: IdentityFiles, servers: readonly Server[]): object {
  const kinds = servers.flatMap((server) => server.kinds.map((kind) => ({ kind, server })));
  return {
    static_resources: {
      listeners: [
        listener(
          ENVOY_OUTBOUND_PORT,
          kinds.map(({ kind }) => ({ ...byPort(kind), filters: outboundFilters(kind) })),
        ),
      ],
      clusters: kinds.map(({ kind, server }) => ({
        ...upstream(kind, server.address),
        transport_socket: upstreamTls(kind, client, server),
      })),
    },
  };
}

/** The server's side: mutual TLS ended, the policy's rule asked, on to the application from 127.0.0.6. */
export function serverBootstrap(identity: IdentityFiles, { address, kinds }: Server): object {
  return {
    static_resources: {
      listeners: [
        listener(
          ENVOY_INBOUND_PORT,
          kinds.map((kind) => ({
            ...byPort(kind),
            transport_socket: downstreamTls(identity),
            filters: kind === "tcp" ? tcpFilters({}) : [httpFilter(kind, {})],
          })),
        ),
      ],
      clusters: kinds.map((kind) => ({
        ...upstream(kind, address),
        upstream_bind_config: { source_address: { address: "127.0.0.6", port_value: 0 } },
      })),
    },
  };
}

/** Captured connections: where they were going is asked of the kernel. */
function listener(port: number, filterChains: readonly object[]): object {
  return {
    name: "captured",
    address: { socket_address: { address: "0.0.0.0", port_value: port } },
    listener_filters: [
      {
        name: "original_dst",
        typed_config: { "@type": `${TYPES}.extensions.filters.listener.original_dst.v3.OriginalDst` },
      },
    ],
    filter_chains: filterChains,
  };
}

function byPort(kind: Kind): object {
  return { filter_chain_match: { destination_port: KINDS[kind] } };
}

function outboundFilters(kind: Kind): readonly object[] {
  if (kind === "tcp") return tcpFilters({}).slice(1);
  const { typed_config, ...filter } = httpFilter(kind, {}) as { typed_config: { http_filters: object[] } };
  const http_filters = typed_config.http_filters.slice(1);
  return [{ ...filter, typed_config: { ...typed_config, ...SANITIZED, http_filters } }];
}

/** What a client says of certificates ends here. */
const SANITIZED = { forward_client_cert_details: "SANITIZE", set_current_client_cert_details: {} };

function upstream(kind: Kind, host: string): object {
  return {
    ...cluster(kind, { host, port: KINDS[kind] }),
    ...(kind === "http2" ? HTTP2_UPSTREAM : {}),
  };
}

const ALPN: Readonly<Record<Kind, string>> = { http1: "http/1.1", http2: "h2", tcp: "istio" };

function upstreamTls(kind: Kind, { cert, key, trustBundle }: IdentityFiles, { spiffeId }: Server): object {
  return {
    name: "tls",
    typed_config: {
      "@type": `${TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
      common_tls_context: {
        alpn_protocols: [ALPN[kind]],
        tls_params: {
          tls_minimum_protocol_version: "TLSv1_3",
          tls_maximum_protocol_version: "TLSv1_3",
          ecdh_curves: ["X25519MLKEM768", "X25519", "P-256"],
        },
        tls_certificates: [{ certificate_chain: { filename: cert }, private_key: { filename: key } }],
        validation_context: {
          trusted_ca: { filename: trustBundle },
          match_typed_subject_alt_names: [{ san_type: "URI", matcher: { exact: spiffeId } }],
        },
      },
    },
  };
}
