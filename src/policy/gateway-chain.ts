/** Which server of a gateway takes a connection, as far as identity and authorization are concerned; routes are the outbound side's. */
import type { Mesh, Workload } from "../model/mesh.ts";
import { matchesLabels } from "../model/selector.ts";
import type { FilterChain, FirstBytes } from "./filter-chain.ts";
import { serviceTargets } from "./port-protocol.ts";
import type { Verdict } from "./verdict.ts";
import { NO_CHAIN, NO_LISTENER, PLAINTEXT_TO_TLS_PORT, TLS_TO_PLAINTEXT_PORT } from "./verdict-catalogue.ts";

interface ServerFields {
  readonly port?: { readonly number?: number; readonly protocol?: string };
  readonly hosts?: readonly string[];
  readonly tls?: { readonly mode?: string };
}

interface GatewayFields {
  readonly selector?: Readonly<Record<string, string>>;
  readonly servers?: readonly ServerFields[];
}

interface KubernetesListener {
  readonly port?: number;
  readonly protocol?: string;
  readonly hostname?: string;
  readonly tls?: { readonly mode?: string };
}

/** One server, and for which server names. */
export interface GatewayServerChain {
  readonly chain: FilterChain;
  /** Server names that it takes, in lower case, `*` for any. */
  readonly hosts: readonly string[];
}

/** Servers by the port that the gateway's pod listens on. */
export type GatewayChains = ReadonlyMap<number, readonly GatewayServerChain[]>;

function refusal(verdict: Verdict): FilterChain {
  return Object.freeze({ tls: "none", protocol: "tcp", inspectsTls: true, refusal: verdict });
}

const CLOSED = refusal(NO_LISTENER);
const NO_SERVER = refusal(NO_CHAIN);
const NOT_TLS = refusal(PLAINTEXT_TO_TLS_PORT);
const UNEXPECTED_TLS = refusal(TLS_TO_PLAINTEXT_PORT);

/** @param sni in lower case; empty for none. */
export function gatewayChain(
  chains: GatewayChains,
  port: number,
  first: FirstBytes,
  sni: string,
): FilterChain {
  const servers = chains.get(port);
  if (servers === undefined) return CLOSED;
  let best: GatewayServerChain | null = null;
  let bestLength = -1;
  for (const server of servers) {
    const length = first.tls && server.chain.tls !== "none" ? longestHost(server.hosts, sni) : 0;
    const fits = (server.chain.tls === "none") === !first.tls && length >= 0;
    if (fits && length > bestLength) {
      best = server;
      bestLength = length;
    }
  }
  if (best !== null) return best.chain;
  const speaksTls = servers.some((server) => server.chain.tls !== "none");
  if (first.tls) return speaksTls ? NO_SERVER : tlsOnPlainServers(servers);
  return NOT_TLS;
}

/** Opaque TCP servers take TLS as bytes; HTTP ones cannot read it. */
function tlsOnPlainServers(servers: readonly GatewayServerChain[]): FilterChain {
  const tcp = servers.find((server) => server.chain.protocol === "tcp");
  return tcp === undefined ? UNEXPECTED_TLS : PASSED_TCP;
}

const PASSED_TCP: FilterChain = Object.freeze({
  tls: "pass",
  protocol: "tcp",
  inspectsTls: false,
  refusal: null,
});

/** Length of the most specific host that covers the name, an exact one above all; -1 for none. */
function longestHost(hosts: readonly string[], sni: string): number {
  let longest = -1;
  for (const host of hosts) {
    if (host === sni && host !== "") return Number.POSITIVE_INFINITY;
    const covers = host === "*" || (host.startsWith("*.") && sni.endsWith(host.slice(1)));
    if (covers && host.length > longest) longest = host.length;
  }
  return longest;
}

export function compileGatewayChains(mesh: Mesh, gateway: Workload): GatewayChains {
  const chains = new Map<number, GatewayServerChain[]>();
  const add = (port: number | undefined, server: GatewayServerChain): void => {
    for (const target of podPorts(mesh, gateway, port)) {
      const servers = chains.get(target) ?? [];
      servers.push(server);
      chains.set(target, servers);
    }
  };
  for (const server of istioServers(mesh, gateway)) {
    const hosts = (server.hosts ?? []).map((host) => host.slice(host.indexOf("/") + 1).toLowerCase());
    add(server.port?.number, { hosts, chain: serverChain(server.port?.protocol, server.tls?.mode) });
  }
  for (const listener of kubernetesListeners(mesh, gateway)) {
    const mode = listener.tls?.mode === "Passthrough" ? "PASSTHROUGH" : "SIMPLE";
    add(listener.port, {
      hosts: [(listener.hostname ?? "*").toLowerCase()],
      chain: serverChain(listener.protocol, listener.tls === undefined ? undefined : mode),
    });
  }
  return chains;
}

/** A server's port is a port of the gateway's Service; where no Service has it, the pod's own. */
function podPorts(mesh: Mesh, gateway: Workload, port: number | undefined): readonly number[] {
  if (port === undefined) return [];
  const targets = serviceTargets(mesh, gateway)
    .filter((candidate) => candidate.port.port === port)
    .map((candidate) => candidate.target);
  return targets.length === 0 ? [port] : [...new Set(targets)];
}

function istioServers(mesh: Mesh, gateway: Workload): readonly ServerFields[] {
  return mesh.gateways.flatMap((resource) => {
    const { selector = {}, servers = [] } = (resource.spec ?? {}) as GatewayFields;
    return matchesLabels(selector, gateway.labels) ? servers : [];
  });
}

function kubernetesListeners(mesh: Mesh, gateway: Workload): readonly KubernetesListener[] {
  const name = gateway.labels["gateway.networking.k8s.io/gateway-name"];
  if (name === undefined) return [];
  const resource = mesh.resources.find(
    (candidate) =>
      candidate.kind === "Gateway" &&
      candidate.apiVersion.startsWith("gateway.networking.k8s.io/") &&
      candidate.name === name &&
      candidate.namespace === gateway.namespace,
  );
  return ((resource?.spec ?? {}) as { listeners?: readonly KubernetesListener[] }).listeners ?? [];
}

function serverChain(protocol = "", mode: string | undefined): FilterChain {
  const name = protocol.toUpperCase();
  const http = name !== "TCP" && name !== "TLS" && name !== "MONGO";
  const passes = mode === "PASSTHROUGH" || mode === "AUTO_PASSTHROUGH";
  const mutual = mode === "ISTIO_MUTUAL";
  const tls =
    mode === undefined || !speaksTls(name)
      ? "none"
      : passes
        ? "pass"
        : mutual
          ? "terminate"
          : "terminate-simple";
  return Object.freeze({ tls, protocol: http && !passes ? "http" : "tcp", inspectsTls: true, refusal: null });
}

function speaksTls(protocol: string): boolean {
  return protocol === "HTTPS" || protocol === "TLS";
}
