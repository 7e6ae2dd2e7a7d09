import type { Mesh, Workload } from "../../model/mesh.ts";
import { DomainTable } from "./domain-table.ts";
import { buildGatewayHosts } from "./gateway-hosts.ts";
import { type MergedServer, mergeServers } from "./gateway-servers.ts";
import {
  forwardBySni,
  passthroughRoutes,
  refuse,
  routeTerminated,
  type TcpCandidate,
  tcpCandidates,
} from "./gateway-tcp.ts";
import { createHttpTable, type HttpTable, notFound } from "./http-table.ts";
import { listenerName } from "./listeners.ts";
import { meshIndex } from "./mesh-index.ts";
import { createProxyView, type ProxyView } from "./proxy-view.ts";
import { UNSPECIFIED } from "./registry.ts";
import { buildGatewayScope } from "./sidecar-scope.ts";
import { decideTcp, type TcpForward } from "./tcp-forward.ts";
import type {
  GatewayConnection,
  GatewayHttpRequest,
  GatewayListener,
  GatewayPolicy,
  GatewayServer,
  OutboundDecision,
  Semantics,
} from "./types.ts";

/**
 * Compiles the listeners and routes of one gateway from the Gateway resources that select it, in any namespace, and the
 * VirtualServices bound to them.
 */
export function compileGateway(
  mesh: Mesh,
  gateway: Workload,
  options: { readonly semantics?: Semantics } = {},
): GatewayPolicy {
  const index = meshIndex(mesh);
  const scope = buildGatewayScope(index, gateway.namespace);
  const view = createProxyView(index, scope, gateway.namespace, gateway.labels, true);
  const ports = new Map<number, GatewayPort>();
  for (const [port, servers] of mergeServers(mesh, gateway))
    ports.set(port, compilePort(view, port, servers));
  return gatewayPolicy(view, ports, options.semantics ?? "strict");
}

/** What takes connections with a name (or any). */
type Chain =
  | { readonly kind: "http"; readonly server: MergedServer; readonly table: HttpTable }
  | { readonly kind: "bytes"; readonly server: MergedServer; readonly candidates: readonly TcpCandidate[] }
  | { readonly kind: "passthrough"; readonly server: MergedServer; readonly forward: TcpForward }
  | { readonly kind: "auto-passthrough"; readonly server: MergedServer };

interface GatewayPort {
  readonly name: string;
  readonly listener: GatewayListener;
  readonly named: DomainTable<Chain>;
  /** Takes connections without TLS, or without looking at it. */
  readonly clear?: Chain;
  readonly automatic: readonly MergedServer[];
}

function compilePort(view: ProxyView, port: number, servers: readonly MergedServer[]): GatewayPort {
  const entries: (readonly [string, Chain])[] = [];
  const taken = new Set<string>();
  for (const server of servers) entries.push(...namedChains(view, server, taken));
  const clear = clearChain(view, servers);
  const isClear = clear !== undefined;
  return {
    name: listenerName(UNSPECIFIED, port),
    listener: {
      port,
      protocol: isClear ? (clear.kind === "http" ? "http" : "tcp") : "tls",
      servers: servers.map(({ server }) => server),
    },
    named: new DomainTable(entries),
    ...(isClear ? { clear } : {}),
    automatic: servers.filter(({ kind }) => kind === "auto-passthrough"),
  };
}

function clearChain(view: ProxyView, servers: readonly MergedServer[]): Chain | undefined {
  const http = servers.filter(({ kind }) => kind === "http");
  const [first] = http;
  if (first !== undefined) return { kind: "http", server: first, table: httpTable(view, http) };
  const tcp = servers.find(({ kind }) => kind === "tcp");
  return tcp === undefined ? undefined : { kind: "bytes", server: tcp, candidates: tcpCandidates(view, tcp) };
}

function namedChains(
  view: ProxyView,
  server: MergedServer,
  taken: Set<string>,
): (readonly [string, Chain])[] {
  const forHosts = (chain: Chain): (readonly [string, Chain])[] =>
    server.server.hosts.map((host) => [host, chain] as const);
  switch (server.kind) {
    case "https":
      return forHosts({ kind: "http", server, table: httpTable(view, [server]) });
    case "terminated":
      return forHosts({ kind: "bytes", server, candidates: tcpCandidates(view, server) });
    case "passthrough":
      return passthroughRoutes(view, server, taken).flatMap(({ serverNames, forward }) =>
        (serverNames.length === 0 ? ["*"] : serverNames).map(
          (name) => [name, { kind: "passthrough", server, forward }] as const,
        ),
      );
    default:
      return [];
  }
}

function httpTable(view: ProxyView, servers: readonly MergedServer[]): HttpTable {
  return createHttpTable(
    "NONE",
    () => ({ hosts: buildGatewayHosts(view, servers), namesIn: () => [] }),
    (_request, listener) => notFound(listener),
  );
}

function gatewayPolicy(
  view: ProxyView,
  ports: ReadonlyMap<number, GatewayPort>,
  semantics: Semantics,
): GatewayPolicy {
  const find = (port: GatewayPort | undefined, sni: string | undefined): Chain | undefined => {
    if (port === undefined) return undefined;
    const name = (sni ?? "").toLowerCase();
    return automaticChain(view, port, name) ?? port.named.find(name) ?? port.clear;
  };
  return {
    listeners: [...ports.values()].map(({ listener }) => listener).sort((a, b) => a.port - b.port),
    selectServer: (number, sni): GatewayServer | undefined => find(ports.get(number), sni)?.server.server,
    routeHttp(request) {
      const port = ports.get(request.port);
      return routeHttp(find(port, request.sni), request, port?.name ?? "");
    },
    routeTls(connection) {
      const port = ports.get(connection.port);
      return routeTls(view, find(port, connection.sni), connection, port?.name ?? "");
    },
    routeTcp(connection) {
      const port = ports.get(connection.port);
      const chain = find(port, connection.sni);
      const listener = port?.name ?? "";
      return chain?.kind === "bytes"
        ? routeTerminated(chain.candidates, chain.server, connection, semantics, listener)
        : refuse(chain?.server.server.gateway ?? null, listener, "no-server");
    },
    clusters: view.clusters,
  };
}

function automaticChain(view: ProxyView, port: GatewayPort, name: string): Chain | undefined {
  const server = port.automatic.find((candidate) => forwardBySni(view, candidate, name) !== undefined);
  return server === undefined ? undefined : { kind: "auto-passthrough", server };
}

function routeHttp(
  chain: Chain | undefined,
  request: GatewayHttpRequest,
  listener: string,
): OutboundDecision {
  if (chain?.kind !== "http") return refuse(chain?.server.server.gateway ?? null, listener, "no-server");
  return chain.table.route(request, listener, "");
}

function routeTls(
  view: ProxyView,
  chain: Chain | undefined,
  { sni }: GatewayConnection,
  listener: string,
): OutboundDecision {
  if (chain?.kind === "passthrough") return decideTcp(chain.forward, listener, false, sni);
  const forward =
    chain?.kind === "auto-passthrough"
      ? forwardBySni(view, chain.server, (sni ?? "").toLowerCase())
      : undefined;
  if (forward !== undefined) return decideTcp(forward, listener, false, sni);
  return refuse(chain?.server.server.gateway ?? null, listener, "no-server");
}
