/** The HTTP filter of a server's chain, at a sidecar or at the mesh's edge: paths made canonical, then CUSTOM's authorizers, then tokens, then authorization, then on to the application. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { PathNormalization } from "../../model/mesh-config.ts";
import { accessLog } from "./access-log.ts";
import { type EnvoyObject, extension } from "./envoy-object.ts";
import { extAuthzFilters } from "./ext-authz-filters.ts";
import { jwtAuthnFilter } from "./jwt-authn-filter.ts";
import { rbacFilters } from "./rbac-filters.ts";

const PATHS: Readonly<Record<PathNormalization, EnvoyObject>> = {
  NONE: { normalize_path: false },
  BASE: { normalize_path: true },
  MERGE_SLASHES: { normalize_path: true, merge_slashes: true },
  DECODE_AND_MERGE_SLASHES: {
    normalize_path: true,
    merge_slashes: true,
    path_with_escaped_slashes_action: "UNESCAPE_AND_FORWARD",
  },
};

export interface HttpChainOptions {
  /** The cluster that stands for the application. */
  readonly cluster: string;
  /** File for one JSON line a request; absent: none. */
  readonly accessLog?: string | undefined;
  /** At a gateway, which believes nobody but so many proxies before it. */
  readonly edge?: { readonly trustedProxies: number } | undefined;
}

/** Who a request is from: sidecars pass on what gateways have established. */
const SIDECAR: EnvoyObject = {
  use_remote_address: false,
  forward_client_cert_details: "APPEND_FORWARD",
  set_current_client_cert_details: { subject: true, uri: true, dns: true },
};

function edgeOf({ trustedProxies }: { readonly trustedProxies: number }): EnvoyObject {
  return {
    use_remote_address: true,
    ...(trustedProxies === 0 ? {} : { xff_num_trusted_hops: trustedProxies }),
    forward_client_cert_details: "SANITIZE_SET",
    set_current_client_cert_details: { subject: true, cert: true, uri: true, dns: true },
  };
}

export function httpConnectionManager(
  mesh: Mesh,
  workload: Workload,
  { cluster, accessLog: logFile, edge }: HttpChainOptions,
): EnvoyObject {
  const jwt = jwtAuthnFilter(mesh, workload);
  return extension(
    "envoy.filters.network.http_connection_manager",
    "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    {
      stat_prefix: edge === undefined ? "inbound" : "outbound",
      codec_type: "AUTO",
      path_with_escaped_slashes_action: "KEEP_UNCHANGED",
      ...PATHS[mesh.config.pathNormalization],
      ...(edge === undefined ? SIDECAR : edgeOf(edge)),
      server_name: "istio-envoy",
      stream_idle_timeout: "0s",
      upgrade_configs: [{ upgrade_type: "websocket" }],
      route_config: everythingTo(cluster),
      http_filters: [
        ...extAuthzFilters(mesh, workload, "http"),
        ...(jwt === null ? [] : [jwt]),
        ...rbacFilters(mesh, workload, "http", logFile !== undefined),
        extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router"),
      ],
      ...(logFile === undefined ? {} : { access_log: [accessLog(logFile, "request")] }),
    },
  );
}

function everythingTo(cluster: string): EnvoyObject {
  return {
    name: cluster,
    validate_clusters: false,
    virtual_hosts: [
      {
        name: "inbound|http",
        domains: ["*"],
        routes: [{ match: { prefix: "/" }, route: { cluster, timeout: "0s" } }],
      },
    ],
  };
}
