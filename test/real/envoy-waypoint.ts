/**
 * A real Envoy, put together as istiod does for a waypoint: a listener that ends HBONE, and behind it an internal one that chooses by the address and port
 * that the tunnel was asked for. Where Istio's Envoy has filters of its own (connect_authority, the peer's principal) upstream's set_filter_state stands for them.
 * @see pilot/pkg/networking/core/listener_waypoint.go of istio/istio
 */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { RUNTIME, type SocketAddress, staticCluster } from "../../src/control/envoy/bootstrap.ts";
import { downstreamTls, type IdentityFiles } from "../../src/control/envoy/downstream-tls.ts";
import { type EnvoyObject, extension } from "../../src/control/envoy/envoy-object.ts";
import { rbacRules } from "../../src/control/envoy/rbac-rules.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { envoyBinary } from "../../tools/differential/envoy-process.ts";

const HCM = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER = extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router");
const PRINCIPAL = "io.istio.peer_principal";

export interface EnvoyWaypointOptions {
  readonly mesh: Mesh;
  /** Whose ports it has chains for: HTTP on 80, bytes on 9000, either on 90. */
  readonly serviceAddress: string;
  /** Where it listens, on 15008. */
  readonly address: string;
  readonly identity: IdentityFiles;
  readonly application: { readonly http: SocketAddress; readonly tcp: SocketAddress };
  readonly folder: string;
}

