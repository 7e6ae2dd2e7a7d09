/** A whole Envoy for one workload, as the file that it starts from (`config.bootstrap.v3.Bootstrap`). */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { EnvoyObject } from "./envoy-object.ts";
import { type InboundListenerOptions, inboundListener } from "./inbound-listener.ts";

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

export interface BootstrapOptions extends Omit<InboundListenerOptions, "name" | "clusterOf"> {
  /** Where the application listens, by the container's port. */
  readonly application: ReadonlyMap<number, SocketAddress>;
}

/** Istio's own settings of Envoy that change what is accepted: a target's fragment is cut off, not refused. */
export const RUNTIME: EnvoyObject = {
  layers: [
    {
      name: "global config",
      static_layer: {
        "envoy.reloadable_features.http_reject_path_with_fragment": false,
        "re2.max_program_size.error_level": 32_768,
      },
    },
  ],
};

const PASSTHROUGH = "InboundPassthroughCluster";

/** Ports that nobody declared: on to the address that was dialled, from one that traffic capture leaves alone. */
const PASSTHROUGH_CLUSTER: EnvoyObject = {
  name: PASSTHROUGH,
  type: "ORIGINAL_DST",
  lb_policy: "CLUSTER_PROVIDED",
  connect_timeout: "5s",
  upstream_bind_config: { source_address: { address: "127.0.0.6", port_value: 0 } },
};

/** A sidecar that takes the workload's connections, and sends nothing out. */
export function bootstrap(mesh: Mesh, workload: Workload, options: BootstrapOptions): EnvoyObject {
  const clusterOf = (port: number | null): string => (port === null ? PASSTHROUGH : `inbound|${port}||`);
  return {
    node: { id: workload.key, cluster: workload.name },
    layered_runtime: RUNTIME,
    static_resources: {
      listeners: [inboundListener(mesh, workload, { ...options, name: "virtualInbound", clusterOf })],
      clusters: [
        ...[...options.application].map(([port, address]) => staticCluster(clusterOf(port), address)),
        PASSTHROUGH_CLUSTER,
      ],
    },
  };
}

const OPTIONS = "extensions.upstreams.http.v3.HttpProtocolOptions";
const HTTP2: EnvoyObject = {
  typed_extension_protocol_options: {
    [`envoy.${OPTIONS}`]: {
      "@type": `type.googleapis.com/envoy.${OPTIONS}`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

/** A cluster of one known address. */
export function staticCluster(name: string, { host, port }: SocketAddress, http2 = false): EnvoyObject {
  return {
    name,
    type: "STATIC",
    connect_timeout: "5s",
    ...(http2 ? HTTP2 : {}),
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
