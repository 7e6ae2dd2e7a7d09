/** The server's side of a sidecar as one Envoy listener (`config.listener.v3.Listener`). */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { type ChainProtocol, compilePortProtocols } from "../../policy/port-protocol.ts";
import { accessLog } from "./access-log.ts";
import { downstreamTls, type IdentityFiles } from "./downstream-tls.ts";
import { type EnvoyObject, extension } from "./envoy-object.ts";
import { extAuthzFilters } from "./ext-authz-filters.ts";
import { type ChainKind, chainKinds, filterChainMatch } from "./filter-chains.ts";
import { httpConnectionManager } from "./http-connection-manager.ts";
import { type PeerMode, peerModes } from "./peer-modes.ts";
import { rbacFilters } from "./rbac-filters.ts";

export interface InboundListenerOptions {
  readonly name: string;
  /** The workload's own address. */
  readonly address: string;
  /** The container's ports that it takes connections for, declared or not. At least one. */
  readonly ports: readonly number[];
  readonly identity: IdentityFiles;
  /** The cluster of the application's port; null for ports without chains of their own. */
  readonly clusterOf: (port: number | null) => string;
  /** File for a JSON line on each connection and each request (AccessLogLine); absent: none. */
  readonly accessLog?: string | undefined;
}

/** The chains of one port. */
interface PortChains {
  readonly port: number | null;
  readonly kinds: readonly ChainKind[];
}

/**
 * Chains for every port that is declared or has a mode of its own, and for all others together. Which chain takes a connection is
 * found by inspectors, only where a chain asks: on a port that takes plaintext alone nobody looks for TLS.
 */
export function inboundListener(
  mesh: Mesh,
  workload: Workload,
  options: InboundListenerOptions,
): EnvoyObject {
  const ports = portChains(mesh, workload);
  const [address, ...additional] = options.ports.map((port) => ({
    address: { socket_address: { address: options.address, port_value: port } },
  }));
  return {
    name: options.name,
    ...address,
    additional_addresses: additional,
    traffic_direction: "INBOUND",
    listener_filters: inspectors(ports),
    listener_filters_timeout: `${mesh.config.protocolDetectionTimeoutMs / 1000}s`,
    continue_on_listener_filters_timeout: true,
    filter_chains: ports.flatMap(({ port, kinds }) =>
      kinds.map((kind) => filterChain(mesh, workload, options, port, kind)),
    ),
    ...(options.accessLog === undefined ? {} : { access_log: [accessLog(options.accessLog, "connection")] }),
  };
}

function portChains(mesh: Mesh, workload: Workload): PortChains[] {
  const modes = peerModes(mesh, workload);
  const protocols = compilePortProtocols(mesh, workload);
  const special = new Set([...protocols.keys(), ...modes.ports.keys()]);
  const of = (port: number | null, mode: PeerMode, protocol: ChainProtocol): PortChains => ({
    port,
    kinds: chainKinds(mode, protocol),
  });
  return [
    of(null, modes.workload, "auto"),
    ...[...special].map((port) =>
      of(port, modes.ports.get(port) ?? modes.workload, protocols.get(port) ?? "auto"),
    ),
  ];
}

function filterChain(
  mesh: Mesh,
  workload: Workload,
  options: InboundListenerOptions,
  port: number | null,
  kind: ChainKind,
): EnvoyObject {
  const { config } = mesh;
  return {
    name: `${port ?? "any"}-${kind.protocol}`,
    filter_chain_match: filterChainMatch(kind, port),
    filters:
      kind.protocol === "http"
        ? [
            httpConnectionManager(mesh, workload, {
              cluster: options.clusterOf(port),
              accessLog: options.accessLog,
            }),
          ]
        : [
            ...extAuthzFilters(mesh, workload, "network"),
            ...rbacFilters(mesh, workload, "network", options.accessLog !== undefined),
            tcpProxy(options.clusterOf(port)),
          ],
    ...(kind.terminates ? { transport_socket: downstreamTls(config, kind.protocol, options.identity) } : {}),
  };
}

function tcpProxy(cluster: string): EnvoyObject {
  return extension("envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy", {
    stat_prefix: cluster,
    cluster,
  });
}

function inspectors(ports: readonly PortChains[]): EnvoyObject[] {
  return [
    ...inspector(
      extension(
        "envoy.filters.listener.tls_inspector",
        "extensions.filters.listener.tls_inspector.v3.TlsInspector",
      ),
      ports,
      ({ transport }) => transport === "tls",
    ),
    ...inspector(
      extension(
        "envoy.filters.listener.http_inspector",
        "extensions.filters.listener.http_inspector.v3.HttpInspector",
      ),
      ports,
      ({ transport, alpn }) => transport === "raw_buffer" && alpn.length > 0,
    ),
  ];
}

/** The inspector, switched off for the ports that have no chain to be told apart by it. */
function inspector(
  filter: EnvoyObject,
  ports: readonly PortChains[],
  isAskedBy: (kind: ChainKind) => boolean,
): EnvoyObject[] {
  const asking = ports.filter(({ kinds }) => kinds.some(isAskedBy));
  if (asking.length === 0) return [];
  const forOthers = asking.some(({ port }) => port === null);
  const exceptions = ports
    .filter((entry) => entry.port !== null && asking.includes(entry) !== forOthers)
    .flatMap(({ port }) => (port === null ? [] : [port]));
  const matched = anyPortOf(exceptions);
  if (forOthers) return [matched === null ? filter : { ...filter, filter_disabled: matched }];
  return [matched === null ? filter : { ...filter, filter_disabled: { not_match: matched } }];
}

function anyPortOf(ports: readonly number[]): EnvoyObject | null {
  const ranges = ports.map((port) => ({ destination_port_range: { start: port, end: port + 1 } }));
  const [only] = ranges;
  if (only === undefined) return null;
  return ranges.length === 1 ? only : { or_match: { rules: ranges } };
}