/** Resolves once it listens. */
export async function startEnvoyWaypoint(options: EnvoyWaypointOptions): Promise<ChildProcess> {
  const config = join(options.folder, "envoy.json");
  writeFileSync(config, JSON.stringify(bootstrapOf(options)));
  const child = spawn(
    envoyBinary(),
    [..."--concurrency 1 --disable-hot-restart --log-level error".split(" "), "-c", config],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let errors = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-4000);
  });
  process.once("exit", () => child.kill("SIGKILL"));
  const untilMs = performance.now() + 60_000;
  while (!(await listens(options.address))) {
    if (child.exitCode !== null || performance.now() > untilMs) throw new Error(`no Envoy: ${errors}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return child;
}

function listens(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(15_008, host);
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

function bootstrapOf(options: EnvoyWaypointOptions): EnvoyObject {
  const { application } = options;
  return {
    layered_runtime: RUNTIME,
    bootstrap_extensions: [
      extension(
        "envoy.bootstrap.internal_listener",
        "extensions.bootstrap.internal_listener.v3.InternalListener",
      ),
    ],
    static_resources: {
      listeners: [connectTerminate(options), mainInternal(options)],
      clusters: [
        MAIN_INTERNAL,
        staticCluster("http", application.http),
        staticCluster("tcp", application.tcp),
      ],
    },
  };
}

const MAIN_INTERNAL: EnvoyObject = {
  name: "main_internal",
  type: "STATIC",
  load_assignment: {
    cluster_name: "main_internal",
    endpoints: [
      {
        lb_endpoints: [
          { endpoint: { address: { envoy_internal_address: { server_listener_name: "main_internal" } } } },
        ],
      },
    ],
  },
  transport_socket: extension(
    "envoy.transport_sockets.internal_upstream",
    "extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
    {
      transport_socket: extension(
        "envoy.transport_sockets.raw_buffer",
        "extensions.transport_sockets.raw_buffer.v3.RawBuffer",
      ),
    },
  ),
};

function connectTerminate({ mesh, address, identity }: EnvoyWaypointOptions): EnvoyObject {
  const text = (inline_string: string): EnvoyObject => ({ text_format_source: { inline_string } });
  const state = extension(
    "envoy.filters.http.set_filter_state",
    "extensions.filters.http.set_filter_state.v3.Config",
    {
      on_request_headers: [
        {
          object_key: "envoy.filters.listener.original_dst.local_ip",
          format_string: text("%REQ(:AUTHORITY)%"),
          shared_with_upstream: "ONCE",
        },
        {
          object_key: PRINCIPAL,
          factory_key: "envoy.string",
          format_string: text("%DOWNSTREAM_PEER_URI_SAN%"),
          shared_with_upstream: "ONCE",
        },
      ],
    },
  );
  const route = {
    match: { connect_matcher: {} },
    route: { cluster: "main_internal", upgrade_configs: [{ upgrade_type: "CONNECT", connect_config: {} }] },
  };
  return {
    name: "connect_terminate",
    address: { socket_address: { address, port_value: 15_008 } },
    filter_chains: [
      {
        transport_socket: downstreamTls(mesh.config, "http", identity),
        filters: [
          extension("envoy.filters.network.http_connection_manager", HCM, {
            stat_prefix: "connect_terminate",
            http2_protocol_options: { allow_connect: true },
            upgrade_configs: [{ upgrade_type: "CONNECT" }],
            route_config: { virtual_hosts: [{ name: "default", domains: ["*"], routes: [route] }] },
            http_filters: [state, ROUTER],
          }),
        ],
      },
    ],
  };
}

function mainInternal({ mesh, serviceAddress }: EnvoyWaypointOptions): EnvoyObject {
  const at = (port: number, more: EnvoyObject, filters: readonly EnvoyObject[]): EnvoyObject => ({
    filter_chain_match: {
      destination_port: port,
      prefix_ranges: [{ address_prefix: serviceAddress, prefix_len: 32 }],
      ...more,
    },
    filters,
  });
  const listenerFilter = (name: string): EnvoyObject =>
    extension(`envoy.filters.listener.${name}`, `extensions.filters.listener.${name}.v3.${typeOf(name)}`);
  return {
    name: "main_internal",
    internal_listener: {},
    listener_filters: [
      listenerFilter("original_dst"),
      {
        ...listenerFilter("http_inspector"),
        // Bytes alone, or HTTP alone: nobody looks.
        filter_disabled: {
          or_match: {
            rules: [80, 9000].map((port) => ({ destination_port_range: { start: port, end: port + 1 } })),
          },
        },
      },
    ],
    filter_chains: [
      at(80, {}, [http(mesh)]),
      at(9000, {}, tcp(mesh)),
      at(90, { application_protocols: ["http/1.0", "http/1.1", "h2c"] }, [http(mesh)]),
      at(90, {}, tcp(mesh)),
    ],
  };
}

function typeOf(listenerFilter: string): string {
  return listenerFilter === "original_dst" ? "OriginalDst" : "HttpInspector";
}

function rbac(mesh: Mesh, kind: "http" | "network"): EnvoyObject[] {
  return (["DENY", "ALLOW"] as const).map((action) => {
    const policies = mesh.authorizationPolicies.filter(
      ({ spec }) => ((spec as { action?: string }).action ?? "ALLOW") === action,
    );
    const rules = byTunnelsPrincipal(rbacRules(mesh, policies, action, kind)) as EnvoyObject;
    return extension(`envoy.filters.${kind}.rbac`, `extensions.filters.${kind}.rbac.v3.RBAC`, {
      ...(kind === "network" ? { stat_prefix: "tcp." } : {}),
      rules,
    });
  });
}

/** Inside there is no TLS: whose tunnel it is stands in the filter state. */
function byTunnelsPrincipal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(byTunnelsPrincipal);
  if (typeof value !== "object" || value === null) return value;
  const { authenticated } = value as { authenticated?: { principal_name: EnvoyObject } };
  if (authenticated !== undefined)
    return { filter_state: { key: PRINCIPAL, string_match: authenticated.principal_name } };
  return Object.fromEntries(Object.entries(value).map(([name, own]) => [name, byTunnelsPrincipal(own)]));
}

function http(mesh: Mesh): EnvoyObject {
  return extension("envoy.filters.network.http_connection_manager", HCM, {
    stat_prefix: "inbound",
    codec_type: "AUTO",
    normalize_path: true,
    path_with_escaped_slashes_action: "KEEP_UNCHANGED",
    use_remote_address: false,
    route_config: {
      virtual_hosts: [
        { name: "s", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "http" } }] },
      ],
    },
    http_filters: [...rbac(mesh, "http"), ROUTER],
  });
}

function tcp(mesh: Mesh): EnvoyObject[] {
  return [
    ...rbac(mesh, "network"),
    extension("envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy", {
      stat_prefix: "tcp",
      cluster: "tcp",
    }),
  ];
}
