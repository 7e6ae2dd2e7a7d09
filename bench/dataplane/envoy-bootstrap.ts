import type { IdentityFiles } from "./subject.ts";

export type EnvoyPorts = Readonly<Record<"http1" | "http2" | "tcp", number>>;
export type EnvoyUpstreams = Readonly<
  Record<"http1" | "http2" | "tcp", { readonly host: string; readonly port: number }>
>;

const CLIENT = "spiffe://cluster.local/ns/bench/sa/client";
export const TYPES = "type.googleapis.com/envoy";

/** What ours logs of each request, as far as Envoy knows it. */
const LOG_FIELDS = {
  time: "%START_TIME%",
  connectionId: "%CONNECTION_ID%",
  sourceIp: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
  sourcePort: "%DOWNSTREAM_REMOTE_PORT%",
  principal: "%DOWNSTREAM_PEER_URI_SAN%",
  peerSerial: "%DOWNSTREAM_PEER_SERIAL%",
  tlsVersion: "%DOWNSTREAM_TLS_VERSION%",
  tlsCipher: "%DOWNSTREAM_TLS_CIPHER%",
  destination: "%DOWNSTREAM_LOCAL_ADDRESS%",
  host: "%REQ(:AUTHORITY)%",
  protocol: "%PROTOCOL%",
  method: "%REQ(:METHOD)%",
  path: "%REQ(:PATH)%",
  status: "%RESPONSE_CODE%",
  reason: "%RESPONSE_CODE_DETAILS%",
  bytesSent: "%BYTES_RECEIVED%",
  bytesReceived: "%BYTES_SENT%",
  durationMs: "%DURATION%",
  requestId: "%REQ(X-REQUEST-ID)%",
  upstream: "%UPSTREAM_HOST%",
  upstreamLocal: "%UPSTREAM_LOCAL_ADDRESS%",
};

/** The sidecar's job as Envoy's configuration: mutual TLS 1.3, one RBAC rule, XFCC, on to a plaintext server. */
export function envoyBootstrap(
  ports: EnvoyPorts,
  upstreams: EnvoyUpstreams,
  server: IdentityFiles,
  accessLog: string | undefined,
): object {
  const log = accessLog === undefined ? {} : { access_log: [fileLog(accessLog)] };
  return {
    static_resources: {
      listeners: [
        listener("http1", ports.http1, server, httpFilter("http1", log)),
        listener("http2", ports.http2, server, httpFilter("http2", log)),
        listener("tcp", ports.tcp, server, ...tcpFilters(log)),
      ],
      clusters: [
        cluster("http1", upstreams.http1),
        { ...cluster("http2", upstreams.http2), ...HTTP2_UPSTREAM },
        cluster("tcp", upstreams.tcp),
      ],
    },
  };
}

function listener(name: string, port: number, server: IdentityFiles, ...filters: object[]): object {
  return {
    name,
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [{ transport_socket: downstreamTls(server), filters }],
  };
}

/** Mutual TLS 1.3 with identities of the mesh alone. */
export function downstreamTls({ cert, key, trustBundle }: IdentityFiles): object {
  return {
    name: "tls",
    typed_config: {
      "@type": `${TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
      require_client_certificate: true,
      common_tls_context: {
        alpn_protocols: ["istio", "h2", "http/1.1"],
        tls_params: {
          tls_minimum_protocol_version: "TLSv1_3",
          tls_maximum_protocol_version: "TLSv1_3",
          ecdh_curves: ["X25519MLKEM768", "X25519", "P-256"],
        },
        tls_certificates: [{ certificate_chain: { filename: cert }, private_key: { filename: key } }],
        validation_context: {
          trusted_ca: { filename: trustBundle },
          match_typed_subject_alt_names: [
            { san_type: "URI", matcher: { prefix: "spiffe://cluster.local/" } },
          ],
        },
      },
    },
  };
}

export function httpFilter(clusterName: string, log: object): object {
  return {
    name: "http",
    typed_config: {
      "@type": `${TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: clusterName,
      codec_type: "AUTO",
      forward_client_cert_details: "APPEND_FORWARD",
      set_current_client_cert_details: { subject: true, uri: true },
      http_filters: [
        rbac("http", { header: { name: ":method", string_match: { exact: "GET" } } }),
        { name: "router", typed_config: { "@type": `${TYPES}.extensions.filters.http.router.v3.Router` } },
      ],
      route_config: {
        virtual_hosts: [
          {
            name: "all",
            domains: ["*"],
            routes: [{ match: { prefix: "/" }, route: { cluster: clusterName, timeout: "0s" } }],
          },
        ],
      },
      ...log,
    },
  };
}

export function tcpFilters(log: object): object[] {
  return [
    rbac("network", { any: true }),
    {
      name: "tcp",
      typed_config: {
        "@type": `${TYPES}.extensions.filters.network.tcp_proxy.v3.TcpProxy`,
        stat_prefix: "tcp",
        cluster: "tcp",
        ...log,
      },
    },
  ];
}

function rbac(layer: "http" | "network", permission: object): object {
  return {
    name: "rbac",
    typed_config: {
      "@type": `${TYPES}.extensions.filters.${layer}.rbac.v3.RBAC`,
      ...(layer === "network" ? { stat_prefix: "rbac" } : {}),
      rules: {
        action: "ALLOW",
        policies: {
          client: {
            permissions: [permission],
            principals: [{ authenticated: { principal_name: { exact: CLIENT } } }],
          },
        },
      },
    },
  };
}

function fileLog(path: string): object {
  return {
    name: "file",
    typed_config: {
      "@type": `${TYPES}.extensions.access_loggers.file.v3.FileAccessLog`,
      path,
      log_format: { json_format: LOG_FIELDS },
    },
  };
}

export function cluster(
  name: string,
  { host, port }: { readonly host: string; readonly port: number },
): object {
  return {
    name,
    type: "STATIC",
    connect_timeout: "5s",
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: [{ endpoint: { address: { socket_address: { address: host, port_value: port } } } }],
        },
      ],
    },
  };
}

export const HTTP2_UPSTREAM = {
  typed_extension_protocol_options: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": `${TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};
