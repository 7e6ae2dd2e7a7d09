/** The servers of a case's gateway as Envoy's listeners. Everything goes to one cluster: routes are not what is compared here. */
import { accessLog } from "../../src/control/envoy/access-log.ts";
import type { IdentityFiles } from "../../src/control/envoy/downstream-tls.ts";
import { type EnvoyObject, extension } from "../../src/control/envoy/envoy-object.ts";
import { extAuthzFilters } from "../../src/control/envoy/ext-authz-filters.ts";
import { httpConnectionManager } from "../../src/control/envoy/http-connection-manager.ts";
import { rbacFilters } from "../../src/control/envoy/rbac-filters.ts";
import type { Mesh, Workload } from "../../src/model/mesh.ts";

export interface GatewayListenerOptions {
  readonly name: string;
  readonly address: string;
  readonly identity: IdentityFiles;
  readonly cluster: string;
  readonly accessLog: string;
}

interface Server {
  readonly port: number;
  readonly protocol: "http" | "tcp";
  readonly tls: "ISTIO_MUTUAL" | "SIMPLE" | null;
}

const SERVERS: readonly Server[] = [
  { port: 8080, protocol: "http", tls: null },
  { port: 9000, protocol: "tcp", tls: null },
  { port: 7000, protocol: "http", tls: "ISTIO_MUTUAL" },
  { port: 9999, protocol: "http", tls: "SIMPLE" },
];

export function gatewayListeners(
  mesh: Mesh,
  workload: Workload,
  options: GatewayListenerOptions,
): EnvoyObject[] {
  return SERVERS.map((server) => ({
    name: `${options.name}_${server.port}`,
    address: { socket_address: { address: options.address, port_value: server.port } },
    traffic_direction: "OUTBOUND",
    ...(server.tls === null ? {} : { listener_filters: [TLS_INSPECTOR] }),
    filter_chains: [
      {
        filters: server.protocol === "http" ? [http(mesh, workload, options)] : tcp(mesh, workload, options),
        ...(server.tls === null ? {} : { transport_socket: tlsOf(server.tls, options.identity) }),
      },
    ],
    access_log: [accessLog(options.accessLog, "connection")],
  }));
}

const TLS_INSPECTOR = extension(
  "envoy.filters.listener.tls_inspector",
  "extensions.filters.listener.tls_inspector.v3.TlsInspector",
);

function http(mesh: Mesh, workload: Workload, options: GatewayListenerOptions): EnvoyObject {
  const { accessLog, cluster } = options;
  const edge = { trustedProxies: trustedProxies(mesh, workload) };
  return httpConnectionManager(mesh, workload, { cluster, accessLog, edge });
}

/** The pod's own word counts before MeshConfig's. */
function trustedProxies(mesh: Mesh, { annotations }: Workload): number {
  const own = JSON.parse(annotations["proxy.istio.io/config"] ?? "{}") as {
    gatewayTopology?: { numTrustedProxies?: number };
  };
  return own.gatewayTopology?.numTrustedProxies ?? mesh.config.numTrustedProxies;
}

function tcp(mesh: Mesh, workload: Workload, { cluster }: GatewayListenerOptions): EnvoyObject[] {
  const type = "extensions.filters.network.tcp_proxy.v3.TcpProxy";
  return [
    ...extAuthzFilters(mesh, workload, "network"),
    ...rbacFilters(mesh, workload, "network", true),
    extension("envoy.filters.network.tcp_proxy", type, { stat_prefix: cluster, cluster }),
  ];
}

/** As istiod has it for gateways: of ISTIO_MUTUAL any certificate of the mesh's roots, whatever trust domain it names. */
function tlsOf(mode: "ISTIO_MUTUAL" | "SIMPLE", identity: IdentityFiles): EnvoyObject {
  const mutual = mode === "ISTIO_MUTUAL";
  return extension(
    "envoy.transport_sockets.tls",
    "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    {
      require_client_certificate: mutual,
      common_tls_context: {
        alpn_protocols: ["h2", "http/1.1"],
        tls_certificates: [
          {
            certificate_chain: { filename: identity.certificateChain },
            private_key: { filename: identity.privateKey },
          },
        ],
        ...(mutual ? { validation_context: { trusted_ca: { filename: identity.trustBundle } } } : {}),
      },
    },
  );
}
